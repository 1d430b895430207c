"""Numpy columns in one file, mapped read-only: memory holds them once for all processes.

The file is a line of JSON (facts, and each column's type, length and place), then the columns, each
at a multiple of 64 bytes.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from factory.store.atomic import dispensable, of_file, writing
from factory.store.cache import PLACE, locked

ALIGN = 64
MAGIC = b"face-factory columns 1\n"
FILE = "faces.columns"
"""Name of the file of a folder that `kept_columns` keeps."""


class Columns:
    """Arrays by name, and facts about them; pickled as the path of their file where they have one.

    `nbytes` is the size of all arrays, which is what they take in memory.
    """

    def __init__(
        self, arrays: Mapping[str, np.ndarray], facts: dict[str, Any], path: Path | None = None
    ) -> None:
        self._arrays, self.facts, self.path = dict(arrays), facts, path

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __reduce__(self) -> tuple[Any, ...]:
        if self.path is None:
            return Columns, (self._arrays, self.facts)
        return Columns.open, (self.path,)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._arrays.values())

    @classmethod
    def open(cls, path: Path) -> Columns:
        """Map a file that `write` made; raises ValueError for any other, FileNotFoundError."""
        with path.open("rb") as file:
            if file.readline() != MAGIC:
                raise ValueError(f"{path}: not a file of columns")
            head = json.loads(file.readline())
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        arrays = {
            name: np.frombuffer(view, np.dtype(kind), count, offset)
            for name, (kind, count, offset) in head["columns"].items()
        }
        return cls(arrays, head["facts"], path)

    def write(self, path: Path) -> Columns:
        """Write the file, whole or not at all, and map it; raises StoreError."""
        size = 0  # of the head, which names places behind itself
        while len(head := self._head(size)) > size:
            size = _aligned(len(head))
        with writing(path) as file:
            file.write(head.ljust(size, b"\0"))
            for array in self._arrays.values():
                file.write(bytes(_aligned(file.tell()) - file.tell()))
                file.write(np.ascontiguousarray(array).data.cast("B") if array.nbytes else b"")
            file.write(bytes(ALIGN))  # because an empty file cannot be mapped
        return Columns.open(path)

    def _head(self, size: int) -> bytes:
        places, offset = {}, size
        for name, array in self._arrays.items():
            offset = _aligned(offset)
            places[name] = (array.dtype.str, len(array), offset)
            offset += array.nbytes
        return (
            MAGIC
            + json.dumps({"columns": places, "facts": self.facts}, allow_nan=False).encode()
            + b"\n"
        )


def _aligned(offset: int) -> int:
    return -(-offset // ALIGN) * ALIGN


def kept_columns(folder: Path, make: Callable[[], Columns]) -> Columns:
    """The columns that a folder of this machine holds, or those of `make`, kept there from now on.

    The first process to ask makes them and the others wait. Where the disk refuses, they are made
    in memory.
    """
    return _kept(folder) or _made(folder, make)


def _kept(folder: Path) -> Columns | None:
    try:
        return Columns.open(folder / FILE)
    except (OSError, ValueError, KeyError):
        return None


def _made(folder: Path, make: Callable[[], Columns]) -> Columns:
    with ExitStack() as held:
        with dispensable(str(folder)), of_file(folder, PLACE):
            held.enter_context(locked(folder))
        found = _kept(folder)  # by whoever held the lock before
        if found is not None:
            return found
        columns = make()
        with dispensable(str(folder)):
            columns = columns.write(folder / FILE)
        return columns
