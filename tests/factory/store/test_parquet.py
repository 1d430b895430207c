"""Tables come back as they were, and the same rows are the same bytes."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from factory.store.parquet import to_parquet

ROWS = [{"name": "ann", "score": 0.5, "keys": ["a", "b"]}, {"name": "bob", "score": None}]


def test_rows_come_back_and_are_always_the_same_bytes():
    data = to_parquet(ROWS)
    assert pq.read_table(io.BytesIO(data)).to_pylist() == [ROWS[0], ROWS[1] | {"keys": None}]
    assert to_parquet([dict(row) for row in ROWS]) == data
    assert to_parquet(ROWS[::-1]) != data


def test_a_schema_types_what_no_row_shows():
    schema = pa.schema([("name", pa.string()), ("yaw", pa.float64())])
    table = pq.read_table(io.BytesIO(to_parquet([{"name": "ann"}], schema)))
    assert table.schema.field("yaw").type == pa.float64()
    assert to_parquet([], schema) != to_parquet([{"name": "ann"}], schema)
