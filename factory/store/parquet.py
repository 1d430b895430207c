"""Tables as Parquet bytes, the same for the same rows."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def to_parquet(rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> bytes:
    """Rows as Parquet bytes; the same rows always give the same bytes."""
    return table_to_parquet(pa.Table.from_pylist(rows, schema=schema))


def table_to_parquet(table: pa.Table) -> bytes:
    """A table as Parquet bytes, those of the same rows."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
