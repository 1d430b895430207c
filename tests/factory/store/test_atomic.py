"""Files are whole or not there, on a disk that refuses in the middle of each writer."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.config import StoreConfig, load
from factory.diffusion.train import save_png
from factory.errors import StoreError
from factory.evaluation import embeddings
from factory.evaluation.embeddings import RealFaces
from factory.evaluation.rows_on_disk import RowsOnDisk
from factory.execution.event_log import EventLog
from factory.execution.inline import run_units
from factory.identities.gallery_files import write_gallery
from factory.release import build
from factory.shards import layout
from factory.shards.export import export
from factory.shards.manifest import read_plan
from factory.shards.reader import local_copy
from factory.sources import FaceSet
from factory.sources.recordio import RecordFile, _scanned, write_records
from factory.store import LocalStore, atomic, cache
from factory.store.atomic import append_line, check_place, refusal, write_atomically, writing
from factory.text_to_image import base_quality
from factory.training import engine
from factory.training.ema import EMA
from factory.training.row_files import Place, RowFiles
from tests.conftest import draw_face, tiny_dotlist
from tests.disks import files_below, files_end_at, filesystem

LIMIT = 300
"""Bytes at which files end; every writer below writes more."""
NOISE = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def nothing_noted():
    atomic._noted.clear()


@pytest.fixture(scope="module")
def released(people, weights, tmp_path_factory) -> LocalStore:
    root = tmp_path_factory.mktemp("released")
    (root / "release.yaml").write_text("{}\n")
    config = load(root / "release.yaml", tiny_dotlist(people, weights, root / "store"))
    build(config, run_units, log=lambda line: None)
    return LocalStore(config.store.url).below(layout.release_prefix("tiny", "0.1.0"))


class Elsewhere:
    """A folder that counts as a bucket, so that it is copied."""

    def __init__(self, store: LocalStore) -> None:
        self.store = store

    def __getattr__(self, name):
        return getattr(self.store, name)


def faces() -> FaceSet:
    images = np.stack([draw_face(0, i) for i in range(4)])
    return FaceSet(images, np.zeros(4, np.int64), ["a"], [f"a/{i}" for i in range(4)], "f")


def records(folder: Path) -> RecordFile:
    """A .rec without an index, written before the disk refuses."""
    write_records(folder / "x.rec", np.array([0, 1]), [bytes(NOISE), bytes(NOISE)])
    (folder / "x.idx").unlink()
    return RecordFile(folder / "x.rec")


def fetch(folder: Path, bucket: LocalStore) -> None:
    digests = {layout.ROSTER: bucket.sha256(layout.ROSTER)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        cache.fetched(bucket, digests)


def events(folder: Path) -> None:
    log = EventLog(str(folder / "events.jsonl"))
    for unit in range(100):
        log.write("leased", unit=unit, text="x" * 100)


def average(folder: Path) -> None:
    EMA(torch.nn.Linear(50, 50), 0.9).save(folder)


FATAL = {
    "a file": lambda folder, _: write_atomically(folder / "x", bytes(1000)),
    "a checkpoint": lambda folder, _: checkpoint.save(
        folder, checkpoint.Checkpoint("k", {"w": torch.zeros(500)}, {}, 0, {}, {}, "")
    ),
    "the state of an optimizer": lambda folder, _: engine._write(
        folder, {"w": torch.zeros(500)}, {}
    ),
    "the average of a training": lambda folder, _: average(folder),
    "a gallery": lambda folder, _: write_gallery(
        str(folder / "g.npy"), [np.ones((100, 16), np.float32)], "sha"
    ),
    "records": lambda folder, _: write_records(
        folder / "x.rec", np.array([0, 1]), [bytes(NOISE), bytes(NOISE)]
    ),
    "a copy of a release": lambda folder, store: local_copy(
        Elsewhere(store), read_plan(store), str(folder)
    ),
    "an export as imagefolder": lambda folder, store: export(store, "imagefolder", folder),
    "an export as rec": lambda folder, store: export(store, "rec", folder),
    "an export as parquet": lambda folder, store: export(store, "parquet", folder),
    "a log": lambda folder, _: append_line(folder / "history.jsonl", "x" * 400),
    "weights of a bucket": fetch,
    "rows of a training": lambda folder, _: RowFiles(
        Place.at(str(folder / "rows"), StoreConfig()), "latents", 4, 4
    ).put(0, np.ones((4, 500), np.float32), {}),
}
COPIED_ELSEWHERE = "weights of a bucket"
"""What a cache that takes nothing at all does not end (test_cache.py)."""
DISPENSABLE = {
    "kept vectors": lambda folder: embeddings._keep(
        folder, "v", RealFaces(np.ones((100, 16)), NOISE[0], NOISE[1])
    ),
    "a sheet of samples": lambda folder: save_png(folder / "s.png", NOISE),
    "a grid of decodings": lambda folder: base_quality._save_grid(
        folder / "g.png", np.stack([NOISE] * 4)
    ),
    "the event log": events,
}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(atomic, "TRIAL_BYTES", 1)  # so that writers meet the limit, not the trial
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize("name", sorted(FATAL))
def test_a_disk_that_refuses_is_one_line_and_leaves_nothing(folder, released, name):
    with pytest.raises(StoreError) as caught, files_end_at(LIMIT):
        FATAL[name](folder, released)
    line = str(caught.value)
    assert "\n" not in line
    assert str(folder) in line
    assert "File too large; raise the limit" in line
    left = [f for f in folder.rglob("*") if f.is_file() and f.stat().st_size]
    # of an export some images are small enough to be whole
    assert all(f.suffix == ".jpg" and f.stat().st_size <= LIMIT for f in left)


@pytest.mark.parametrize("name", sorted(DISPENSABLE))
def test_what_is_only_kept_for_later_is_not_fatal(folder, capsys, name):
    with files_end_at(LIMIT):
        DISPENSABLE[name](folder)
        DISPENSABLE[name](folder)
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 1  # once, however often
    assert str(folder) in notes[0]
    whole = [f for f in folder.rglob("*") if f.is_file()]
    assert [f.name for f in whole if f.suffix != ".jsonl"] == []
    assert all(line.endswith("}") for f in whole for line in f.read_text().splitlines())


def test_an_index_that_cannot_be_kept_is_found_again(folder, capsys):
    file = records(folder)
    with files_end_at(100):
        first = _scanned(file)
    assert (first == _scanned(file)).all()
    assert "x.scan.npy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space there"),
        (errno.EDQUOT, "free some space there"),
        (errno.EIO, "the disk fails"),
        (errno.EROFS, "choose a folder that can be written"),
        (errno.EACCES, "choose a folder that can be written"),
        (errno.ESTALE, "the network folder was lost; mount it again"),
    ],
)
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
def test_each_refusal_has_its_remedy(tmp_path, monkeypatch, number, remedy, call):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    file = tmp_path / "x"
    file.write_bytes(b"old")

    def write():
        with writing(file, "training.out") as handle:
            handle.write(b"new")
            if call == "write":
                refuse()

    with monkeypatch.context() as patch:
        if call != "write":
            patch.setattr(os, call, refuse)
        with pytest.raises(StoreError) as caught:
            write()
    assert str(caught.value).startswith(f"training.out: {file}: {os.strerror(number)}; {remedy}")
    assert file.read_bytes() == b"old"
    assert files_below(tmp_path) == ["x"]


def test_errors_of_others_stay_what_they_are(tmp_path):
    for error in (FileNotFoundError("s3://b/x"), ConnectionResetError(104, "reset"), KeyError("x")):
        with pytest.raises(type(error)), writing(tmp_path / "x"):
            raise error
        assert refusal(error) is None
    assert files_below(tmp_path) == []


def test_messages_of_libraries_are_understood():
    safetensors = RuntimeError("I/O error: No space left on device (os error 28)")
    assert refusal(safetensors) == errno.ENOSPC
    assert refusal(OSError("100000 requested and 8176 written")) == errno.ENOSPC
    assert refusal(RuntimeError("(os error 2)")) is None


@pytest.fixture
def small(tmp_path):
    """A filesystem of 64 kB that is full."""
    try:
        with filesystem(tmp_path / "full", "64k") as folder:
            with pytest.raises(OSError, match="No space"):
                (folder / "x").write_bytes(bytes(1 << 20))
            yield folder
    except PermissionError:
        pytest.skip("this user may not mount")


def test_a_full_disk(small, released):
    with pytest.raises(StoreError, match=r"training\.out: .*/full/t: No space left .*free some"):
        check_place("training.out", small / "t")
    for name in FATAL.keys() - {COPIED_ELSEWHERE}:
        with pytest.raises(StoreError, match=r"full.*No space left on device; free some"):
            FATAL[name](small / "t", released)
    with pytest.raises(StoreError, match=r"No space left on device; free some"):
        LocalStore(small).put_once("a", bytes(1 << 17))
    assert [f for f in files_below(small) if not f.startswith((".lock", "history"))] == ["x"]


def test_a_disk_that_can_only_be_read(tmp_path, released):
    try:
        with filesystem(tmp_path / "ro", "1m", "ro") as folder:
            for name in FATAL.keys() - {COPIED_ELSEWHERE}:
                with pytest.raises(StoreError, match=r"ro.*Read-only file system; choose a folder"):
                    FATAL[name](folder / "t", released)
            with pytest.raises(StoreError, match=r"fleet\.events: .*Read-only"):
                EventLog(str(folder / "t" / "events"))
            for act in (
                lambda s: s.swap("x", None, b""),
                lambda s: s.put("x", b""),
            ):
                with pytest.raises(StoreError, match="Read-only file system"):
                    act(LocalStore(folder / "s"))
    except PermissionError:
        pytest.skip("this user may not mount")


def test_a_place_that_takes_files_is_left_as_it_was(tmp_path):
    check_place("out", tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_one_line(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    store.put("x", b"1")
    (tmp_path / "d").mkdir()
    with pytest.raises(StoreError, match="d: Is a directory; check the disk"):
        store.get("d")


def test_the_last_line_of_a_log_is_whole(tmp_path):
    log = tmp_path / "h"
    append_line(log, "a" * 100)
    with pytest.raises(StoreError), files_end_at(150):
        append_line(log, "b" * 100)
    append_line(log, "c")
    assert log.read_text().splitlines() == ["a" * 100, "c"]


def test_two_writers_of_a_file_are_each_whole(tmp_path):
    with writing(tmp_path / "x") as one, writing(tmp_path / "x") as other:
        one.write(b"one")
        other.write(b"other")
    assert (tmp_path / "x").read_bytes() == b"one"  # named last
    assert files_below(tmp_path) == ["x"]


def test_rows_of_an_evaluation_that_find_no_room_are_one_line(folder):
    rows = RowsOnDisk(folder, 100, np.float32)
    with pytest.raises(StoreError, match="out: File too large"), files_end_at(LIMIT):
        rows.append(np.ones((200, 100), np.float32))
