"""Files in a bucket that many processes of a machine read: fetched once to each machine.

They lie below $XDG_CACHE_HOME/face-factory (~/.cache else, and the folder for temporary files where
nobody has a home that can be written), in a folder named by their digests, so
no copy is ever stale. The first process to ask fetches, the others wait for it; a copy that was
damaged since is fetched again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from factory.errors import IntegrityError, StoreError
from factory.store.atomic import check_place, of_file, writing
from factory.store.base import Store, check_name

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
