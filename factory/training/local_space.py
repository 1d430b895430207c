"""Space on this machine for a training.

For one whose states are in a bucket it lies below `cache_root`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from factory.errors import CheckpointError, StoreError
from factory.store import Store
from factory.store.cache import cache_root


class WorkingFolder:
    """A folder of this process, removed with it; those of processes that were killed go too."""

    def __init__(self) -> None:
        root = cache_root() / "trainings"
        with write_errors(root):
            root.mkdir(parents=True, exist_ok=True)
            with (root / ".lock").open("w") as alone:
                fcntl.flock(alone, fcntl.LOCK_EX)  # because a new folder is not locked at once
                for lock in root.glob("*/.lock"):
                    _remove_if_dead(lock)
                self.path = Path(tempfile.mkdtemp(dir=root))
                self._lock = (self.path / ".lock").open("w")
                fcntl.flock(self._lock, fcntl.LOCK_EX)
        weakref.finalize(self, _remove, self.path, os.getpid())


def local_copy(url: str) -> Path:
    """The folder for what this machine fetches of a state, shared by its ranks."""
    folder = cache_root() / "states" / hashlib.sha256(url.encode()).hexdigest()[:32]
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetch_into(folder: Path, store: Store, name: str, sha256: str) -> None:
    """Fetch a file unless a process of this machine has; it has its name once it is whole.

    Raises CheckpointError when it is not in the store or has other bytes there.
    """
    path = folder / name
    with write_errors(folder), (folder / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        part, total = folder / f".{name}.part", hashlib.sha256()
        try:
            with part.open("wb") as file:
                for block in store.stream(name):
                    total.update(block)
                    file.write(block)
        except FileNotFoundError:
            raise CheckpointError(
                f"training.out: {store.url} lacks {name}, so this state is not whole; either "
                "another gang trains here and has gone on, or restore it or begin again in another "
                "training.out"
            ) from None
        if total.hexdigest() != sha256:
            raise CheckpointError(
                f"training.out: {store.url}/{name} has sha256 {total.hexdigest()[:12]}, want "
                f"{sha256[:12]}; restore it, or begin again in another training.out"
            )
        part.replace(path)


def check_space(folder: Path, num_bytes: int, key: str) -> None:
    """Raise StoreError unless `num_bytes` more fit on the disk of a folder, there or not yet."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < num_bytes:
        raise StoreError(
            f"{key}: {free / 1e9:.1f} GB free at {place}, want {num_bytes / 1e9:.1f} GB for what a "
            f"training reads; free some, or name a folder of a larger disk with {key}=..."
        )


@contextmanager
def write_errors(folder: Path) -> Iterator[None]:
    """Turn errors of the disk into StoreError with a remedy."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"{folder}: a training whose states are in a bucket cannot write there "
            f"({error.strerror or error}); make room, or set XDG_CACHE_HOME"
        ) from None


def _remove_if_dead(path: Path) -> None:
    """Remove a working folder whose lock nobody holds."""
    with suppress(OSError), path.open("r") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path.parent, ignore_errors=True)


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not in a fork that decodes images
        shutil.rmtree(folder, ignore_errors=True)
