"""What every store must do, run on a folder and on a real S3 server."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest

from factory.errors import ConfigError, Conflict
from factory.store import LocalStore, open_store, open_url
from tests import s3_server


@pytest.fixture(
    params=[
        "local",
        pytest.param("s3", marks=pytest.mark.s3),
        pytest.param("parts", marks=pytest.mark.s3),
    ]
)
def store(request, tmp_path):
    """A folder, a bucket, and a bucket with which everything is uploaded in parts."""
    if request.param == "local":
        return LocalStore(tmp_path / "bucket")
    fields = {"multipart_min_bytes": 1} if request.param == "parts" else {}
    return open_store(request.getfixturevalue("s3_config")(**fields))


def test_put_once_creates_proves_or_refuses(store):
    assert store.put_once("a/b.bin", b"one") is True
    assert store.put_once("a/b.bin", b"one") is False
    with pytest.raises(Conflict, match=r"b\.bin: exists with other bytes"):
        store.put_once("a/b.bin", b"two")
    assert store.get("a/b.bin") == b"one"


def test_put_replaces(store):
    store.put("x", b"1")
    store.put("x", b"22")
    assert store.get("x") == b"22"
    assert store.list("") == ["x"]
    assert store.leftovers() == []


def test_swap_needs_the_expected_content(store):
    assert not store.swap("latest", b"0", b"1")
    assert store.swap("latest", None, b"1")
    assert not store.swap("latest", None, b"2")
    assert not store.swap("latest", b"0", b"2")
    assert store.swap("latest", b"1", b"2")
    assert store.get("latest") == b"2"


def test_swap_into_an_empty_name_never_replaces_what_put_once_made(store):
    assert store.put_once("record", b"first")
    assert not store.swap("record", None, b"second")
    assert store.get("record") == b"first"


def test_delete_if_needs_the_expected_content(store):
    assert not store.delete_if("file", b"1")
    store.put("file", b"2")
    assert not store.delete_if("file", b"1")
    assert not store.delete_if("file", b"22")
    assert store.get("file") == b"2"
    assert store.delete_if("file", b"2")
    assert not store.exists("file")


def test_size_is_that_of_the_object(store):
    assert store.size("none") is None
    store.put("a/b", b"123")
    assert store.size("a/b") == 3
    assert store.size("a/b/c") is None
    store.put("empty", b"")
    assert store.size("empty") == 0


def test_list_is_sorted_by_prefix_and_entries_have_sizes(store):
    before = time.time()
    for name in ("c/2", "c/1", "cc/1", "d"):
        store.put(name, b"123")
    assert store.list("c/") == ["c/1", "c/2"]
    assert store.list("") == ["c/1", "c/2", "cc/1", "d"]
    assert store.list("none/") == []
    entries = store.entries("c/")
    assert [(entry.name, entry.size) for entry in entries] == [("c/1", 3), ("c/2", 3)]
    assert all(before - 2 < entry.modified_at < time.time() + 2 for entry in entries)


def test_streams_whole_and_by_range(store):
    data = bytes(range(256)) * 10_000
    store.put_once("big", data)
    blocks = list(store.stream("big"))
    assert b"".join(blocks) == data
    assert len(blocks) > 1
    assert b"".join(store.stream("big", 1000, 2_000_000)) == data[1000:2_000_000]
    assert b"".join(store.stream("big", len(data) - 7)) == data[-7:]
    assert b"".join(store.stream("big", 5, 5)) == b""
    assert b"".join(store.stream("big", len(data) + 5)) == b""
    store.put("empty", b"")
    assert store.get("empty") == b""


def test_below_missing_and_delete(store):
    store.put("r/1/x", b"x")
    assert store.below("r/1").get("x") == b"x"
    assert store.below("r/1").list("") == ["x"]
    assert store.exists("r/1/x")
    store.delete("r/1/x")
    store.delete("r/1/x")
    assert not store.exists("r/1/x")
    for read in (store.get, store.sha256, lambda name: next(store.stream(name))):
        with pytest.raises(FileNotFoundError):
            read("r/1/x")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x"])
def test_names_cannot_leave_the_store(store, name):
    for act in (lambda: store.put(name, b""), lambda: store.get(name)):
        with pytest.raises(ValueError, match="not below"):
            act()


def test_a_probe_finds_conditions_kept_and_leaves_nothing(store):
    store.preflight(0, 0)
    store.probe()
    assert store.list("") == []
    assert store.leftovers() == []


def race(config, gate, data, results):
    os.environ.update(s3_server.CREDENTIALS)
    store = open_store(config)
    gate.wait()
    try:
        results.put(store.put_once("winner", data))
    except Conflict:
        results.put("conflict")


@pytest.mark.parametrize(
    "kind",
    [
        "local",
        pytest.param("s3", marks=pytest.mark.s3),
        pytest.param("parts", marks=pytest.mark.s3),
    ],
)
def test_a_race_of_sixteen_has_one_winner(kind, request, tmp_path):
    from factory.config import StoreConfig

    if kind == "local":
        config = StoreConfig(url=str(tmp_path / "bucket"))
    else:
        fields = {"multipart_min_bytes": 1} if kind == "parts" else {}
        config = request.getfixturevalue("s3_config")(**fields)
    context = multiprocessing.get_context("forkserver")  # libraries' threads do not outlive a fork
    context.set_forkserver_preload([__name__])
    results, gate = context.Queue(), context.Barrier(16)
    racers = [
        context.Process(target=race, args=(config, gate, bytes([i]) * 100_000, results))
        for i in range(16)
    ]
    for racer in racers:
        racer.start()
    outcomes = [results.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
    if kind == "parts":  # because SeaweedFS 4.48 does not complete uploads atomically
        assert outcomes.count(True) >= 1
    else:
        assert outcomes.count(True) == 1
    assert outcomes.count(True) + outcomes.count("conflict") == 16
    store = open_store(config)
    assert len(set(store.get("winner"))) == 1
    assert store.leftovers() == []  # the losers' uploads are aborted


def test_unknown_urls_are_refused_clearly():
    with pytest.raises(ConfigError, match=r"store\.url: got 's3://'; want s3://bucket/prefix"):
        open_url("s3://")
    with pytest.raises(ConfigError, match=r"store\.url"):
        open_url("gopher://x")
