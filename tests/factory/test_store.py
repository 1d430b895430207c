"""The contract every store keeps; the local folder runs it here."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from factory.errors import ConfigError, Conflict, StoreError
from factory.store import LocalStore, open_store


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "bucket")


def test_put_once_creates_proves_or_refuses(store):
    assert store.put_once("a/b.bin", b"one") is True
    assert store.put_once("a/b.bin", b"one") is False
    with pytest.raises(Conflict, match=r"b\.bin"):
        store.put_once("a/b.bin", b"two")
    assert store.get("a/b.bin") == b"one"


def test_put_replaces_and_leaves_no_temporary_file(store):
    store.put("x", b"1")
    store.put("x", b"22")
    assert store.get("x") == b"22"
    assert os.listdir(store.root) == ["x"]


def test_swap_needs_the_expected_content(store):
    assert store.swap("latest", None, b"1")
    assert not store.swap("latest", None, b"2")
    assert not store.swap("latest", b"0", b"2")
    assert store.swap("latest", b"1", b"2")
    assert store.get("latest") == b"2"


def test_list_is_sorted_by_prefix_and_skips_temporaries(store):
    for name in ("c/2", "c/1", "cc/1", "d"):
        store.put(name, b"")
    (store.root / "c" / ".3.tmp").write_bytes(b"half")
    assert store.list("c/") == ["c/1", "c/2"]
    assert store.list("") == ["c/1", "c/2", "cc/1", "d"]
    assert store.list("none/") == []


def test_below_and_missing(store):
    store.put("r/1/x", b"x")
    assert store.below("r/1").get("x") == b"x"
    with pytest.raises(FileNotFoundError):
        store.get("nothing")


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x"])
def test_names_cannot_leave_the_store(store, name):
    with pytest.raises(ValueError, match="not below"):
        store.put(name, b"")


def test_a_failing_write_leaves_nothing_under_the_final_name(store, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left.*free some"):
        store.put_once("a", b"data")
    monkeypatch.undo()
    assert os.listdir(store.root) == []


def race(root, data, results):
    try:
        results.put(LocalStore(root).put_once("winner", data))
    except Conflict:
        results.put("conflict")


def test_one_winner_of_a_race(store):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    racers = [
        context.Process(target=race, args=(store.root, bytes([i]) * 1000, results))
        for i in range(8)
    ]
    for racer in racers:
        racer.start()
    outcomes = [results.get(timeout=30) for _ in racers]
    for racer in racers:
        racer.join()
    assert outcomes.count(True) == 1
    assert outcomes.count("conflict") == 7


def test_preflight_wants_space_and_a_writable_folder(store, tmp_path):
    store.preflight(0, 0)
    with pytest.raises(StoreError, match=r"store\.url: .* GB free"):
        store.preflight(1 << 60, 0)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot write"):
        LocalStore(tmp_path / "file" / "x").preflight(0, 0)


def test_unknown_urls_are_refused_clearly():
    with pytest.raises(ConfigError, match=r"store\.url"):
        open_store("s3://bucket/x")
    with pytest.raises(ConfigError, match=r"store\.url"):
        open_store("gopher://x")
