"""Rows of arrays that are read on demand: in memory, or in files that processes map.

A mapped file is in memory once for all ranks and workers of a machine, as long as there is room for
it, and in none of them for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from factory.errors import StoreError

MOST_ROWS = 1024
"""Rows of a shard, unless they are large."""
SHARD_BYTES = 64 << 20
"""Most bytes of the faces of a shard: whoever makes one holds a few copies of them."""

MOST_OPEN = 4096
"""Shards of an array that are kept open: Linux allows a process 65,530 mappings, of all arrays."""

Some = int | slice | Sequence[int] | np.ndarray
"""Rows that are asked for."""


def rows_a_shard(image_px: int) -> int:
    """Rows of a shard of faces of a size: MOST_ROWS, or the power of two that SHARD_BYTES hold.

    A power of two, so that a shard holds whole batches of the networks.
    """
    fitting = max(1, SHARD_BYTES // (3 * image_px**2))
    return min(MOST_ROWS, 1 << (fitting.bit_length() - 1))


class Rows:
    """Rows of equal shape in shards; an array's `shape`, `len` and `rows[chosen]`, which copies."""

    def __init__(
        self,
        open_shard: Callable[[int], np.ndarray],
        num_stored: int,
        shard_rows: int,
        *,
        in_files: bool = True,
    ) -> None:
        """`open_shard` gives the array of a number; the MOST_OPEN that were read last are kept.

        All but the last have `shard_rows`.
        """
        self._open = lru_cache(MOST_OPEN)(open_shard)  # any thread may call it
        self._num_stored = num_stored
        self._chosen_N: np.ndarray | None = None
        """Where row i is stored, if it is not row i."""
        self.shard_rows, self.in_files = shard_rows, in_files

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self._shard(0).shape[1:])

    def __len__(self) -> int:
        return self._num_stored if self._chosen_N is None else len(self._chosen_N)

    def __getitem__(self, rows: Some) -> np.ndarray:
        if isinstance(rows, int | np.integer):
            row: np.ndarray = self.pick(np.array([rows]))[0]
            return row
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        return self.pick(np.asarray(rows, np.int64))

    def pick(self, rows_B: np.ndarray, which_B: np.ndarray | None = None) -> np.ndarray:
        """Copies of rows, [B, ...]; with `which_B` of one entry of each row (its mirror, say)."""
        first = self._shard(0)
        shape = first.shape[1 if which_B is None else 2 :]
        copies = np.empty((len(rows_B), *shape), first.dtype)
        for i, row in enumerate(self._stored(rows_B).tolist()):
            number, offset = divmod(row, self.shard_rows)
            stored = self._shard(number)[offset]
            copies[i] = stored if which_B is None else stored[which_B[i]]
        return copies

    def subset(self, rows: np.ndarray) -> Rows:
        """Some of the rows, in the order given, as rows of the same shards."""
        part = copy(self)
        part._chosen_N = self._stored(rows)
        return part

    def touch(self, rows_B: np.ndarray) -> None:
        """Bring rows into this machine's memory, where the next `pick` finds them."""
        for row in self._stored(rows_B).tolist():
            number, offset = divmod(row, self.shard_rows)
            self._shard(number)[offset].copy()  # without the interpreter's lock, as numpy copies

    def _stored(self, rows: np.ndarray) -> np.ndarray:
        rows = np.where(rows < 0, rows + len(self), rows)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        return rows if self._chosen_N is None else self._chosen_N[rows]

    def _shard(self, number: int) -> np.ndarray:
        return self._open(number)


def in_memory(shards: Sequence[np.ndarray]) -> Rows:
    """Rows of arrays that this process holds, all but the last of one length."""
    num_rows = sum(len(shard) for shard in shards)
    return Rows(shards.__getitem__, num_rows, len(shards[0]), in_files=False)


def mapped(path: Path) -> np.ndarray:
    """The array of a .npy file, read-only.

    Raises StoreError for a file that is cut off, or one more than a process may map.
    Its pages are those of the file, which all processes share. No descriptor stays open, as
    numpy.memmap would keep one: a source has thousands of shards.
    """
    try:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            start = file.tell()
        num_bytes = dtype.itemsize * int(np.prod(shape))
        if path.stat().st_size != start + num_bytes:
            raise ValueError("other size")
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(
            f"{path}: is not a whole array ({error}); remove it, then run again"
        ) from None
    if not num_bytes:
        return np.empty(shape, dtype)
    size = start + num_bytes
    try:
        raw = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).numpy()
    except RuntimeError as error:
        raise StoreError(
            f"{path}: cannot be mapped ({str(error).splitlines()[0]}); a process may map only so "
            "many files: raise vm.max_map_count (sysctl), or free memory"
        ) from None
    array: np.ndarray = raw[start:].view(dtype).reshape(shape)
    array.flags.writeable = False
    return array


class ReadAhead:
    """A thread that brings the rows of the next step into memory while this step is computed."""

    def __init__(self, arrays: Sequence[Rows]) -> None:
        """The same rows are read of each array."""
        self._arrays, self._pool = arrays, ThreadPoolExecutor(1, "read_ahead")
        self._last: Future[None] | None = None

    def begin(self, rows_B: np.ndarray) -> None:
        """Begin to read rows, unless the thread still reads those of the step before."""
        if self._last is None or self._last.done():
            if self._last is not None:
                self._last.result()  # raises what the thread met
            self._last = self._pool.submit(self._touch, rows_B)

    def _touch(self, rows_B: np.ndarray) -> None:
        for rows in self._arrays:
            rows.touch(rows_B)
