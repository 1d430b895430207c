"""A folder as a store: create-only by hard link on the same filesystem, after fsync."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from factory.errors import Conflict, StoreError
from factory.store.atomic import disk_error, of_file, sync_folder
from factory.store.atomic import write_atomically as write_atomically
from factory.store.base import BLOCK_BYTES, Entry, check_name, check_neighbor, digest

READ = "check the disk, and who may read there"
"""What to do where a file cannot be read."""


class LocalStore:
    """A folder on one filesystem, safe under several drivers on one machine."""

    num_retries = 0

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.url = str(root)

    def get(self, name: str) -> bytes:
        with of_file(self.path(name), remedy=READ):
            return self.path(name).read_bytes()

    def stream(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        with of_file(self.path(name), remedy=READ), self.path(name).open("rb") as handle:
            left = (os.fstat(handle.fileno()).st_size if stop is None else stop) - start
            handle.seek(start)
            while left > 0 and (block := handle.read(min(left, BLOCK_BYTES))):
                left -= len(block)
                yield block

    def exists(self, name: str) -> bool:
        return self.path(name).is_file()

    def size(self, name: str) -> int | None:
        try:
            return self.path(name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def put(self, name: str, data: bytes) -> None:
        with self._written(name, data) as temporary:
            os.replace(temporary, self.path(name))
            sync_folder(self.path(name).parent)

    def put_once(self, name: str, data: bytes, sha256: str | None = None) -> bool:
        if self.exists(name):
            return self._compare(name, data, sha256)
        with self._written(name, data) as temporary:
            try:
                os.link(temporary, self.path(name))
            except FileExistsError:
                return self._compare(name, data, sha256)
            sync_folder(self.path(name).parent)
        return True

    def swap(self, name: str, expected: bytes | None, data: bytes) -> bool:
        with _one_at_a_time(self.path(name).parent):
            if expected is None:  # by link, because put_once does not wait for its turn
                with suppress(Conflict):
                    return self.put_once(name, data)
                return False
            if not self._holds(name, expected):
                return False
            self.put(name, data)
            return True

    def delete_if(self, name: str, expected: bytes) -> bool:
        if not self.exists(name):
            return False
        with _one_at_a_time(self.path(name).parent):
            if not self._holds(name, expected):
                return False
            self.delete(name)
            return True

    def delete(self, name: str) -> None:
        with of_file(self.path(name)):
            self.path(name).unlink(missing_ok=True)

    def list(self, prefix: str) -> list[str]:
        return sorted(
            file.relative_to(self.root).as_posix() for file in self._files(prefix, hidden=False)
        )

    def entries(self, prefix: str) -> Sequence[Entry]:
        return sorted(self._entries(prefix, hidden=False), key=lambda entry: entry.name)

    def sha256(self, name: str) -> str:
        return digest(self.stream(name))

    def below(self, prefix: str) -> LocalStore:
        return LocalStore(self.path(prefix))

    def at(self, url: str) -> LocalStore:
        return LocalStore(url)

    def beside(self, name: str) -> LocalStore:
        return LocalStore(Path(os.path.abspath(self.root)).parent / check_neighbor(name))

    def preflight(self, planned_bytes: int, min_free_bytes: int) -> None:
        if not planned_bytes:
            return  # nothing will be written
        existing = self.root.absolute()
        with of_file(existing, "store.url"):
            while not existing.exists():
                existing = existing.parent
        if not existing.is_dir() or not os.access(existing, os.W_OK):
            raise StoreError(
                f"store.url: cannot write below {str(existing)!r}; choose another folder"
            )
        free, needed = shutil.disk_usage(existing).free, planned_bytes + min_free_bytes
        if free < needed:
            raise StoreError(
                f"store.url: {free / 1e9:.1f} GB free at {str(existing)!r}; want "
                f"{needed / 1e9:.1f} GB (planned images and store.min_free_bytes); free "
                "some or choose another disk"
            )

    def probe(self, log: Callable[[str], None] = print) -> None:
        name = f"probe-{uuid.uuid4().hex}"
        try:
            self.put_once(name, b"1")
            try:
                self.put_once(name, b"2")
            except Conflict:
                return
        except StoreError as error:
            raise StoreError(
                f"store.url: {self.url!r} cannot create files by hard link ({error}); choose a "
                "folder on a filesystem that can"
            ) from None
        finally:
            self.delete(name)
        raise StoreError(
            f"store.url: {self.url!r} let a file be created twice; choose another filesystem"
        )

    def leftovers(self) -> Sequence[Entry]:
        return list(self._entries("", hidden=True))

    def discard(self, leftover: Entry) -> None:
        self.delete(leftover.name)

    def prune(self) -> None:
        folders = [folder for folder in self.root.rglob("*") if folder.is_dir()]
        for folder in sorted(folders, reverse=True):  # the inner ones first
            with suppress(OSError):  # it is not empty
                folder.rmdir()
        with suppress(OSError):
            os.removedirs(self.root)

    def path(self, name: str) -> Path:
        """The file of a name; raises ValueError for a name that leaves the store."""
        return self.root / check_name(name)

    def _files(self, prefix: str, *, hidden: bool) -> Iterator[Path]:
        folder = self.path(prefix.rpartition("/")[0])
        for file in folder.rglob("*") if folder.is_dir() else ():
            if file.name.startswith(".") == hidden and file.is_file():
                if file.relative_to(self.root).as_posix().startswith(prefix):
                    yield file

    def _entries(self, prefix: str, *, hidden: bool) -> Iterator[Entry]:
        for file in self._files(prefix, hidden=hidden):
            with suppress(FileNotFoundError):  # a live writer's temporary file is gone at once
                status = file.stat()
                name = file.relative_to(self.root).as_posix()
                yield Entry(name, status.st_size, status.st_mtime)

    def _holds(self, name: str, expected: bytes) -> bool:
        return self.size(name) == len(expected) and self.get(name) == expected

    def _compare(self, name: str, data: bytes, sha256: str | None) -> bool:
        with suppress(FileNotFoundError):  # somebody deleted it meanwhile
            if self.sha256(name) == (sha256 or hashlib.sha256(data).hexdigest()):
                return False
        raise Conflict(f"{self.path(name)}: exists with other bytes; a name is written once")

    @contextmanager
    def _written(self, name: str, data: bytes) -> Iterator[Path]:
        """A synced temporary file in the final folder, removed afterwards."""
        final = self.path(name)
        temporary = final.with_name(f".{final.name}.{uuid.uuid4().hex[:8]}")
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            yield temporary
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise disk_error(final, error.errno) from error
        finally:
            with suppress(OSError):  # because the disk may be gone; the error is under way
                temporary.unlink(missing_ok=True)


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """One compare-and-set in a folder at a time; the system frees what a dead process holds."""
    import fcntl

    with of_file(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
