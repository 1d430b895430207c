"""Tables as Parquet bytes, the same for the same rows."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def to_parquet(rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> bytes:
    """Rows as Parquet bytes; the same rows always give the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()
