"""Files that many processes of a machine read: fetched once to each machine, and checked once.

Copies of files in a bucket lie below $XDG_CACHE_HOME/face-factory (~/.cache else, and the folder
for temporary files where nobody has a home that can be written), in a folder named by their
digests, so no copy is ever stale. The first process to ask fetches, the others wait for it.

That a file has its digest is written down beside the copy, or below checked/ for a file of a local
store, with the size, times and inode it had then: whoever comes later reads only these, and reads
the file again where one of them is another. A copy that was damaged is fetched again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from factory.errors import IntegrityError, StoreError
from factory.store.atomic import (
    check_place,
    disk_error,
    dispensable,
    of_file,
    write_atomically,
    writing,
)
from factory.store.base import Store, check_name
from factory.store.local import LocalStore

PLACE = "XDG_CACHE_HOME"
"""What names the folder of all these copies."""
YOUNG_S = 2.0
"""Age of a file up to which its times may be those of a later change too."""


def fetched(store: Store, digests: Mapping[str, str]) -> Path:
    """A folder on this machine with the files that `digests` names, each checked by its sha256.

    Where $XDG_CACHE_HOME takes nothing, the copies lie in the folder for temporary files, which is
    said once. Raises FileNotFoundError for one that is not in the store, IntegrityError for other
    bytes there, StoreError where a disk is full, or nothing can be kept in either.
    """
    listing = "\n".join(f"{sha256} {name}" for name, sha256 in sorted(digests.items()))
    folder = _root_of_copies() / hashlib.sha256(listing.encode()).hexdigest()[:32]
    with of_file(folder, PLACE), locked(folder):
        for name, sha256 in digests.items():
            path = folder / check_name(name)
            proof = path.with_name(f".{path.name}.checked")
            if not path.exists() or not _is_whole(path, sha256, proof):
                _fetch(store, name, sha256, path)
                _write_proof(proof, path, sha256)
    return folder


def file_here(store: Store, name: str, sha256: str) -> Path:
    """A file on this machine with the bytes of a name: that of a local store itself, else a copy.

    It is read to the end by the first process alone, and never into memory. Raises IntegrityError
    for other bytes than `sha256`, FileNotFoundError and StoreError as `fetched` does.
    """
    if not isinstance(store, LocalStore):
        return fetched(store, {name: sha256}) / name
    path = store.path(name)
    if not _was_checked(path, sha256):
        raise IntegrityError(f"{path}: has another sha256, want {sha256[:12]}; restore the file")
    return path


def _root_of_copies() -> Path:
    """`cache_root` where that can be written, else the folder for temporary files."""
    with dispensable(PLACE):
        check_place(PLACE, cache_root())
        return cache_root()
    return temporary_root()


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
    return temporary_root()


def temporary_root() -> Path:
    """Where copies lie where nothing else can be written."""
    return Path(tempfile.gettempdir()) / f"face-factory-{os.getuid()}"


def _was_checked(path: Path, sha256: str) -> bool:
    """Whether a file of a local store has this digest, by one process's reading for all."""
    key = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
    folder = cache_root() / "checked" / key
    try:
        with of_file(folder, PLACE), locked(folder):
            return _is_whole(path, sha256, folder / "proof")
    except StoreError:  # because nothing can be kept, everybody reads
        return _sha256(path) == sha256


def _is_whole(path: Path, sha256: str, proof: Path) -> bool:
    """Whether a file has this digest; `proof` spares reading a file that is still the same."""
    facts = _facts(path, sha256)
    if proof.exists() and proof.read_text() == facts:
        return True
    if _sha256(path) != sha256:
        return False
    age_s = time.time() - path.stat().st_ctime
    if _facts(path, sha256) == facts and age_s > YOUNG_S:
        _write_proof(proof, path, sha256)
    return True


def _write_proof(proof: Path, path: Path, sha256: str) -> None:
    write_atomically(proof, _facts(path, sha256).encode(), PLACE, durable=False)


def _facts(path: Path, sha256: str) -> str:
    """What tells that a file is the one that had this digest."""
    found = path.stat()
    times = f"{found.st_mtime_ns} {found.st_ctime_ns}"
    return f"{sha256} {found.st_size} {times} {found.st_dev} {found.st_ino}\n"


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
    """Hold the folder's lock, made with it; the system releases it when a process dies.

    Raises StoreError where the filesystem has no locks.
    """
    for root in (cache_root(), temporary_root()):  # because prototypes are templates
        if root in folder.parents:
            root.mkdir(0o700, parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            remedy = "choose a folder on a filesystem that can lock files"
            raise disk_error(folder, error.errno, PLACE, remedy) from None
        yield


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
