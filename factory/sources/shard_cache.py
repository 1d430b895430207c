"""Whole shards of a bucket that this machine keeps, up to a number of bytes.

A shard is fetched when one of its images is first wanted, compared with SHA256SUMS, and stays:
images are wanted in an order without end or habit, where replacing would fetch everything again and
again. One shard is fetched at a time on a machine; whoever comes meanwhile, or finds no room, reads
its image by range. Shards of releases that no process has open make room, those first that were
used least lately: two that are in use would fetch what the other one removed, for ever.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from factory.errors import StoreError, Unavailable
from factory.sources.tar_set import TarSet
from factory.store.atomic import dispensable, writing
from factory.store.cache import PLACE, cache_root

USED = "used"
"""File in a release's folder: its time says when it was last opened; who has it open, locks it."""


class ShardCache:
    """The kept shards of a release, below $XDG_CACHE_HOME/face-factory/shards."""

    def __init__(self, tars: TarSet, max_bytes: int) -> None:
        self._tars, self._max_bytes = tars, max_bytes
        self._root = cache_root() / "shards"
        self._folder = self._root / tars.digest[:32]
        self._full = False
        self._lock: int | None = None
        with suppress(OSError):
            os.utime(self._folder / USED)
        self._keep_open()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._keep_open()

    def read(self, name: str, start: int, stop: int) -> bytes | None:
        """Bytes start..stop-1 of a shard that is kept, fetched now if may be; None: it is not.

        Raises IntegrityError for a shard that SHA256SUMS does not vouch for.
        """
        found = self._pread(name, start, stop)
        if found is None and not self._full:
            with dispensable(str(self._folder)):
                try:
                    self._fetch(name)
                except StoreError as error:  # of the disk, unless the bucket does not answer now
                    self._full = not isinstance(error, Unavailable)
                    raise
            found = self._pread(name, start, stop)
        return found

    def drop(self, name: str) -> None:
        """Remove a copy that was damaged since."""
        with suppress(OSError):
            self._path(name).unlink(missing_ok=True)

    def _keep_open(self) -> None:
        """Let no other release take the room of this one's shards, once it has a folder."""
        if self._lock is not None:
            return
        with suppress(OSError):  # there is none yet, or its filesystem has no locks
            self._lock = os.open(self._folder / USED, os.O_RDWR)
            weakref.finalize(self, os.close, self._lock)
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def _path(self, name: str) -> Path:
        return self._folder / name.replace("/", "-")

    def _pread(self, name: str, start: int, stop: int) -> bytes | None:
        try:
            handle = os.open(self._path(name), os.O_RDONLY)
        except OSError:
            return None
        try:
            return os.pread(handle, stop - start, start)
        finally:
            os.close(handle)

    def _fetch(self, name: str) -> None:
        """Keep a shard, unless another process of this machine is fetching one."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / USED).touch()
            self._keep_open()
            with (self._root / ".lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                if self._path(name).exists():
                    return
                size = self._tars.store.size(name) or 0
                self._full = not self._make_room(size)
                if not self._full:
                    self._write(name)
        except OSError as error:
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{PLACE}: {self._root}: {error.strerror}") from None

    def _write(self, name: str) -> None:
        total = hashlib.sha256()
        with writing(self._path(name), PLACE, durable=False) as file:
            for block in self._tars.store.stream(name):
                total.update(block)
                file.write(block)
            self._tars.check(name, total.hexdigest())

    def _make_room(self, size: int) -> bool:
        """Whether `size` further bytes may be kept, after others' shards were removed for them."""
        for path in self._root.glob("*/.*"):
            path.unlink(missing_ok=True)  # by a process that died, for the lock is ours
        kept = {path: path.stat() for path in self._root.glob("*/*.tar")}
        excess = sum(status.st_size for status in kept.values()) + size - self._max_bytes
        others = {path.parent for path in kept if path.parent != self._folder}
        for folder in sorted(others, key=lambda folder: (folder / USED).stat().st_mtime):
            if excess > 0:
                shards = [path for path in kept if path.parent == folder]
                excess -= _removed(folder, {path: kept[path].st_size for path in shards}, excess)
        return excess <= 0


def _removed(folder: Path, sizes: dict[Path, int], excess: int) -> int:
    """Bytes of a release's shards that were removed, `excess` or more if it has them; 0 if open."""
    removed = 0
    with (folder / USED).open("r+b") as used:
        try:
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # it is open, or nobody can know on this filesystem
            return 0
        for path, size in sizes.items():
            if removed < excess:
                path.unlink(missing_ok=True)
                removed += size
    return removed
