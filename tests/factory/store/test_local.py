"""What only a folder can do wrong."""

from __future__ import annotations

import os

import pytest

from factory.errors import Conflict, StoreError
from factory.store import LocalStore
from factory.store.local import write_atomically


@pytest.fixture
def store(tmp_path):
    return LocalStore(tmp_path / "bucket")


def test_a_failing_write_leaves_nothing_under_the_final_name(store, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left.*free some"):
        store.put_once("a", b"data")
    monkeypatch.undo()
    assert os.listdir(store.root) == []


def test_swap_into_an_empty_name_loses_against_a_link_made_at_that_moment(store, monkeypatch):
    """put_once does not wait for the turn of a swap, which had seen that the name was free."""
    assert store.put_once("record", b"first")
    monkeypatch.setattr(LocalStore, "exists", lambda self, name: False)
    assert not store.swap("record", None, b"second")
    monkeypatch.undo()
    assert store.get("record") == b"first"


def test_a_file_that_is_deleted_while_it_is_compared_is_a_conflict(store, monkeypatch):
    store.put("file", b"same")
    monkeypatch.setattr(LocalStore, "exists", lambda self, name: True)
    store.delete("file")
    with pytest.raises(Conflict):
        store.put_once("file", b"same")


def test_preflight_wants_space_and_a_writable_folder(store, tmp_path):
    store.preflight(0, 0)
    with pytest.raises(StoreError, match=r"store\.url: .* GB free"):
        store.preflight(1 << 60, 0)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot write"):
        LocalStore(tmp_path / "file" / "x").preflight(1, 0)


def test_a_filesystem_without_links_is_refused(store, monkeypatch):
    def unsupported(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", unsupported)
    with pytest.raises(StoreError, match=r"cannot create files by hard link"):
        store.probe()
    assert store.list("") == []


def test_what_a_dead_writer_left_is_found_and_removed(store):
    store.put("c/3", b"")
    (store.root / "c" / ".4.0a1b2c3d").write_bytes(b"half")
    assert store.list("") == ["c/3"]
    assert [(left.name, left.size) for left in store.leftovers()] == [("c/.4.0a1b2c3d", 4)]
    store.discard(store.leftovers()[0])
    assert store.leftovers() == []
    assert store.list("") == ["c/3"]


def test_an_atomic_write_replaces_all_or_nothing(tmp_path, monkeypatch):
    file = tmp_path / "latest"
    write_atomically(file, b"old")
    with file.open("rb") as reader:
        write_atomically(file, b"new and longer")
        assert reader.read() == b"old"  # a reader has the old bytes to their end
    assert file.read_bytes() == b"new and longer"

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(file, b"newest")
    assert file.read_bytes() == b"new and longer"


def test_pruning_removes_folders_without_a_file_and_no_other(tmp_path):
    store = LocalStore(tmp_path / "made/evaluation/1/f00d")
    for name in ("a", "reference/b", "kept/c"):
        store.put(name, b"1")
    (tmp_path / "made/releases").mkdir()
    for name in ("a", "reference/b"):
        store.delete(name)
    store.prune()
    assert store.list("") == ["kept/c"]
    assert not (store.root / "reference").exists()
    store.delete("kept/c")
    store.prune()
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["releases"]
    store.prune()  # where nothing is, nothing happens
