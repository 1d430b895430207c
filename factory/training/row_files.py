"""Files of rows that a training reads again and again: each shard is made once, by whoever comes.

    <place>/<digest>/00012.npy    the rows of a shard
    <place>/<digest>/00012.json   its record: sha256, type and shape, and what its maker adds

A place is a folder, or a bucket of which a machine fetches what it maps. The digest is of all that
decides the rows. A shard is made when its record is there and its file has the right size.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from factory.config import StoreConfig
from factory.errors import StoreError
from factory.store import LocalStore, Store, open_store
from factory.store.atomic import of_file, writing
from factory.store.cache import cache_root
from factory.training.distributed import rank, world_size
from factory.training.local_space import check_space
from factory.training.rows import Rows, mapped

KEY = "training.cache"
"""What names the place of these files."""
NUM_THREADS = 16
"""Records that are read at once, because a bucket answers each slowly."""


@dataclass(frozen=True)
class Place:
    """Where files of rows are put, and where this machine maps them."""

    store: Store
    local: Path

    @classmethod
    def at(cls, url: str, config: StoreConfig) -> Place:
        """The place of a folder or an address; `config` has the options of a bucket."""
        store = open_store(dataclasses.replace(config, url=url))
        if isinstance(store, LocalStore):
            return cls(store, store.root)
        return cls(store, cache_root() / "rows" / hashlib.sha256(url.encode()).hexdigest()[:32])


@dataclass(frozen=True)
class RowFiles:
    """The shards of one array of rows."""

    place: Place
    name: str
    """Digest of all that decides the rows."""
    num_rows: int
    shard_rows: int
    """Rows of each shard but the last, which may have fewer; `name` must say them too."""

    @property
    def count(self) -> int:
        """Shards."""
        return -(-self.num_rows // self.shard_rows)

    def rows_of(self, number: int) -> slice:
        """The rows of a shard."""
        start = number * self.shard_rows
        return slice(start, min(start + self.shard_rows, self.num_rows))

    def missing(self) -> list[int]:
        """Shards that are not made, or whose files are cut off."""
        sizes = {entry.name: entry.size for entry in self.place.store.entries(f"{self.name}/")}
        recorded = [n for n in range(self.count) if self.file(n, "json") in sizes]
        record = None  # of any shard: all have rows of one type and shape
        while recorded and record is None:
            record = self._readable(recorded[0])
            recorded = recorded[record is None :]
        whole = {
            number
            for number in recorded
            if record and sizes.get(self.file(number)) == self._npy_bytes(number, record)
        }
        return [number for number in range(self.count) if number not in whole]

    def has(self, number: int) -> bool:
        """Whether a shard is made."""
        record = self._readable(number)
        if record is None:
            return False
        return self.place.store.size(self.file(number)) == self._npy_bytes(number, record)

    def put(self, number: int, rows: np.ndarray, facts: dict[str, Any]) -> int:
        """Write a shard, then its record; returns the bytes of the file. Raises StoreError."""
        rows, store = np.ascontiguousarray(rows), self.place.store
        data = npy(rows)
        record = facts | {
            "sha256": hashlib.sha256(rows.data).hexdigest(),
            "dtype": rows.dtype.str,
            "shape": list(rows.shape[1:]),
        }
        store.put(self.file(number), data)
        store.put(
            self.file(number, "json"), json.dumps(record, sort_keys=True, allow_nan=False).encode()
        )
        return len(data)

    def records(self) -> list[dict[str, Any]]:
        """The records of all shards, in order; raises StoreError for one that is cut off."""
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            records = list(pool.map(self._readable, range(self.count)))
        whole = [record for record in records if record is not None]
        if len(whole) < len(records):
            name = self.file(records.index(None), "json")
            raise StoreError(
                f"{self.place.store.url}/{name}: is not a record; remove it, then run again"
            )
        return whole

    def rows(self) -> Rows:
        """The rows, mapped; every shard must be made."""
        return Rows(lambda number: self.mapped(self.file(number)), self.num_rows, self.shard_rows)

    def mapped(self, name: str) -> np.ndarray:
        """A .npy file below the place, fetched from a bucket first where this machine lacks it."""
        path = self.place.local / name
        if not isinstance(self.place.store, LocalStore):
            with self._lock(path):
                if not path.exists():
                    with writing(path, KEY) as file:
                        for block in self.place.store.stream(name):
                            file.write(block)
        return mapped(path)

    def file(self, number: int, suffix: str = "npy") -> str:
        """The name of a file of a shard in the store."""
        return f"{self.name}/{number:05d}.{suffix}"

    @contextmanager
    def claimed(self, number: int, *, wait: bool) -> Iterator[bool]:
        """Whether this process alone makes a shard now, of all that see the local folder."""
        with self._lock(self.place.local / self.file(number), wait=wait) as is_ours:
            yield is_ours

    @contextmanager
    def _lock(self, path: Path, *, wait: bool = True) -> Iterator[bool]:
        """Hold the lock of a file; the system releases it when a process dies."""
        lock = path.with_name(f".{path.name}.lock")
        with of_file(lock, KEY):
            lock.parent.mkdir(parents=True, exist_ok=True)
            handle = lock.open("w")
        with handle:
            is_ours = _flock(handle, wait=wait)
            yield is_ours
            if is_ours:  # whoever has opened it since finds the file made
                with suppress(OSError):
                    lock.unlink(missing_ok=True)

    def _readable(self, number: int) -> dict[str, Any] | None:
        """The record of a shard; None where it is not there, or cut off."""
        try:
            return dict(json.loads(self.place.store.get(self.file(number, "json"))))
        except (FileNotFoundError, ValueError):
            return None

    def _npy_bytes(self, number: int, record: dict[str, Any]) -> int:
        rows, dtype = self.rows_of(number), np.dtype(record["dtype"])
        shape, header = (rows.stop - rows.start, *record["shape"]), io.BytesIO()
        facts = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, facts)
        return int(header.tell() + np.prod(shape) * dtype.itemsize)


Made = tuple[np.ndarray, dict[str, Any]]
"""The rows of a shard, and what its record says besides their digest."""


@dataclass(frozen=True)
class RowTask:
    """Files of rows, and how each of them is made."""

    files: RowFiles
    make: Callable[[int], Made]

    def make_one(self, number: int) -> int:
        """Make a shard unless it is made; returns the bytes that were written."""
        return 0 if self.files.has(number) else self.files.put(number, *self.make(number))

    def make_missing(self) -> None:
        """Make what is missing, beside the ranks that do the same; all is made on return.

        A shard that another process is at is left to it. Raises StoreError where the rest does not
        fit on the disk.
        """
        missing = self.files.missing()
        first = len(missing) * rank() // world_size()
        order, written = missing[first:] + missing[:first], 0
        for wait in (False, True):
            for place, number in enumerate(order):
                with self.files.claimed(number, wait=wait) as is_ours:
                    if is_ours and (num_bytes := self.make_one(number)) and not written:
                        written = num_bytes
                        left = len(order) - place - 1
                        check_space(self.files.place.local, left * num_bytes, KEY)
            order = [number for number in order if not self.files.has(number)]


def npy(array: np.ndarray) -> bytes:
    """The bytes of a .npy file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def named_by(*facts: str) -> str:
    """The folder of rows that these facts decide."""
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:24]


def _flock(handle: IO[str], *, wait: bool) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a filesystem without locks, on which a shard may be made twice
        return True
    return True
