"""Tables as Parquet bytes, the same for the same rows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def read_table(data: bytes, columns: list[str] | None = None) -> pa.Table:
    """The table, or some columns of it, that Parquet bytes hold.

    Not by `pq.read_table`: that leaves the bytes to a thread of Arrow, and a process that ends
    while the thread still holds them is aborted. Columns that are not there are left out.
    """
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        return file.read(columns, use_threads=False)


def to_parquet(rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> bytes:
    """Rows as Parquet bytes; the same rows always give the same bytes."""
    return table_to_parquet(pa.Table.from_pylist(rows, schema=schema))


def table_to_parquet(table: pa.Table) -> bytes:
    """A table as Parquet bytes, those of the same rows."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def open_parquet(path: Path) -> pq.ParquetFile:
    """A file whose row groups are read one at a time, mapped into memory; raises as pyarrow does.

    Read from it with use_threads=False, because of what `read_table` says.
    """
    return pq.ParquetFile(path, memory_map=True)
