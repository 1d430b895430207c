"""Compacting: the same samples in other shards, in a release that needs no other."""

from __future__ import annotations

import io
import json
import math
import shutil
import tarfile
from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load

from factory.errors import IntegrityError, PlanError
from factory.shards import layout, manifest, writer
from factory.shards.compact import Cut, compact
from factory.shards.plan_files import open_plan
from factory.shards.reader import metadata_rows, open_sealed, read_face
from factory.shards.union import chain_of, write_union
from factory.shards.verify import verify
from factory.store import LocalStore
from jobs.compact import JOB as compact_job
from tests.factory.shards.test_union import THIRD, UNION, make_chain, release, samples
from tests.grown import Painter, begin, make_units, never, plan_of, publish
from tests.withdrawals import write_version

COMPACT = "1.0.1"
CUTS = {
    "few": Cut(identities_per_unit=100),
    "uneven": Cut(identities_per_unit=4),
    "single": Cut(identities_per_unit=1),
    "bytes": Cut(shard_bytes=30_000),
}


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A dataset of a chain, with vectors, and its union."""
    dataset = LocalStore(tmp_path_factory.mktemp("chain"))
    make_chain(dataset, keep_vectors=True)
    write_union(dataset, chain_of(dataset, THIRD), UNION)
    return dataset


@pytest.fixture
def copied(chain, tmp_path):
    shutil.copytree(chain.root, tmp_path / "chain")
    return LocalStore(tmp_path / "chain")


def members_of(dataset, version):
    """(name, bytes) of every member of every tar, in order."""
    store = open_sealed(release(dataset, version))
    found = []
    for unit in open_plan(store)[0].units:
        with tarfile.open(fileobj=io.BytesIO(store.get(layout.tar_name(unit.index)))) as tar:
            found += [(one.name, one.mtime, tar.extractfile(one).read()) for one in tar]
    return found


def rows_of(dataset, version):
    """Rows of all metadata without the places of images, and all rejects."""
    store = open_sealed(release(dataset, version))
    units = [unit.index for unit in open_plan(store)[0].units]
    kept = [
        {name: value for name, value in row.items() if name != "offset"}
        for unit in units
        for row in metadata_rows(store, unit)
    ]
    tables = (io.BytesIO(store.get(layout.rejects_name(unit))) for unit in units)
    rejects = [row for table in tables for row in pq.read_table(table).to_pylist()]
    return kept, sorted(rejects, key=lambda row: (row["key"], row["attempt"], row["reason"]))


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_compact_keeps_every_sample_and_row(cut, copied):
    compact(copied, UNION, COMPACT, cut)
    assert samples(copied, COMPACT) == samples(copied, UNION)
    assert members_of(copied, COMPACT) == members_of(copied, UNION)
    assert rows_of(copied, COMPACT) == rows_of(copied, UNION)
    store = release(copied, COMPACT)
    plan, roster = open_plan(store)
    counts, before = (
        manifest.collect(release(copied, v), open_plan(release(copied, v))[0]).counts
        for v in (COMPACT, UNION)
    )
    assert (counts.kept, counts.rejected, counts.reasons, counts.shots) == (
        *(before.kept, before.rejected, before.reasons, before.shots),
    )
    assert (counts.identities, counts.short) == (before.identities, before.short)
    seen = Counter()
    for unit in plan.units:
        seen.update({row["identity"] for row in metadata_rows(store, unit.index)})
        for row in metadata_rows(store, unit.index):
            assert read_face(store, unit.index, row)[:2] == b"\xff\xd8"
    assert set(seen.values()) == {1}, "nobody is in two shards"
    assert roster.parquet() == open_plan(release(copied, UNION))[1].parquet()


def test_compact_cuts_where_it_is_told(copied):
    compact(copied, UNION, "2.0.0", CUTS["uneven"])
    sizes = [unit.num_identities for unit in open_plan(release(copied, "2.0.0"))[0].units]
    assert set(sizes[:-1]) == {4}
    compact(copied, UNION, "3.0.0", CUTS["bytes"])
    tars = release(copied, "3.0.0").entries("data/")
    padding = tarfile.RECORDSIZE
    assert max(entry.size for entry in tars) <= 30_000 + padding
    sums = [a.size + b.size for a, b in pairwise(tars)]
    assert min(sums) > 30_000 - padding, "two neighbors would not have fitted into one"


def test_compact_of_a_union_stands_alone_when_its_versions_are_gone(copied):
    before = samples(copied, UNION)
    compact(copied, UNION, COMPACT, CUTS["few"])
    for version in ("0.1.0", "0.2.0", "0.3.0", UNION):
        shutil.rmtree(release(copied, version).root)
    assert verify(release(copied, COMPACT)) == []
    assert samples(copied, COMPACT) == before
    derived = open_plan(release(copied, COMPACT))[0].derived
    assert derived.kind == "compact"
    assert [one.version for one in derived.of] == [UNION]


@pytest.mark.parametrize("cut", ["uneven", "single"])
def test_compact_keeps_vectors_with_their_faces(cut, copied):
    compact(copied, UNION, COMPACT, CUTS[cut])
    store = release(copied, COMPACT)
    for unit in open_plan(store)[0].units:
        rows = metadata_rows(store, unit.index)
        if not rows:
            assert not store.exists(layout.vectors_name(unit.index))
            continue
        (vectors_KD,) = load(store.get(layout.vectors_name(unit.index))).values()
        assert vectors_KD.dtype == np.float16
        assert vectors_KD.argmax(1).tolist() == [row["identity"] for row in rows]


@pytest.mark.parametrize("cut", ["few", "single"])
def test_compact_keeps_real_people_whose_vectors_nobody_has(cut, tmp_path):
    root = LocalStore(tmp_path)
    write_version(root)
    dataset = root.below("tiny")
    compact(dataset, "0.1.0", COMPACT, CUTS[cut])
    assert samples(dataset, COMPACT) == samples(dataset, "0.1.0")
    assert rows_of(dataset, COMPACT) == rows_of(dataset, "0.1.0")
    before, after = (open_plan(release(dataset, v))[1] for v in ("0.1.0", COMPACT))
    assert after.parquet() == before.parquet()
    assert after.embeddings() == before.embeddings()
    assert verify(release(dataset, COMPACT)) == []


def test_compact_goes_on_where_it_was_cut_off_with_the_same_bytes(copied, monkeypatch):
    compact(copied, UNION, "2.0.0", CUTS["uneven"])
    committed, commit = [], writer.commit_files

    def dying(store, result, contents):
        if len(committed) == 2:
            store.put_once(layout.tar_name(result.unit), contents[layout.tar_name(result.unit)])
            raise KeyboardInterrupt
        committed.append(result.unit)
        return commit(store, result, contents)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "commit_files", dying)
        with pytest.raises(KeyboardInterrupt):
            compact(copied, UNION, COMPACT, CUTS["uneven"])
    compact(copied, UNION, COMPACT, CUTS["uneven"])
    a, b = (release(copied, version) for version in ("2.0.0", COMPACT))
    for name in a.list("data/") + a.list("metadata/") + a.list("rejects/"):
        assert a.get(name) == b.get(name)
    assert committed == [0, 1]
    with pytest.raises(PlanError, match="another release was begun there"):
        compact(copied, UNION, COMPACT, CUTS["few"])


def test_compact_keeps_what_was_quarantined(tmp_path):
    class Failing(Painter):
        def generate(self, shots, batch_size):
            if any((s.identity, s.image, s.attempt) == (4, 1, 0) for s in shots):
                raise ValueError("cannot draw this")
            return super().generate(shots, batch_size)

    dataset = LocalStore(tmp_path)
    plan, roster = plan_of(6)
    store = release(dataset, "0.1.0")
    begin(store, plan, roster)
    make_units(store, plan, roster, never, painter=Failing())
    publish(dataset, store, plan)
    sealed = compact(dataset, "0.1.0", COMPACT, Cut(identities_per_unit=4))
    assert [shard.counts.quarantined for shard in sealed.shards] == [0, 1]
    (line,) = release(dataset, COMPACT).get(layout.quarantine_name(1)).decode().splitlines()
    assert json.loads(line)["shot"]["identity"] == 4
    assert verify(release(dataset, COMPACT)) == []


def test_compact_refuses_what_is_damaged(copied):
    tar = release(copied, "0.2.0").path(layout.tar_name(3))
    data = bytearray(tar.read_bytes())
    data[700] ^= 1
    tar.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"train-000003\.tar: does not have its sha256"):
        compact(copied, UNION, COMPACT, CUTS["few"])
    for wrong in ((None, None), (3, 3), (0, None), (None, math.inf), (None, math.nan)):
        with pytest.raises(PlanError, match="compact: got --identities-per-unit"):
            Cut(*wrong)


def test_compact_by_the_job(copied):
    address = f"{copied.root}/releases/{UNION}"
    compact_job.main([address, "--as", COMPACT, "--identities-per-unit", "6"])
    assert samples(copied, COMPACT) == samples(copied, UNION)
    for wrong in ("inf", "nan"):
        with pytest.raises(SystemExit, match=rf"--shard-bytes {wrong}; want one of them"):
            compact_job.main([address, "--as", "2.0.0", "--shard-bytes", wrong])
    with pytest.raises(SystemExit, match="want DATASET/releases/VERSION"):
        compact_job.main([f"{copied.root}/releases/..", "--as", "2.0.0", "--shard-bytes", "9"])
    with pytest.raises(SystemExit, match="--as: nothing given"):
        compact_job.main([address, "--identities-per-unit", "6"])
    with pytest.raises(SystemExit, match=r"release: got .*; want DATASET/releases"):
        compact_job.main([str(copied.root), "--as", "2.0.0", "--identities-per-unit", "6"])
