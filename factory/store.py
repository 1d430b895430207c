"""Where releases live: one interface for a local folder and an object store.

Names are relative, with / between parts. `put_once` is the only way shards and commit records are
written: it creates or it refuses, so two drivers can never leave a mixture.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from factory.errors import ConfigError, Conflict, StoreError


class Store(Protocol):
    """What a release needs of a place; every method may raise StoreError."""

    url: str

    def get(self, name: str) -> bytes:
        """All bytes of `name`; raises FileNotFoundError."""
        ...

    def exists(self, name: str) -> bool: ...

    def put(self, name: str, data: bytes) -> None:
        """Create or replace, whole or not at all."""
        ...

    def put_once(self, name: str, data: bytes) -> bool:
        """Create. False when the same bytes are there already; Conflict when others are."""
        ...

    def swap(self, name: str, expected: bytes | None, data: bytes) -> bool:
        """Replace only if the content is `expected` (None: absent); False when it is not."""
        ...

    def list(self, prefix: str) -> list[str]:
        """Sorted names that begin with `prefix`."""
        ...

    def sha256(self, name: str) -> str: ...

    def below(self, prefix: str) -> Store:
        """The same store with all names under `prefix`."""
        ...

    def preflight(self, planned_bytes: int, min_free_bytes: int) -> None:
        """Raise StoreError when writing cannot work or the space will not do."""
        ...


class LocalStore:
    """A folder. Create-only by hard link on the same filesystem, after fsync."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.url = str(root)

    def get(self, name: str) -> bytes:
        return self.path(name).read_bytes()

    def exists(self, name: str) -> bool:
        return self.path(name).is_file()

    def put(self, name: str, data: bytes) -> None:
        with self._written(name, data) as temporary:
            os.replace(temporary, self.path(name))

    def put_once(self, name: str, data: bytes) -> bool:
        if self.exists(name):
            return self._compare(name, data)
        with self._written(name, data) as temporary:
            try:
                os.link(temporary, self.path(name))
            except FileExistsError:
                return self._compare(name, data)
            _sync_folder(self.path(name).parent)
        return True

    def swap(self, name: str, expected: bytes | None, data: bytes) -> bool:
        import fcntl

        folder = self.path(name).parent
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            found = self.get(name) if self.exists(name) else None
            if found != expected:
                return False
            self.put(name, data)
            return True
        finally:
            os.close(handle)

    def list(self, prefix: str) -> list[str]:
        folder = self.path(prefix.rpartition("/")[0])
        if not folder.is_dir():
            return []
        names = (
            file.relative_to(self.root).as_posix()
            for file in folder.rglob("*")
            if file.is_file() and not file.name.startswith(".")
        )
        return sorted(name for name in names if name.startswith(prefix))

    def sha256(self, name: str) -> str:
        with self.path(name).open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()

    def below(self, prefix: str) -> LocalStore:
        return LocalStore(self.path(prefix))

    def preflight(self, planned_bytes: int, min_free_bytes: int) -> None:
        existing = self.root.absolute()
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

    def path(self, name: str) -> Path:
        """The file of a name; raises ValueError for a name that leaves the store."""
        if name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"store: name {name!r} is not below the store")
        return self.root / name

    def _compare(self, name: str, data: bytes) -> bool:
        if self.sha256(name) == hashlib.sha256(data).hexdigest():
            return False
        raise Conflict(f"{self.path(name)}: exists with other bytes; a name is written once")

    @contextmanager
    def _written(self, name: str, data: bytes) -> Iterator[Path]:
        """A synced temporary file beside the final name, removed afterwards."""
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
            hint = "; free some space, then run again" if error.errno == errno.ENOSPC else ""
            raise StoreError(f"{final}: {error.strerror or error}{hint}") from error
        finally:
            temporary.unlink(missing_ok=True)


def open_store(url: str) -> Store:
    """The store a URL names; s3:// is refused until its implementation is there."""
    if url.startswith("s3://"):
        raise ConfigError(
            f"store.url: got {url!r}; the s3 store is not built yet, want a local folder"
        )
    if "://" in url:
        raise ConfigError(f"store.url: got {url!r}; want a local folder")
    return LocalStore(url)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
