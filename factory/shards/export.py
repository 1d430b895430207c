"""A sealed release in the formats of other trainers: image folder, MXNet .rec, parquet of the hub.

Files appear whole, so an export that was cut off goes on by the same call (a .rec begins again).
Each unit is read back and compared with the release, label and digest of every image, then all
images are counted.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from factory.config import StoreConfig
from factory.errors import IntegrityError, StoreError
from factory.provenance.withdrawn import refuse_withdrawn
from factory.shards import layout
from factory.shards.export_about import REC, write_about
from factory.shards.manifest import collect, read_plan
from factory.shards.reader import metadata_rows, open_sealed
from factory.shards.units import DoUnits, OnUnit, one_by_one, unheard
from factory.shards.writer import SUFFIXES, suffix_of
from factory.shots.plan import Plan
from factory.store import Store, open_store
from factory.store.atomic import check_place, write_atomically

Image = tuple[str, int, bytes]
"""(key, identity, JPEG or PNG bytes)."""
Row = dict[str, Any]
"""A row of metadata."""
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"_type": "Value", "dtype": "int64"},
    "key": {"_type": "Value", "dtype": "string"},
}
HUB = {b"huggingface": json.dumps({"info": {"features": FEATURES}}, allow_nan=False).encode()}
"""What tells `datasets` that a column holds encoded images."""
SCHEMA = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("label", pa.int64()),
        ("key", pa.string()),
    ],
    metadata=HUB,
)


def export(
    store: Store,
    kind: str,
    out: Path,
    on_unit: OnUnit = unheard,
    do_units: DoUnits = one_by_one,
    address: StoreConfig | None = None,
) -> int:
    """Write the kept faces of a sealed release below `out` and return how many there are.

    `kind` is imagefolder, rec or parquet; what was written is read back and compared. Card,
    LICENSE, NOTICE, lineage, croissant and the digests of all files go along.

    Units are written where `do_units` does them: elsewhere from the store at `address`, to a folder
    that all machines see. A .rec is one file, in order, written by this process.
    `on_unit` hears (units done, units in all). Raises StoreError for a release that is not sealed,
    IntegrityError when what is read back is not what the release holds.
    """
    if not store.exists(layout.SUCCESS):
        raise StoreError(f"{store.url}: is not a sealed release; finish it first")
    refuse_withdrawn(store, "release")
    store = open_sealed(store)
    plan = read_plan(store)
    assert plan is not None, "a sealed release has a plan"
    check_place("out", out)
    if kind == REC:
        _write_records(store, plan, out, on_unit)
        found = _compare(out, _read_records(out), list(_rows(store, plan)))
    else:
        opened = partial(open_exporter, address) if address else partial(UnitExporter, store)
        units = [unit.index for unit in plan.units]
        do_units(partial(opened, kind, out.absolute()), units, on_unit)
        found = FORMATS[kind].count(out)
    num_kept = collect(store, plan).counts.kept
    if found != num_kept:
        raise IntegrityError(
            f"{out}: holds {found} images, the release {num_kept}; remove it and export again"
            + (", to a folder that all machines see" if address else "")
        )
    write_about(store, plan, kind, out, found)
    return found


class UnitExporter:
    """Writes units in one format and reads them back."""

    def __init__(self, store: Store, kind: str, out: Path) -> None:
        self._store, self._format, self._out = store, FORMATS[kind], out

    def __call__(self, unit: int) -> list[str]:
        """Write a unit; raises IntegrityError where it is read back otherwise."""
        rows = metadata_rows(self._store, unit)
        self._format.write(self._store, unit, rows, self._out)
        _compare(self._out, self._format.read(self._out, unit, rows), rows)
        return []


def open_exporter(address: StoreConfig, kind: str, out: Path) -> UnitExporter:
    """An exporter of the release at an address."""
    return UnitExporter(open_sealed(open_store(address)), kind, out)


def _compare(out: Path, images: Iterator[Image], rows: list[Row]) -> int:
    """How many images there are; raises IntegrityError unless they are those of the rows."""
    expected = {row["key"]: (row["identity"], row["sha256"]) for row in rows}
    count = 0
    for key, label, encoded in images:
        if expected.get(key) != (label, hashlib.sha256(encoded).hexdigest()):
            raise IntegrityError(f"{out}: {key} is not the release's; remove it and export again")
        count += 1
    if count != len(expected):
        raise IntegrityError(
            f"{out}: holds {count} images, the release {len(expected)}; remove it, export again"
        )
    return count


def _rows(store: Store, plan: Plan) -> Iterator[Row]:
    for unit in plan.units:
        yield from metadata_rows(store, unit.index)


def _images(store: Store, unit: int, rows: list[Row]) -> Iterator[Image]:
    data = store.get(layout.tar_name(unit))
    for row in rows:
        yield row["key"], row["identity"], data[row["offset"] : row["offset"] + row["size"]]


def folder_of(key: str) -> str:
    """Folder of an identity: its index as it stands in a key, so that folders sort as keys do."""
    return key.partition("_")[0]


def _write_folder(store: Store, unit: int, rows: list[Row], out: Path) -> None:
    """Write <identity>/<key>.jpg (or .png) for every face."""
    for key, _, encoded in _images(store, unit, rows):
        file = out / folder_of(key) / f"{key}{suffix_of(encoded)}"
        if file.is_file() and file.stat().st_size == len(encoded):
            continue
        write_atomically(file, encoded, durable=False)  # all of them are read back


def _read_folder(out: Path, unit: int, rows: list[Row]) -> Iterator[Image]:
    """All images of the folders of a unit's people, those that nobody has written included."""
    for folder in sorted({out / folder_of(row["key"]) for row in rows}):
        for file in sorted(file for end in SUFFIXES.values() for file in folder.glob(f"*{end}")):
            yield file.stem, int(folder.name), file.read_bytes()


def _count_folder(out: Path) -> int:
    return sum(1 for end in SUFFIXES.values() for _ in out.glob(f"*/*{end}"))


def _parquet_file(out: Path, unit: int) -> Path:
    return out / f"train-{unit:06d}.parquet"


def _write_parquet(store: Store, unit: int, rows: list[Row], out: Path) -> None:
    """train-NNNNNN.parquet, with the column types `datasets` reads as images."""
    if _parquet_file(out, unit).is_file():
        return
    images = [
        {"image": {"bytes": encoded, "path": key + suffix_of(encoded)}, "label": label, "key": key}
        for key, label, encoded in _images(store, unit, rows)
    ]
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(images, schema=SCHEMA)
    pq.write_table(table, buffer, compression="none")  # because images do not shrink
    write_atomically(_parquet_file(out, unit), buffer.getvalue())


def _read_parquet(out: Path, unit: int, rows: list[Row]) -> Iterator[Image]:
    for row in pq.read_table(_parquet_file(out, unit)).to_pylist():
        yield row["key"], row["label"], row["image"]["bytes"]


def _count_parquet(out: Path) -> int:
    return sum(pq.read_metadata(file).num_rows for file in out.glob("train-*.parquet"))


def _write_records(store: Store, plan: Plan, out: Path, on_unit: OnUnit) -> None:
    """Write train.rec, train.idx, and train.lst (record, class, identity and key).

    Classes run from 0 without gaps, as trainers of this format want; identities without a kept face
    have none.
    """
    from factory.sources.recordio import write_records

    if (out / "train.lst").is_file():
        return
    rows = list(_rows(store, plan))
    _, classes = np.unique([row["identity"] for row in rows], return_inverse=True)

    def images() -> Iterator[bytes]:
        for done, unit in enumerate(plan.units, start=1):
            rows_of_unit = metadata_rows(store, unit.index)
            yield from (encoded for *_, encoded in _images(store, unit.index, rows_of_unit))
            on_unit(done, len(plan.units))

    write_records(out / "train.rec", classes, images())
    lines = [
        f"{number}\t{label}\t{folder_of(str(row['key']))}/{row['key']}.jpg\n"
        for number, (label, row) in enumerate(zip(classes, rows, strict=True), start=1)
    ]
    write_atomically(out / "train.lst", "".join(lines).encode())


def _read_records(out: Path) -> Iterator[Image]:
    from factory.sources.recordio import RecordFile, read_index

    file = RecordFile(out / "train.rec")
    keys, offsets = read_index(file)
    offset_of = dict(zip(keys.tolist(), offsets.tolist(), strict=True))
    for line in (out / "train.lst").read_text().splitlines():
        number, label, name = line.split("\t")
        record = file.read(offset_of[int(number)])
        if record.labels[0] != float(label):
            raise IntegrityError(
                f"{out}: record {number} has label {record.labels[0]}, not {label}"
            )
        identity, _, key = name.removesuffix(".jpg").partition("/")
        yield key, int(identity), bytes(record.image)


@dataclass(frozen=True)
class Format:
    """How the images of a unit are written and read, and all below a folder counted."""

    write: Callable[[Store, int, list[Row], Path], None]
    read: Callable[[Path, int, list[Row]], Iterator[Image]]
    count: Callable[[Path], int]


FORMATS = {
    "imagefolder": Format(_write_folder, _read_folder, _count_folder),
    "parquet": Format(_write_parquet, _read_parquet, _count_parquet),
}
"""Formats whose units are written apart from each other."""
KINDS = (*sorted(FORMATS), REC)
