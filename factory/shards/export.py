"""A sealed release in the formats of other trainers: image folder, MXNet .rec, parquet of the hub.

Files appear whole, so an export that was cut off goes on by the same call (a .rec begins again).
Then all is read back and compared with the release: count, label and digest of every image.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from factory.errors import IntegrityError, StoreError
from factory.shards import layout
from factory.shards.manifest import collect, read_plan
from factory.shards.reader import metadata_rows
from factory.shards.writer import SUFFIXES, suffix_of
from factory.shots.plan import Plan
from factory.store import Store
from factory.store.atomic import check_place, write_atomically

Image = tuple[str, int, bytes]
"""(key, identity, JPEG or PNG bytes)."""
OnUnit = Callable[[int, int], None]
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"_type": "Value", "dtype": "int64"},
    "key": {"_type": "Value", "dtype": "string"},
}
HUB = {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode()}
"""What tells `datasets` that a column holds encoded images."""
SCHEMA = pa.schema(
    [
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("label", pa.int64()),
        ("key", pa.string()),
    ],
    metadata=HUB,
)


def export(store: Store, kind: str, out: Path, on_unit: OnUnit = lambda done, all: None) -> int:
    """Write the kept faces of a sealed release below `out` and return how many there are.

    `kind` is imagefolder, rec or parquet; what was written is read back and compared.

    `on_unit` hears (units read, units in all). Raises StoreError for a release that is not sealed,
    IntegrityError when what is read back is not what the release holds.
    """
    if not store.exists(layout.SUCCESS):
        raise StoreError(f"{store.url}: is not a sealed release; finish it first")
    plan = read_plan(store)
    assert plan is not None, "a sealed release has a plan"
    check_place("out", out)
    write, read = FORMATS[kind]
    write(store, plan, out, on_unit)
    expected = {row["key"]: (row["identity"], row["sha256"]) for row in _rows(store, plan)}
    num_read = 0
    for key, label, encoded in read(out):
        if expected.get(key) != (label, hashlib.sha256(encoded).hexdigest()):
            raise IntegrityError(f"{out}: {key} is not the release's; remove it and export again")
        num_read += 1
    if num_read != len(expected) or num_read != collect(store, plan).counts.kept:
        raise IntegrityError(
            f"{out}: holds {num_read} images, the release {len(expected)}; remove it, export again"
        )
    return num_read


def _rows(store: Store, plan: Plan) -> Iterator[dict[str, object]]:
    for unit in plan.units:
        yield from metadata_rows(store, unit.index)


def _unit(store: Store, unit: int) -> Iterator[Image]:
    data = store.get(layout.tar_name(unit))
    for row in metadata_rows(store, unit):
        yield row["key"], row["identity"], data[row["offset"] : row["offset"] + row["size"]]


def folder_of(key: str) -> str:
    """Folder of an identity: its index as it stands in a key, so that folders sort as keys do."""
    return key.partition("_")[0]


def _write_folder(store: Store, plan: Plan, out: Path, on_unit: OnUnit) -> None:
    """Write <identity>/<key>.jpg (or .png) for every face."""
    for done, unit in enumerate(plan.units, start=1):
        for key, _, encoded in _unit(store, unit.index):
            file = out / folder_of(key) / f"{key}{suffix_of(encoded)}"
            if file.is_file() and file.stat().st_size == len(encoded):
                continue
            write_atomically(file, encoded, durable=False)  # all of them are read back
        on_unit(done, len(plan.units))


def _read_folder(out: Path) -> Iterator[Image]:
    for file in sorted(file for end in SUFFIXES.values() for file in out.glob(f"*/*{end}")):
        yield file.stem, int(file.parent.name), file.read_bytes()


def _write_parquet(store: Store, plan: Plan, out: Path, on_unit: OnUnit) -> None:
    """train-NNNNNN.parquet a unit, with the column types `datasets` reads as images."""
    for done, unit in enumerate(plan.units, start=1):
        file = out / f"train-{unit.index:06d}.parquet"
        if not file.is_file():
            rows = [
                {
                    "image": {"bytes": encoded, "path": key + suffix_of(encoded)},
                    "label": label,
                    "key": key,
                }
                for key, label, encoded in _unit(store, unit.index)
            ]
            table = pa.Table.from_pylist(rows, schema=SCHEMA)
            buffer = io.BytesIO()
            pq.write_table(table, buffer, compression="none")  # because images do not shrink
            write_atomically(file, buffer.getvalue())
        on_unit(done, len(plan.units))


def _read_parquet(out: Path) -> Iterator[Image]:
    for file in sorted(out.glob("train-*.parquet")):
        for row in pq.read_table(file).to_pylist():
            yield row["key"], row["label"], row["image"]["bytes"]


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
            for _, _, encoded in _unit(store, unit.index):
                yield encoded
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


FORMATS = {
    "imagefolder": (_write_folder, _read_folder),
    "parquet": (_write_parquet, _read_parquet),
    "rec": (_write_records, _read_records),
}
