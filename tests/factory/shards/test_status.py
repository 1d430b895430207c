"""Status and garbage are read from the store alone."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict

import pytest

from factory.errors import PlanError
from factory.records import Counts, Identity, Shard, Timings
from factory.shards import garbage, layout
from factory.shards.status import StatusReader
from factory.shots.plan import Plan, cut_units
from factory.store import LocalStore, open_store
from tests import s3_server
from tests.planned import REQUEST

WHO = [Identity(i, "virtual", "pca", 0, 0.1, 0.2, 5) for i in range(6)]
PLAN = Plan(REQUEST, {}, cut_units(WHO, 2))


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request, tmp_path):
    if request.param == "local":
        return LocalStore(tmp_path / "release")
    return open_store(request.getfixturevalue("s3_config")())


def commit(store, unit, started, finished, counts, attempt=0):
    timings = Timings(started, finished, 1.0, 2.0)
    shard = Shard(unit, PLAN.hash, [], counts, timings, attempt)
    store.put(layout.commit_name(unit), json.dumps(asdict(shard)).encode())


def test_counts_rate_and_time_left(store):
    store.put(layout.PLAN, PLAN.to_json())
    reader = StatusReader(store)
    assert reader.read().shots_per_s is None
    commit(store, 0, 100.0, 110.0, Counts(10, 2, 9, 2, 1, {"too_dark": 2}), attempt=1)
    commit(store, 2, 100.0, 120.0, Counts(10, 0, 10, 0, 0))
    store.put(layout.proof_name(2, "x"), b"{}")
    store.put(layout.COMMITS + "notes.txt", b"of a person")
    status = reader.read()
    assert (len(status.shards), status.num_units, status.planned) == (2, 3, 30)
    assert (status.counts.kept, status.counts.quarantined) == (19, 1)
    assert status.counts.reasons == {"too_dark": 2}
    assert status.shots_per_s == pytest.approx(22 / 20)
    assert status.left_s == pytest.approx(10 * 22 / 20 / (22 / 20))
    assert (status.num_proofs, status.sealed) == (1, False)
    store.put(layout.SUCCESS, b"")
    assert StatusReader(store).read().sealed


def test_alarms_when_nobody_commits_or_hardly_anything_is_kept(store):
    store.put(layout.PLAN, PLAN.to_json())
    assert StatusReader(store).read().alarms(1e9) == []  # nothing is known yet
    commit(store, 0, 100.0, 140.0, Counts(10, 0, 10, 0, 0))
    status = StatusReader(store).read()
    assert status.actor_hours == pytest.approx(2 / 3600)
    assert status.alarms(140.0 + 5 * 40) == []
    (stalled,) = status.alarms(140.0 + 5 * 40 + 1)
    assert stalled.startswith("no shard for 3.4 min, where one takes 0.7")
    commit(store, 1, 140.0, 180.0, Counts(10, 30, 1, 39, 0, {"too_dark": 39}))
    (rejected,) = StatusReader(store).read().alarms(180.0)
    assert rejected.startswith("only 22% of the last shots were kept")
    store.put(layout.SUCCESS, b"")
    assert StatusReader(store).read().alarms(1e9) == []


def test_a_folder_without_a_release_is_refused(store):
    with pytest.raises(PlanError, match="no release was begun here"):
        StatusReader(store).read()


def test_garbage_is_what_no_release_needs(store, s3_endpoint):
    store.put(layout.PLAN, PLAN.to_json())
    commit(store, 0, 0.0, 1.0, Counts(10, 0, 10, 0, 0))
    for unit in (0, 1):
        store.put(layout.tar_name(unit), b"tar")
    store.put("probe-0a", b"1")
    if isinstance(store, LocalStore):
        (store.root / "data" / ".half.0a1b2c3d").write_bytes(b"ha")
        wanted = {"data/.half.0a1b2c3d": "temporary file"}
    else:
        at = store._at("data/half")
        s3_server.client(s3_endpoint).create_multipart_upload(**at)
        wanted = {"data/half": "unfinished upload"}
    wanted |= {"probe-0a": "probe of a dead driver"}
    wanted |= {layout.tar_name(1): "unit without commit record"}
    now = time.time()
    assert garbage.find(store, 3600, now) == []
    rubbish = garbage.find(store, 3600, now + 4000)
    assert {item.entry.name: item.reason for item in rubbish} == wanted
    assert garbage.remove(store, rubbish) == rubbish
    assert garbage.find(store, 3600, now + 4000) == []
    assert store.exists(layout.tar_name(0))
    assert store.exists(layout.PLAN)


def test_files_of_an_open_unit_are_kept_while_the_release_is_alive(tmp_path):
    store = LocalStore(tmp_path)
    store.put(layout.PLAN, PLAN.to_json())
    store.put(layout.tar_name(1), b"tar")
    long_ago = time.time() - 90_000
    os.utime(store.path(layout.tar_name(1)), (long_ago, long_ago))
    assert garbage.find(store, 86_400, time.time()) == []
    os.utime(store.path(layout.PLAN), (long_ago, long_ago))
    assert [g.entry.name for g in garbage.find(store, 86_400, time.time())] == [layout.tar_name(1)]


def test_a_temporary_file_of_a_live_writer_is_kept_however_young_garbage_may_be(tmp_path):
    store = LocalStore(tmp_path)
    store.put(layout.PLAN, PLAN.to_json())
    (tmp_path / ".half.0a1b2c3d").write_bytes(b"ha")
    now = time.time()
    assert garbage.find(store, 0, now + 1) == []
    assert len(garbage.find(store, 0, now + garbage.LIVE_S + 1)) == 1
    store.put(layout.SUCCESS, b"")
    assert [item.entry.name for item in garbage.find(store, 0, now + 1)] == [".half.0a1b2c3d"]


def test_what_gc_leaves_is_no_sign_of_life_and_no_commit(tmp_path):
    store = LocalStore(tmp_path)
    store.put(layout.PLAN, PLAN.to_json())
    store.put(layout.tar_name(1), b"tar")
    assert garbage.remove(store, garbage.find(store, 0, time.time() + 1))
    assert store.list(layout.COMMITS) == [layout.commit_name(1)]
    assert StatusReader(store).read().shards == []
    store.put(layout.tar_name(1), b"tar")
    long_ago = time.time() - 90_000
    for name in (layout.PLAN, layout.tar_name(1)):
        os.utime(store.path(name), (long_ago, long_ago))
    assert [g.entry.name for g in garbage.find(store, 86_400, time.time())] == [layout.tar_name(1)]


def test_a_unit_committed_meanwhile_is_kept(tmp_path):
    store = LocalStore(tmp_path)
    store.put(layout.PLAN, PLAN.to_json())
    store.put(layout.tar_name(1), b"tar")
    rubbish = garbage.find(store, 0, time.time() + 1)
    commit(store, 1, 0.0, 1.0, Counts(10, 0, 10, 0, 0))
    assert garbage.remove(store, rubbish) == []
    assert store.exists(layout.tar_name(1))


def test_a_roster_without_a_plan_may_go(tmp_path):
    store = LocalStore(tmp_path)
    store.put(layout.ROSTER, b"r")
    (rubbish,) = garbage.find(store, 0, time.time() + 1)
    assert rubbish.reason == "roster without a plan"


def test_a_measurement_that_was_cut_off_is_garbage_once_nobody_writes_there(tmp_path):
    release = tmp_path / "made/releases/0.1.0"
    scratch = LocalStore(layout.measurements_url(f"{release}/"))
    assert scratch.root == tmp_path / "made/evaluation/0.1.0"
    assert garbage.find_measurements(scratch, 60.0, time.time()) == []
    for name in ("f00d/000000.safetensors", "f00d/reference/people.npz"):
        scratch.put(name, b"1")
    later = time.time() + 100
    assert garbage.find_measurements(scratch, 1000.0, later) == []  # it may be measured now
    os.utime(scratch.path("f00d/000000.safetensors"), (later - 2000, later - 2000))
    assert garbage.find_measurements(scratch, 1000.0, later) == []
    scratch.put("beef/000000.safetensors", b"1")
    scratch.put(f"beef/{layout.KEPT_RECORDS}", b"")  # because audit.keep_records asked for it
    old = garbage.find_measurements(scratch, 60.0, later)
    assert {item.entry.name for item in old} == set(scratch.list("f00d/"))
    garbage.remove(scratch, old)
    assert scratch.list("") == ["beef/000000.safetensors", "beef/kept"]


def test_a_measurement_lies_beside_releases_however_they_are_addressed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made/releases").mkdir(parents=True)
    wanted = f"{tmp_path}/made/evaluation/1"
    assert layout.measurements_url("made/releases/1/") == wanted
    monkeypatch.chdir(tmp_path / "made/releases")
    assert layout.measurements_url("1") == wanted
    assert layout.measurements_url("s3://b/made/releases/1") == "s3://b/made/evaluation/1"
