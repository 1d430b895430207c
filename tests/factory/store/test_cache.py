"""Files of a bucket on a machine: fetched once, whole or not at all, and only the right bytes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import threading

import pytest

from factory import checkpoint
from factory.errors import CheckpointError, IntegrityError, StoreError
from factory.store import LocalStore, atomic, cache
from factory.store.cache import cache_root, fetched


class Counting(LocalStore):
    """A folder that notes what is read from it; a read goes on when `go_on` is set."""

    def __init__(self, root):
        super().__init__(root)
        self.reads: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def stream(self, name, start=0, stop=None):
        self.reads.append(name)
        assert self.go_on.wait(60)
        yield from super().stream(name, start, stop)


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = Counting(tmp_path / "bucket")
    store.put("weights.safetensors", b"w" * 1000)
    return store


def digests(data: bytes) -> dict[str, str]:
    return {"weights.safetensors": hashlib.sha256(data).hexdigest()}


def test_many_readers_fetch_once(bucket, monkeypatch):
    """The download waits until all eight have arrivals for the lock."""
    folders, arrivals, flock = [], threading.Semaphore(0), fcntl.flock

    def counted(lock, operation):
        arrivals.release()
        flock(lock, operation)

    monkeypatch.setattr(cache.fcntl, "flock", counted)
    bucket.go_on.clear()
    readers = [
        threading.Thread(target=lambda: folders.append(fetched(bucket, digests(b"w" * 1000))))
        for _ in range(8)
    ]
    for reader in readers:
        reader.start()
    assert all(arrivals.acquire(timeout=60) for _ in readers)
    bucket.go_on.set()
    for reader in readers:
        reader.join()
    assert bucket.reads == ["weights.safetensors"]
    assert len(folders) == 8
    assert len(set(folders)) == 1
    assert (folders[0] / "weights.safetensors").read_bytes() == b"w" * 1000


def test_nobody_else_may_look_into_the_cache(bucket):
    fetched(bucket, digests(b"w" * 1000))
    assert cache_root().stat().st_mode & 0o077 == 0


def test_other_bytes_are_refused_and_leave_nothing(bucket):
    with pytest.raises(IntegrityError, match=r"weights\.safetensors: has sha256"):
        fetched(bucket, digests(b"other"))
    assert [file.name for file in cache_root().rglob("*") if file.is_file()] == [".lock"]


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../escaped"])
def test_a_name_that_leaves_the_folder_is_refused(bucket, name):
    with pytest.raises(ValueError, match="not below the store"):
        fetched(bucket, {name: "0" * 64})
    assert bucket.reads == []


def test_a_reader_that_died_is_followed_by_another(bucket):
    folder = fetched(bucket, digests(b"w" * 1000))
    (folder / "weights.safetensors").rename(folder / ".weights.safetensors.part")
    assert (fetched(bucket, digests(b"w" * 1000)) / "weights.safetensors").exists()


def test_a_damaged_copy_is_fetched_again(bucket):
    folder = fetched(bucket, digests(b"w" * 1000))
    (folder / "weights.safetensors").write_bytes(b"w" * 10)
    fetched(bucket, digests(b"w" * 1000))
    assert (folder / "weights.safetensors").read_bytes() == b"w" * 1000
    assert len(bucket.reads) == 2


def test_a_place_that_cannot_be_written_is_named_once_and_another_taken(
    bucket, monkeypatch, tmp_path, capsys
):
    """A file in the place of $XDG_CACHE_HOME; then one in that of the other folder too."""
    monkeypatch.setattr(atomic, "_noted", set())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    for _ in range(2):
        folder = fetched(bucket, digests(b"w" * 1000))
        assert folder.parent == tmp_path / "temporary" / f"face-factory-{os.getuid()}"
        assert folder.parent.stat().st_mode & 0o077 == 0
    (note,) = capsys.readouterr().err.splitlines()
    assert "XDG_CACHE_HOME: " in note
    assert "Not a directory; a part of the path" in note
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"^XDG_CACHE_HOME: .*Not a directory; a part of the path"):
        fetched(bucket, digests(b"w" * 1000))


@pytest.fixture
def in_a_bucket(weights, monkeypatch, tmp_path):
    """The recognizer behind s3://models/recognizer, in a folder instead of a bucket."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stores = {"s3://models/recognizer": Counting(weights / "recognizer")}
    empty = LocalStore(tmp_path / "nothing")
    monkeypatch.setattr(checkpoint, "open_url", lambda url: stores.get(url, empty))
    checkpoint._from_bucket.cache_clear()
    yield stores["s3://models/recognizer"]
    checkpoint._from_bucket.cache_clear()


def test_weights_are_named_by_their_address(in_a_bucket, weights):
    remote = checkpoint.load("s3://models/recognizer", "recognizer", "recognizer.checkpoint")
    local = checkpoint.load(str(weights / "recognizer"), "recognizer", "recognizer.checkpoint")
    assert remote.sha256 == local.sha256
    checkpoint._from_bucket.cache_clear()  # as another process of this machine
    checkpoint.load("s3://models/recognizer", "recognizer", "recognizer.checkpoint")
    assert in_a_bucket.reads.count("weights.safetensors") == 1


def test_an_address_without_a_checkpoint(in_a_bucket):
    with pytest.raises(CheckpointError, match=r"s3://models/none: holds no checkpoint"):
        checkpoint.load("s3://models/none", "recognizer", "recognizer.checkpoint")
