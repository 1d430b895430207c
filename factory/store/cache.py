"""Files in a bucket that many processes of a machine read: fetched once to each machine.

They lie below $XDG_CACHE_HOME/face-factory (~/.cache else, and the folder for temporary files where
nobody has a home that can be written), in a folder named by their digests, so
no copy is ever stale. The first process to ask fetches, the others wait for it; a copy that was
damaged since is fetched again.

Matrices that are made here, such as a roster in bfloat16, are kept likewise: all processes map one
file, whose pages the machine holds once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from factory.errors import IntegrityError, StoreError
from factory.store.atomic import check_place, of_file, writing
from factory.store.base import Store, check_name

if TYPE_CHECKING:
    import torch

MADE_AT_ONCE = 8192
"""Rows of a matrix that are made and compared at once."""
SHARED_FROM_BYTES = 1 << 25
"""Smaller matrices are kept by each process."""
PLACE = "XDG_CACHE_HOME"
"""What names the folder of all these copies."""


def fetched(store: Store, digests: Mapping[str, str]) -> Path:
    """A folder on this machine with the files that `digests` names, each checked by its sha256.

    Raises FileNotFoundError for one that is not in the store, IntegrityError for other bytes there,
    StoreError where nothing can be kept.
    """
    listing = "\n".join(f"{sha256} {name}" for name, sha256 in sorted(digests.items()))
    folder = cache_root() / hashlib.sha256(listing.encode()).hexdigest()[:32]
    with of_file(folder, PLACE), locked(folder):
        for name, sha256 in digests.items():
            path = folder / check_name(name)
            if not path.exists() or _sha256(path) != sha256:
                _fetch(store, name, sha256, path)
    return folder


def shared_rows(
    name: str, make: Callable[[int, int], torch.Tensor], shape: tuple[int, int]
) -> torch.Tensor:
    """A matrix [N, D] that the processes of this machine map from one file, `name`.

    `make(start, stop)` gives its rows on the CPU, the same in every process. The first one writes
    the file; each compares what it finds with what it would make, so a damaged file is made anew.
    Raises StoreError where nothing can be kept.
    """
    import torch

    path, kind = cache_root() / "rows" / check_name(name), make(0, 0).dtype
    parts = [
        (start, min(start + MADE_AT_ONCE, shape[0])) for start in range(0, shape[0], MADE_AT_ONCE)
    ]

    def mapped() -> torch.Tensor:
        whole = torch.from_file(str(path), shared=False, size=shape[0] * shape[1], dtype=kind)
        return whole.view(shape)

    with of_file(path, PLACE), locked(path.parent):
        size = shape[0] * shape[1] * kind.itemsize
        if path.exists() and path.stat().st_size == size:
            rows = mapped()
            if all(torch.equal(rows[start:stop], make(start, stop)) for start, stop in parts):
                return rows
        with writing(path, PLACE, durable=False) as file:
            for start, stop in parts:
                file.write(make(start, stop).contiguous().view(torch.uint8).numpy().data)
        return mapped()


def cache_root() -> Path:
    """Where this machine keeps what it has fetched."""
    named = os.environ.get("XDG_CACHE_HOME")
    if named:
        return Path(named) / "face-factory"
    home = Path(os.path.expanduser("~"))
    with suppress(StoreError):
        if home.is_absolute():  # "~" itself where this user has no home
            check_place(PLACE, home / ".cache" / "face-factory")
            return home / ".cache" / "face-factory"
    return Path(tempfile.gettempdir()) / f"face-factory-{os.getuid()}"


def _fetch(store: Store, name: str, sha256: str, path: Path) -> None:
    """Download a file; it gets its name when it is whole and on the disk."""
    total = hashlib.sha256()
    for left in path.parent.glob(f".{name}.*"):  # by a process that died, for the lock is ours
        left.unlink(missing_ok=True)
    with writing(path, PLACE) as file:
        for block in store.stream(name):
            total.update(block)
            file.write(block)
        if total.hexdigest() != sha256:
            raise IntegrityError(
                f"{store.url}/{name}: has sha256 {total.hexdigest()[:12]}, want {sha256[:12]}; "
                "restore the file"
            )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, made with it; the system releases it when a process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
