"""Files in a bucket that many processes of a machine read: fetched once to each machine.

They lie below $XDG_CACHE_HOME/face-factory (~/.cache else), in a folder named by their digests, so
no copy is ever stale. The first process to ask fetches, the others wait for it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from factory.errors import IntegrityError
from factory.store.base import Store


def fetched(store: Store, digests: Mapping[str, str]) -> Path:
    """A folder of this machine with the files `digests` names, each checked by its sha256.

    Raises FileNotFoundError for one that is not in the store, IntegrityError for other bytes.
    """
    listing = "\n".join(f"{sha256} {name}" for name, sha256 in sorted(digests.items()))
    folder = cache_root() / hashlib.sha256(listing.encode()).hexdigest()[:32]
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        for name, sha256 in digests.items():
            path = folder / name
            if not path.exists():  # it gets its name when it is whole
                _fetch(store, name, sha256, path)
    return folder


def cache_root() -> Path:
    """Where this machine keeps what it has fetched."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "face-factory"


def _fetch(store: Store, name: str, sha256: str, path: Path) -> None:
    part, found = path.with_name(f".{name}.part"), hashlib.sha256()
    with part.open("wb") as file:
        for block in store.stream(name):
            found.update(block)
            file.write(block)
    if found.hexdigest() != sha256:
        part.unlink()
        raise IntegrityError(
            f"{store.url}/{name}: has sha256 {found.hexdigest()[:12]}, want {sha256[:12]}; restore "
            "the file"
        )
    part.replace(path)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; it is given back when a process dies."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
