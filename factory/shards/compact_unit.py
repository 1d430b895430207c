"""One unit of a compacted release, put together from the units of the version it is made of."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa

from factory.errors import IntegrityError
from factory.records import Counts, Failure, Shard, Shot, Timings, Unit, UnitResult
from factory.shards import layout, writer
from factory.shards.derived import Member
from factory.shards.reader import content_of, metadata_rows
from factory.shots.older_plans import column_names
from factory.shots.plan import Plan, members
from factory.shots.shortfall import with_images
from factory.sources.entries import sample_of
from factory.store import Store
from factory.store.parquet import read_table, to_parquet

Row = dict[str, Any]


@dataclass(frozen=True)
class Contents:
    """What a unit of the older version holds, in memory."""

    shard: Shard
    rows: list[Row]
    files: dict[str, list[tuple[str, bytes]]]
    """(name, bytes) of the members of each sample, by its key."""
    rejects: list[Row]
    failures: list[Failure]
    vectors: dict[str, np.ndarray]

    @classmethod
    def read(cls, store: Store, shard: Shard) -> Contents:
        """Read a unit; raises IntegrityError for files that are not those it was committed with."""
        data = {
            file.name: content_of(store, file.name, file.sha256)
            for file in shard.files
            if not file.name.startswith("loras/")
        }
        rejects = read_table(data[layout.rejects_name(shard.unit)]).to_pylist()
        return cls(
            shard,
            metadata_rows(store, shard.unit),
            _samples(data[layout.tar_name(shard.unit)]),
            [column_names(row) for row in rejects],
            _failures(store, shard),
            _vectors(data.get(layout.vectors_name(shard.unit))),
        )


class UnitCopier:
    """Writes units of a compacted release; keeps the unit of the older one that it read last."""

    def __init__(self, member: Member, plan: Plan, store: Store) -> None:
        self._member, self._plan, self._store = member, plan, store
        self._shards = {shard.unit: shard for shard in member.manifest.shards}
        self._last: Contents | None = None

    def copy(self, unit: Unit) -> None:
        """Write and commit one unit."""
        labels = range(unit.first_identity, unit.first_identity + unit.num_identities)
        stream, rows, rejects = io.BytesIO(), [], []
        failures: list[Failure] = []
        vectors: list[dict[str, np.ndarray]] = []
        parts: list[tuple[Shard, int]] = []
        with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for contents in self._overlapping(labels):
                own = [row for row in contents.rows if row["identity"] in labels]
                rows += [_added(tar, contents, row) for row in own]
                its_rejects = [row for row in contents.rejects if row["identity"] in labels]
                its_failures = [one for one in contents.failures if one.shot.identity in labels]
                rejects += its_rejects
                failures += its_failures
                vectors.append(_of_rows(contents, labels) if own else {})
                parts.append((contents.shard, len(own) + len(its_rejects) + len(its_failures)))
        counts = self._counts(unit, rows, rejects, failures)
        data = {
            layout.tar_name(unit.index): stream.getvalue(),
            layout.metadata_name(unit.index): to_parquet(rows, _schema(self._plan)),
            layout.rejects_name(unit.index): to_parquet(rejects, layout.REJECTS_SCHEMA),
        }
        joined = _joined(vectors, len(rows))
        if joined:
            data[layout.vectors_name(unit.index)] = joined
        result = UnitResult(
            unit.index,
            self._plan.hash,
            counts,
            _timings(parts),
            failures=failures,
            attempt=max(shard.attempt for shard, _ in parts),
            remarks=sorted({remark for shard, _ in parts for remark in shard.remarks}),
        )
        writer.commit_files(self._store, result, data)

    def _overlapping(self, labels: range) -> list[Contents]:
        """The older units that hold some of these identities, in their order."""
        found = []
        for unit in self._member.plan.units:
            stop = unit.first_identity + unit.num_identities
            if unit.first_identity < labels.stop and stop > labels.start:
                if self._last is None or self._last.shard.unit != unit.index:
                    self._last = Contents.read(self._member.store, self._shards[unit.index])
                found.append(self._last)
        return found

    def _counts(
        self, unit: Unit, rows: list[Row], rejects: list[Row], failures: list[Failure]
    ) -> Counts:
        request, people = self._plan.request, members(unit, self._member.roster)
        shots = len(rows) + len(rejects) + len(failures)
        pairs = [(row["identity"], row["image"]) for row in rows]
        return Counts(
            unit.num_shots,
            shots - unit.num_shots,
            len(rows),
            len(rejects),
            len(failures),
            dict(sorted(Counter(row["reason"] for row in rejects).items())),
            *with_images(request, people, pairs),
        )


def _samples(tar: bytes) -> dict[str, list[tuple[str, bytes]]]:
    """(name, bytes) of the members of each sample by its key, in the order of the tar."""
    found: dict[str, list[tuple[str, bytes]]] = {}
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as opened:
        for member in opened:
            file = opened.extractfile(member)
            assert file is not None, "a shard holds files"
            found.setdefault(sample_of(member.name), []).append((member.name, file.read()))
    return found


def _schema(plan: Plan) -> pa.Schema:
    return layout.metadata_schema(plan.request.rendering is not None)


def _added(tar: tarfile.TarFile, contents: Contents, row: Row) -> Row:
    """Add a sample to a tar; its row of metadata with the new place of its image."""
    place, image = 0, b""
    for number, (name, data) in enumerate(contents.files.get(row["key"], [])):
        if not number:
            place, image = tar.offset + writer.BLOCK, data
        writer.add_member(tar, name, data)
    if hashlib.sha256(image).hexdigest() != row["sha256"]:
        raise IntegrityError(
            f"image {row['key']} does not have the sha256 of its metadata row; restore unit "
            f"{contents.shard.unit}"
        )
    return row | {"offset": place}


def _failures(store: Store, shard: Shard) -> list[Failure]:
    if not shard.counts.quarantined:
        return []
    lines = store.get(layout.quarantine_name(shard.unit)).decode().splitlines()
    names = {field.name for field in fields(Shot)}
    return [
        Failure(
            Shot(**{name: value for name, value in body["shot"].items() if name in names}),
            body["error"],
            body["traceback"],
        )
        for body in map(json.loads, lines)
    ]


def _vectors(data: bytes | None) -> dict[str, np.ndarray]:
    from safetensors.numpy import load

    return dict(load(data)) if data else {}


def _of_rows(contents: Contents, labels: range) -> dict[str, np.ndarray]:
    """Vectors of the faces of some identities, by the network that gave them."""
    own_N = np.array([row["identity"] in labels for row in contents.rows])
    return {network: vectors_ND[own_N] for network, vectors_ND in contents.vectors.items()}


def _joined(parts: list[dict[str, np.ndarray]], count: int) -> bytes:
    """The file of vectors of a unit; empty unless all its faces have one by the same networks."""
    from safetensors.numpy import save

    whole: dict[str, np.ndarray] = {}
    for network in sorted({network for part in parts for network in part}):
        vectors_ND = np.concatenate([part[network] for part in parts if network in part])
        if len(vectors_ND) == count:
            whole[network] = np.ascontiguousarray(vectors_ND)
    return bytes(save(whole)) if whole else b""


def _timings(parts: list[tuple[Shard, int]]) -> Timings:
    """What the shots of a unit took in those they come from, by their number."""
    total = Timings(
        min(shard.timings.started_at for shard, _ in parts),
        max(shard.timings.finished_at for shard, _ in parts),
        0.0,
        0.0,
    )
    for shard, shots in parts:
        part = shots / max(shard.counts.shots, 1)
        total = replace(
            total,
            sampling_s=total.sampling_s + part * shard.timings.sampling_s,
            total_s=total.total_s + part * shard.timings.total_s,
        )
    return total
