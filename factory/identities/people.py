"""Identities as columns: a sequence that makes an Identity only when one is asked for.

Half a million of them take 40 MB and are read in a second; as objects they took 1.6 GB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.records import Identity

NUMBERS: dict[str, type[np.generic]] = {
    "index": np.int64,
    "attempt": np.int64,
    "nearest_real_cosine": np.float64,
    "nearest_other_cosine": np.float64,
    "num_shots": np.int64,
    "nearest_other": np.int64,
    "first_parent": np.int64,
    "second_parent": np.int64,
    "mix_weight": np.float64,
}
"""Fields that are numbers, as arrays of numpy."""
TEXTS = ("kind", "proposal", "name", "group")
"""Fields that are texts, as arrays of Arrow."""
MIXES = ("first_parent", "second_parent", "mix_weight")
"""Fields of mixes alone; a table has them only where somebody is one."""
LISTS = ("originals",)
"""Fields that are lists of texts; a column of them is there only where somebody has some."""
LIST = pa.list_(pa.string())
WITHDRAWN = "withdrawn"
"""Kind of a row that keeps the place of somebody real who withdrew, and holds nobody."""
ORDER = tuple(field.name for field in fields(Identity))
DEFAULTS = {f.name: f.default for f in fields(Identity) if f.default is not MISSING}
BLOCK = 4096
"""Identities that are made at once while all are gone through."""


class People(Sequence[Identity]):
    """Identities in columns, one array a field; none is a Python object until it is asked for."""

    def __init__(self, columns: Mapping[str, np.ndarray | pa.Array]) -> None:
        """`columns` by the names of Identity's fields, of one length; lists may be left out."""
        self._columns = dict(columns)

    @classmethod
    def of(cls, identities: Iterable[Identity]) -> People:
        """The same people in columns."""
        if isinstance(identities, People):
            return identities
        rows = list(identities)
        return cls.filled(len(rows), **{n: [getattr(row, n) for row in rows] for n in ORDER})

    @classmethod
    def filled(cls, count: int, **values: Any) -> People:
        """People from a sequence for each field, or one value for all of them.

        Fields that are not given have their default.
        """
        columns: dict[str, np.ndarray | pa.Array] = {}
        for name, value in (DEFAULTS | values).items():
            if name in NUMBERS:
                given = np.asarray(value, NUMBERS[name])
                columns[name] = np.ascontiguousarray(np.broadcast_to(given, (count,)))
            elif name in TEXTS:
                columns[name] = (
                    pa.repeat(value, count)
                    if isinstance(value, str)
                    else pa.array(value, pa.string())
                )
            elif any(value):
                columns[name] = pa.array([list(one) or None for one in value], LIST)
        return cls(columns)

    @classmethod
    def from_table(cls, table: pa.Table) -> People:
        """People of a roster.parquet; columns that an older one lacks have their default."""
        there = set(table.column_names)
        values = {n: _combined(table[n]) for n in ORDER if n in there}
        texts = {name: values.pop(name) for name in TEXTS if name in values}
        texts |= {name: values.pop(name).cast(LIST) for name in LISTS if name in values}
        numbers = {n: value.to_numpy(zero_copy_only=False) for n, value in values.items()}
        return cls(cls.filled(len(table), **numbers)._columns | texts)

    @classmethod
    def joined(cls, parts: Sequence[People]) -> People:
        """One after the other."""
        columns: dict[str, np.ndarray | pa.Array] = {}
        for name in (*NUMBERS, *TEXTS):
            own = [part._columns[name] for part in parts]
            columns[name] = np.concatenate(own) if name in NUMBERS else pa.concat_arrays(own)
        for name in LISTS:
            if any(name in part._columns for part in parts):
                own = [part._columns.get(name, pa.nulls(len(part), LIST)) for part in parts]
                columns[name] = pa.concat_arrays(own)
        return cls(columns)

    def table(self) -> pa.Table:
        """The columns in the order of Identity's fields."""
        no_mixes = not (self.column("first_parent") >= 0).any()
        names = [name for name in ORDER if not (no_mixes and name in MIXES)]
        return pa.table({name: self._columns[name] for name in names if name in self._columns})

    def column(self, name: str) -> np.ndarray:
        """A field of everybody that is a number: [N]."""
        assert name in NUMBERS, name
        return np.asarray(self._columns[name])

    def texts(self, name: str) -> pa.Array:
        """A field of everybody that is a text, as Arrow holds it: [N]."""
        assert name in TEXTS, name
        return self._columns[name]

    def where(self, name: str, text: str) -> np.ndarray:
        """Whether a field that is a text is this one: bool [N]."""
        return np.asarray(pc.equal(self.texts(name), text).to_numpy(zero_copy_only=False), bool)

    def __len__(self) -> int:
        return len(self._columns["index"])

    @overload
    def __getitem__(self, index: int) -> Identity: ...
    @overload
    def __getitem__(self, index: slice) -> People: ...
    def __getitem__(self, index: int | slice) -> Identity | People:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                return self.take(np.arange(start, stop, step))  # because c[4:-1:-1] is nobody
            return People({n: c[start : max(start, stop)] for n, c in self._columns.items()})
        row = range(len(self))[index]  # IndexError where there is none
        return next(iter(self[row : row + 1]))

    def take(self, rows_M: np.ndarray) -> People:
        """Those in some rows, in the order of these."""
        taken = {n: c[rows_M] for n, c in self._columns.items() if n in NUMBERS}
        others = {
            n: c.take(pa.array(rows_M, pa.int64()))
            for n, c in self._columns.items()
            if n not in NUMBERS
        }
        return People(taken | others)

    def __iter__(self) -> Iterator[Identity]:
        names = [name for name in ORDER if name in self._columns]
        for start in range(0, len(self), BLOCK):
            parts = [self._columns[name][start : start + BLOCK].tolist() for name in names]
            for values in zip(*parts, strict=True):
                row = dict(zip(names, values, strict=True))
                for name in LISTS:
                    row[name] = tuple(row.get(name) or ())
                yield Identity(**row)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(
            one == another for one, another in zip(self, other, strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"People({len(self)})"


def _combined(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    joined = column.combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)
