"""Kept faces of a release back from its store, by the offsets in the metadata."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from factory.identities.plan import Plan
from factory.shards import layout
from factory.store import Store


def metadata_rows(store: Store, unit: int) -> list[dict[str, Any]]:
    """Rows of a shard's kept faces, in the order of the tar."""
    table = pq.read_table(io.BytesIO(store.get(layout.metadata(unit))))
    return list(table.to_pylist())


def read_face(store: Store, unit: int, row: dict[str, Any]) -> bytes:
    """JPEG bytes of one kept face of a unit, by its metadata row."""
    start = int(row["offset"])
    return b"".join(store.stream(layout.tar(unit), start, start + int(row["size"])))


def iterate_kept(store: Store, plan: Plan) -> Iterator[tuple[dict[str, Any], bytes]]:
    """(metadata row, JPEG bytes) of every kept face, shard by shard."""
    for unit in plan.units:
        data = store.get(layout.tar(unit.index))
        for row in metadata_rows(store, unit.index):
            yield row, data[row["offset"] : row["offset"] + row["size"]]
