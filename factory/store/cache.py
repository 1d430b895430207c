"""Files in a bucket that many processes of a machine read: fetched once to each machine.

They lie below $XDG_CACHE_HOME/face-factory (~/.cache else), in a folder named by their digests, so
no copy is ever stale. The first process to ask fetches, the others wait for it; a copy that was
damaged since is fetched again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from factory.errors import IntegrityError, StoreError
from factory.store.base import Store, check_name


def fetched(store: Store, digests: Mapping[str, str]) -> Path:
    """A folder on this machine with the files that `digests` names, each checked by its sha256.

    Raises FileNotFoundError for one that is not in the store, IntegrityError for other bytes there,
    StoreError where nothing can be kept.
    """
    listing = "\n".join(f"{sha256} {name}" for name, sha256 in sorted(digests.items()))
    folder = cache_root() / hashlib.sha256(listing.encode()).hexdigest()[:32]
    with _explained(folder), _locked(folder):
        for name, sha256 in digests.items():
            path = folder / check_name(name)
            if not path.exists() or _sha256(path) != sha256:
                _fetch(store, name, sha256, path)
    return folder


def cache_root() -> Path:
    """Where this machine keeps what it has fetched."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "face-factory"


def _fetch(store: Store, name: str, sha256: str, path: Path) -> None:
    """Download a file; it gets its name when it is whole and on the disk."""
    part, total = path.with_name(f".{name}.part"), hashlib.sha256()
    with part.open("wb") as file:
        for block in store.stream(name):
            total.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    if total.hexdigest() != sha256:
        part.unlink()
        raise IntegrityError(
            f"{store.url}/{name}: has sha256 {total.hexdigest()[:12]}, want {sha256[:12]}; restore "
            "the file"
        )
    part.replace(path)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system releases it when a process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn errors of the disk into StoreError with a remedy."""
    try:
        yield
    except FileNotFoundError:
        raise  # the store has no such file
    except OSError as error:
        raise StoreError(
            f"{folder}: weights from a bucket cannot be kept there ({error.strerror or error}); "
            "make room, or set XDG_CACHE_HOME"
        ) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
