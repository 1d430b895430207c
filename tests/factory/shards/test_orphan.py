"""Files without a commit record belong to nobody; of two makers the first commit wins."""

from __future__ import annotations

import json
import time
import urllib.parse

import pytest

from factory.config import StoreConfig
from factory.errors import IntegrityError
from factory.shards import layout, manifest, writer
from factory.shards.status import StatusReader
from factory.shards.verify import verify
from factory.store import open_store
from tests import s3_server
from tests.factory.shards.processes import PLAN, UNITS, contents, processes_on, result

pytestmark = pytest.mark.timeout(120)
RECORD = layout.commit_name(0)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def config(request, tmp_path):
    if request.param == "local":
        return StoreConfig(url=str(tmp_path / "release"))
    return request.getfixturevalue("s3_config")()


@pytest.fixture
def store(config):
    return open_store(config)


def commit(store, unit=0, variant=b"", *, same_bytes=True):
    return writer.commit_files(store, result(unit), contents(unit, variant), same_bytes=same_bytes)


def test_an_orphan_of_other_bytes_is_replaced_and_committed(store):
    """Also on a CPU: a maker may have died after a passing failure, and nobody vouches for it."""
    tar, metadata, _ = contents(0)
    store.put(tar, b"of a dead GPU")
    store.put(metadata, contents(0)[metadata])
    shard = commit(store)
    assert {name: store.get(name) for name in contents(0)} == contents(0)
    assert writer.read_commit(store, 0) == shard
    assert store.list("_") == [RECORD]


def test_an_orphan_of_the_same_bytes_is_committed_as_it_is(store):
    for name, data in contents(0).items():
        store.put(name, data)
    times = [entry.modified_at for entry in store.entries("data/")]
    commit(store)
    assert [entry.modified_at for entry in store.entries("data/")] == times
    assert store.list("_") == [RECORD]


def test_an_orphan_of_a_commit_is_an_alarm_where_bytes_are_promised(store):
    commit(store)
    before = {name: store.get(name) for name in store.list("")}
    with pytest.raises(IntegrityError, match=r"unit 0.*same plan gave other bytes") as raised:
        commit(store, variant=b"other")
    assert "gc" not in str(raised.value)
    assert before == {name: store.get(name) for name in store.list("")}


def test_an_orphan_maker_on_a_gpu_notes_that_another_was_first(store):
    first = commit(store, same_bytes=False)
    assert commit(store, variant=b"other", same_bytes=False) == first
    (note,) = store.list(layout.DIFFERENCES)
    assert store.list(layout.PROOFS) == []
    noted = {file["name"] for file in json.loads(store.get(note))["files"]}
    assert noted == set(contents(0))
    assert {name: store.get(name) for name in contents(0)} == contents(0)
    store.put(layout.PLAN, PLAN.to_json())
    status = StatusReader(store).read()
    assert (status.num_proofs, status.num_differences) == (0, 1)
    assert ("made twice, other bytes", "1 times") in status.rows(0.0, None)


def test_orphan_race_of_two_makers_of_other_bytes_has_one_winner(config):
    """Each has written a part when the other comes; the first commit wins on GPUs."""
    metadata = layout.metadata_name(0)
    with processes_on(config) as processes:
        slow = processes.start(
            "maker",
            variant=b"slow",
            same_bytes=False,
            halt=processes.halt("put_once", metadata),
        )
        slow.until_halted()
        winner = processes.start("maker", variant=b"quick", same_bytes=False).end()
        assert slow.go_on() == winner
    store = open_store(config)
    assert {name: store.get(name) for name in contents(0)} == contents(0, b"quick")
    assert len(store.list(layout.DIFFERENCES)) == 1


def test_orphan_race_with_a_maker_that_replaces_the_files_of_a_live_one(config):
    """The live one is about to commit: it waits for the lock, then stands back."""
    with processes_on(config) as processes:
        first = processes.start(
            "maker", variant=b"first", same_bytes=False, halt=processes.halt("put_once", RECORD)
        )
        first.until_halted()
        second = processes.start(
            "maker",
            variant=b"second",
            same_bytes=False,
            halt=processes.halt("swap", layout.metadata_name(0)),
        )
        second.until_halted()
        first.act.halt.go_on.set()
        first.until_waiting()
        winner = second.go_on()
        assert first.end() == winner
    store = open_store(config)
    assert {name: store.get(name) for name in contents(0)} == contents(0, b"second")


def test_gc_race_over_and_over_with_makers_of_a_live_release(config):
    """gc runs with --older-than-hours 0 again and again until all units are committed."""
    store = open_store(config)
    store.put(layout.tar_name(0), b"orphan")
    with processes_on(config) as processes:
        collector = processes.start("gc until all are committed")
        while store.exists(layout.tar_name(0)):  # so that it is at work before makers are
            time.sleep(0.05)
        makers = [processes.start("maker", unit=unit) for unit in range(UNITS)]
        for maker in makers:
            maker.end()
        assert collector.end() >= 1
    assert manifest.committed_units(store) == set(range(UNITS))
    for unit in range(UNITS):
        assert {name: store.get(name) for name in contents(unit)} == contents(unit)


def test_an_orphan_that_somebody_deleted_after_the_commit_is_written_again(store, monkeypatch):
    """By a tool that knows of no locks, between the commit and the maker's look at its files."""
    real = type(store).put_once

    def put_once(self, name, data, sha256=None):
        answer = real(self, name, data, sha256)
        if name == RECORD:
            self.delete(layout.tar_name(0))
            self.put(layout.metadata_name(0), b"cut off")
        return answer

    monkeypatch.setattr(type(store), "put_once", put_once)
    commit(store)
    assert {name: store.get(name) for name in contents(0)} == contents(0)


@pytest.mark.s3
def test_gc_race_with_an_upload_in_parts(s3_config, s3_endpoint):
    """gc aborts the upload of a live maker, which then has nothing of its file in the store."""
    client = s3_server.client(s3_endpoint)

    def plan(method, path):
        parts = urllib.parse.urlsplit(path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        if method == "PUT" and "partNumber" in query and not faults.done:
            bucket, _, key = urllib.parse.unquote(parts.path).lstrip("/").partition("/")
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=query["uploadId"])
            faults.done.append("aborted")
        return None

    faults = s3_server.Faults(plan)
    with s3_server.proxy(s3_endpoint, faults) as address:
        store = open_store(s3_config(endpoint_url=address, multipart_min_bytes=1))
        commit(store)
        assert faults.done == ["aborted"]
        assert {name: store.get(name) for name in contents(0)} == contents(0)
        assert manifest.committed_units(store) == {0}
        assert store.leftovers() == []


def test_orphan_notes_are_among_the_sealed_extras(store):
    for name in (layout.PLAN, layout.ROSTER, layout.EMBEDDINGS, layout.SUCCESS, layout.SUMS):
        store.put(name, b"")
    commit(store, same_bytes=False)
    commit(store, variant=b"other", same_bytes=False)
    manifest.seal_extras(store)
    (note,) = store.list(layout.DIFFERENCES)
    assert note in store.get(layout.EXTRA_SUMS).decode()
    store.put(note, b"changed")
    assert f"{note} does not have its sha256" in verify(store)
