"""Shards are whole, deterministic and exactly once; seal and verify see what does not add up."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile

import numpy as np
import pytest
import webdataset

from factory.errors import IntegrityError, PlanError
from factory.records import Counts, Face, Failure, Identity, Scores, Timings, UnitResult
from factory.shards import layout, manifest, writer
from factory.shards.reader import iterate_kept, metadata_rows
from factory.shards.verify import verify
from factory.shots.plan import Plan, cut_units
from factory.store import LocalStore
from tests.planned import REQUEST, shots_of

WHO = [Identity(i, "virtual", "pca", 0, 0.1, 0.2, 2) for i in range(2)]
ROSTER = {
    layout.ROSTER: hashlib.sha256(b"roster").hexdigest(),
    layout.EMBEDDINGS: hashlib.sha256(b"embeddings").hexdigest(),
}
PLAN = Plan(REQUEST, ROSTER, cut_units(WHO, 2))


def make_faces(brightness: int = 50) -> list[Face]:
    scores = Scores(0.9, 1, 0.2, 0.3, 100.0, 120.0)
    faces = []
    for shot in shots_of(REQUEST, [(0, 0), (0, 1), (1, 0), (1, 1)]):
        image = np.full((8, 8, 3), brightness + shot.slot, np.uint8)
        faces.append(Face(shot, writer.Encoding("jpeg", 90).encode(image), scores))
    return faces


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "release")


def commit(store, unit=0, faces=None, rejected=(), failures=(), counts=None, took_s=0.7):
    faces = make_faces() if faces is None else faces
    total = len(faces) + len(rejected) + len(failures)
    counts = counts or Counts(4, total - 4, len(faces), len(rejected), len(failures))
    timings = Timings(0.0, 1.0, 0.5, took_s)
    result = UnitResult(unit, PLAN.hash, counts, timings, faces, list(rejected), list(failures))
    return writer.commit(store, result, WHO)


def test_rows_point_at_the_jpeg_in_the_tar(store):
    shard = commit(store)
    data = store.get(layout.tar_name(0))
    for row, face in zip(metadata_rows(store, 0), make_faces(), strict=True):
        piece = data[row["offset"] : row["offset"] + row["size"]]
        assert piece == face.encoded
        assert row["sha256"] == hashlib.sha256(piece).hexdigest()
        assert (row["key"], row["seed"]) == (face.shot.key, face.shot.seed)
    assert [file.name for file in shard.files] == [
        layout.tar_name(0),
        layout.metadata_name(0),
        layout.rejects_name(0),
    ]


def test_tars_carry_no_time_or_owner_and_repeat(store, tmp_path):
    commit(store)
    with tarfile.open(fileobj=io.BytesIO(store.get(layout.tar_name(0)))) as tar:
        members = tar.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname) for m in members} == {(0, 0, 0, "")}
    assert [m.name.split(".")[1] for m in members] == ["jpg", "cls", "json"] * 4
    other = LocalStore(tmp_path / "other")
    commit(other)
    for name in (layout.tar_name(0), layout.metadata_name(0), layout.rejects_name(0)):
        assert store.get(name) == other.get(name)


def test_plain_webdataset_reads_the_shard(store):
    commit(store)
    path = str(store.path(layout.tar_name(0)))
    samples = list(webdataset.WebDataset(path, shardshuffle=False).decode("rgb8"))
    assert [s["__key__"] for s in samples] == [f.shot.key for f in make_faces()]
    assert [s["cls"] for s in samples] == [0, 0, 1, 1]
    assert samples[0]["jpg"].shape == (8, 8, 3)
    assert samples[0]["json"]["kind"] == "virtual"


def test_a_lost_race_with_the_same_bytes_is_proof(store):
    first = commit(store)
    second = commit(store, took_s=0.8)
    assert second == first  # the record that stands
    (proof,) = store.list(layout.PROOFS)
    assert (
        json.loads(store.get(proof))["files"]
        == json.loads(store.get(layout.commit_name(0)))["files"]
    )


def test_other_bytes_of_the_same_unit_are_an_alarm(store):
    commit(store)
    with pytest.raises(IntegrityError, match=r"unit 0.*same plan gave other bytes"):
        commit(store, faces=make_faces(brightness=90))


def test_counts_that_do_not_add_up_are_never_written(store):
    with pytest.raises(IntegrityError, match="unit 0"):
        commit(store, counts=Counts(4, 0, 3, 0, 0))
    assert store.list("") == []


def test_an_exception_in_the_middle_leaves_no_commit(store, monkeypatch):
    real = LocalStore.put_once

    def fails(self, name, data, sha256=None):
        if name.startswith("metadata"):
            raise OSError(5, "Input/output error")
        return real(self, name, data, sha256)

    monkeypatch.setattr(LocalStore, "put_once", fails)
    with pytest.raises(OSError, match="Input/output"):
        commit(store)
    assert manifest.committed_units(store) == set()
    monkeypatch.undo()
    commit(store)
    assert manifest.committed_units(store) == {0}


def test_rejects_and_failures_are_written_with_their_reason(store):
    faces = make_faces()
    failure = Failure(faces[3].shot, "ValueError('no')", "Traceback ...")
    commit(store, faces=faces[:2], rejected=[(faces[2], "too_dark")], failures=[failure])
    import pyarrow.parquet as pq

    rows = pq.read_table(io.BytesIO(store.get(layout.rejects_name(0)))).to_pylist()
    assert [(r["key"], r["reason"]) for r in rows] == [(faces[2].shot.key, "too_dark")]
    line = json.loads(store.get(layout.quarantine_name(0)))
    assert line["shot"]["seed"] == faces[3].shot.seed
    assert "Traceback" in line["traceback"]


@pytest.fixture
def plan(store):
    store.put(layout.PLAN, PLAN.to_json())
    store.put(layout.ROSTER, b"roster")
    store.put(layout.EMBEDDINGS, b"embeddings")
    return PLAN


def finish(store, plan):
    sealed = manifest.seal(store, plan, 0.0)
    manifest.seal_extras(store)
    store.put_once(layout.SUCCESS, b"")
    return sealed


def test_seal_then_verify(store, plan):
    with pytest.raises(PlanError, match="1 of 1 shards are not committed, first 0"):
        manifest.seal(store, plan, 0.0)
    commit(store)
    sealed = finish(store, plan)
    assert sealed.counts == Counts(4, 0, 4, 0, 0)
    assert verify(store) == []
    wids = json.loads(store.get(layout.WIDS))
    assert wids["shardlist"][0]["nsamples"] == 4
    assert len(list(iterate_kept(store, plan))) == 4
    names = [line.split("  ")[1] for line in store.get(layout.SUMS).decode().splitlines()]
    assert names == sorted(names)
    assert not any(name.startswith(("_commits", "metrics", "report")) for name in names)


@pytest.mark.parametrize("victim", [layout.tar_name(0), layout.metadata_name(0), layout.PLAN])
def test_one_flipped_byte_is_named(store, plan, victim):
    commit(store)
    finish(store, plan)
    data = bytearray(store.get(victim))
    data[len(data) // 2] ^= 1
    store.put(victim, bytes(data))
    assert verify(store) == [f"{victim} does not have its sha256"]


def test_missing_and_stray_files_are_named(store, plan):
    commit(store)
    finish(store, plan)
    store.path(layout.rejects_name(0)).unlink()
    store.put("data/extra.tar", b"")
    assert verify(store) == [
        f"{layout.rejects_name(0)} is missing or cannot be read",
        f"data/extra.tar is not in {layout.SUMS}",
    ]
    store.path(layout.SUCCESS).unlink()
    assert "not sealed" in verify(store)[0]


def test_seal_refuses_a_commit_for_another_plan(store, plan):
    commit(store)
    other = dataclasses.replace(plan, units=[dataclasses.replace(plan.units[0], num_shots=5)])
    with pytest.raises(IntegrityError, match="unit 0 was committed for another plan"):
        manifest.seal(store, other, 0.0)


def test_a_digest_list_that_leaves_a_shard_out_is_seen(store, plan):
    commit(store)
    finish(store, plan)
    store.path(layout.tar_name(0)).unlink()
    lines = store.get(layout.SUMS).decode().splitlines()
    shorter = [line for line in lines if layout.tar_name(0) not in line]
    store.put(layout.SUMS, ("\n".join(shorter) + "\n").encode())
    assert verify(store) == [
        f"{layout.tar_name(0)} is not in {layout.SUMS} with the digest that was committed"
    ]


def test_nobody_kept_is_no_release(store, plan):
    commit(store, faces=[], rejected=[(face, "too_dark") for face in make_faces()])
    with pytest.raises(PlanError, match=r"filters: none of 4 shots was kept"):
        manifest.seal(store, plan, 0.0)


def test_too_many_failures_fail_the_release(store, plan):
    faces = make_faces()
    failures = [Failure(face.shot, "E", "T") for face in faces[2:]]
    commit(store, faces=faces[:2], failures=failures)
    with pytest.raises(PlanError, match=r"release\.max_failed_fraction: 2 of 4"):
        manifest.seal(store, plan, 0.1)
