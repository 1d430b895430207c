"""A unit without some people: what is left keeps its bytes, its order, its keys and its labels.

Members of a tar are copied block by block, headers included; rows of tables keep all columns, and
only the offsets of images move.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.errors import IntegrityError
from factory.records import Counts, FileRecord, Shard
from factory.shards import layout
from factory.shards.reader import content_of
from factory.shards.writer import record_bytes
from factory.store import Store
from factory.store.parquet import read_table, table_to_parquet

BLOCK, RECORD = tarfile.BLOCKSIZE, tarfile.RECORDSIZE


def copy_unit(source: Store, target: Store, shard: Shard, plan_hash: str) -> Shard:
    """Copy the files of a unit nobody withdraws from; returns the new commit record."""
    files = [FileRecord(file.name, file.size, file.sha256) for file in shard.files]
    for file in files:
        target.put_once(file.name, content_of(source, file.name, file.sha256), file.sha256)
    name = layout.quarantine_name(shard.unit)
    if shard.counts.quarantined:
        target.put_once(name, source.get(name))
    return _commit(target, replace(shard, plan_hash=plan_hash, files=files))


def rewrite_unit(
    source: Store, target: Store, shard: Shard, plan_hash: str, leaving: Mapping[int, int]
) -> Shard:
    """Write a unit without the identities `leaving`; returns the new commit record.

    `leaving` holds how many shots were planned of each of them. Vectors of the unit are not carried
    over: there are none where somebody real has a face.
    """
    given = {one.name: content_of(source, one.name, one.sha256) for one in shard.files}
    table = _table(given[layout.metadata_name(shard.unit)])
    rejects = _table(given[layout.rejects_name(shard.unit)])
    gone = _is_in(table, leaving)
    keys = set(table.filter(gone)["key"].to_pylist())
    tar, moved = tar_without(given[layout.tar_name(shard.unit)], keys)
    rejects = rejects.filter(pc.invert(_is_in(rejects, leaving)))
    kept = _moved(table.filter(pc.invert(gone)), moved)
    contents = {
        layout.tar_name(shard.unit): tar,
        layout.metadata_name(shard.unit): table_to_parquet(kept),
        layout.rejects_name(shard.unit): table_to_parquet(rejects),
    }
    failed = _quarantine(source, target, shard, leaving)
    counts = _counts(shard.counts, sum(leaving.values()), len(kept), rejects, failed)
    if counts.identities is not None and counts.short is not None:
        had = Counter(table.filter(gone)["identity"].to_pylist())
        short = sum(0 < had[index] < planned for index, planned in leaving.items())
        counts = replace(
            counts, identities=counts.identities - len(had), short=counts.short - short
        )
    files = []
    for name, content in contents.items():
        sha256 = hashlib.sha256(content).hexdigest()
        target.put_once(name, content, sha256)
        files.append(FileRecord(name, len(content), sha256))
    return _commit(target, replace(shard, plan_hash=plan_hash, files=files, counts=counts))


def tar_without(data: bytes, keys: set[str]) -> tuple[bytes, dict[int, int]]:
    """(tar without the samples of these keys, new offset of the data of each member by its old).

    Raises IntegrityError for a key without a member.
    """
    parts, moved, gone, written = [], {}, set(), 0
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for member in tar:
            stop = member.offset_data + -(-member.size // BLOCK) * BLOCK
            own = {member.name.rpartition(".")[0], member.name.partition(".")[0]} & keys
            if own:
                gone |= own
                continue
            moved[member.offset_data] = written + member.offset_data - member.offset
            parts.append(data[member.offset : stop])
            written += stop - member.offset
    if keys - gone:
        raise IntegrityError(f"tar: has no sample {min(keys - gone)!r} of its metadata; restore it")
    size = -(-(written + 2 * BLOCK) // RECORD) * RECORD
    return b"".join([*parts, bytes(size - written)]), moved


def _commit(store: Store, shard: Shard) -> Shard:
    """Create a commit record, the last of its unit."""
    store.put_once(layout.commit_name(shard.unit), record_bytes(shard))
    return shard


def _table(data: bytes) -> pa.Table:
    return read_table(data)


def _is_in(table: pa.Table, identities: Iterable[int]) -> pa.ChunkedArray:
    return pc.is_in(table["identity"], pa.array(sorted(identities), pa.int64()))


def _moved(table: pa.Table, moved: dict[int, int]) -> pa.Table:
    """The rows with the offsets that their images have now."""
    offsets = pa.array([moved[offset] for offset in table["offset"].to_pylist()], pa.int64())
    place = table.column_names.index("offset")
    return table.set_column(place, table.schema.field(place), offsets)


def _quarantine(source: Store, target: Store, shard: Shard, leaving: Mapping[int, int]) -> int:
    """Write the failures of all others; how many they are."""
    if not shard.counts.quarantined:
        return 0
    name = layout.quarantine_name(shard.unit)
    lines = source.get(name).decode().splitlines()
    left = [line for line in lines if json.loads(line)["shot"]["identity"] not in leaving]
    if left:
        target.put_once(name, ("\n".join(left) + "\n").encode())
    return len(left)


def _counts(counts: Counts, fewer: int, kept: int, rejects: pa.Table, quarantined: int) -> Counts:
    """Shots by outcome, of which `fewer` are planned; what is left over of them was a top-up."""
    planned = counts.planned - fewer
    return replace(
        counts,
        planned=planned,
        topups=kept + len(rejects) + quarantined - planned,
        kept=kept,
        rejected=len(rejects),
        quarantined=quarantined,
        reasons=dict(sorted(Counter(rejects["reason"].to_pylist()).items())),
    )


def zeroed_rows(embeddings: bytes, rows: list[int], num_people: int) -> bytes:
    """A roster's .npy whose given rows are zero; the same bytes where it has no row of theirs.

    Vectors of real people may be left out of it; then it has fewer rows than the roster.
    """
    unit_ND = np.load(io.BytesIO(embeddings), allow_pickle=False)
    if len(unit_ND) != num_people or not unit_ND[rows].any():
        return embeddings
    unit_ND[rows] = 0
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, unit_ND, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
