"""Faces in files are those in memory, made once, and no process holds their pixels."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from factory.config import Config, load
from factory.errors import SourceError, StoreError, Unavailable
from factory.sources import FaceSet, training_faces
from factory.training import faces as opening
from factory.training import local_space
from factory.training.faces import FaceRows, MappedFaces, describe, describe_faces, open_faces
from factory.training.identity import faces_facts
from factory.training.row_files import RowTask
from tests.conftest import PX
from tests.mapped import DrawnSource, small_shards
from tests.ranks import run_ranks
from tests.unaligned import draw_unaligned, write_table


@pytest.fixture
def config(people, tmp_path, monkeypatch):
    """Function of extra dotlist items -> a config whose faces are in files of five."""
    small_shards(monkeypatch, 5)

    def make(*dotlist) -> Config:
        (tmp_path / "c.yaml").write_text("{}\n")
        settings = ["source.kind=folder", f"source.path={people}", f"source.image_px={PX}"]
        settings += [f"training.out={tmp_path / 'out'}", "training.faces_in_memory_bytes=0"]
        return load(tmp_path / "c.yaml", [*settings, *dotlist])

    return make


@pytest.fixture
def drawn(monkeypatch):
    """Function of a DrawnSource's arguments -> it, opened whatever a config says."""

    def make(*arguments) -> DrawnSource:
        source = DrawnSource(*arguments)
        monkeypatch.setattr(opening, "open_source", lambda config: source)
        return source

    return make


def folders(config: Config, kind: str = "pixels") -> list[Path]:
    return sorted((Path(config.training.out) / "faces").glob(f"{kind}-*"))


def assert_same(mapped: MappedFaces, memory: FaceSet) -> None:
    assert isinstance(mapped, MappedFaces)
    assert (mapped.images_NHWC[:] == memory.images_NHWC).all()
    assert mapped.images_NHWC.shape == memory.images_NHWC.shape
    assert mapped.labels.tolist() == memory.labels.tolist()
    assert list(mapped.keys) == memory.keys
    assert mapped.keys[1:3] == memory.keys[1:3]
    assert (mapped.names, mapped.fingerprint) == (memory.names, memory.fingerprint)
    assert (list(mapped.corrupt), mapped.remarks) == (memory.corrupt, memory.remarks)


@pytest.mark.parametrize("num_holdout", ["identities=0", "identities=2", "fraction=0.5"])
def test_files_hold_what_memory_holds(config, num_holdout):
    made = config(f"source.holdout_{num_holdout}")
    faces, heldout = open_faces(made)
    memory, memory_heldout = training_faces(made.source)
    assert_same(faces, memory)
    assert (len(heldout), heldout.names) == (len(memory_heldout), memory_heldout.names)
    if num_holdout != "identities=0":
        assert_same(heldout, memory_heldout)
    assert faces_facts(made.source, faces) == faces_facts(made.source, memory)
    digest = hashlib.sha256("\n".join(memory.keys).encode()).hexdigest()
    assert faces_facts(made.source, faces)["keys"] == digest
    assert describe(faces, heldout) == memory.describe(memory_heldout) == describe_faces(made)


def test_heldout_faces_of_another_source_are_in_files_too(config, people):
    made = config(f"source.heldout={people}", "source.num_identities=2")
    faces, heldout = open_faces(made)
    memory, memory_heldout = training_faces(made.source)
    assert_same(faces, memory)
    assert_same(heldout, memory_heldout)
    assert describe_faces(made) == memory.describe(memory_heldout)
    assert len(folders(made)) == 2


def test_few_faces_are_in_memory_and_given_a_cache_in_files(config, tmp_path):
    num_bytes = 12 * 3 * PX**2
    few = config(f"training.faces_in_memory_bytes={num_bytes}")
    assert isinstance(open_faces(few)[0], FaceSet)
    assert not (tmp_path / "out").exists()
    more = config(f"training.faces_in_memory_bytes={num_bytes - 1}")
    assert isinstance(open_faces(more)[0], MappedFaces)
    cached = config("training.faces_in_memory_bytes=10000000", f"training.cache={tmp_path / 'c'}")
    assert isinstance(open_faces(cached)[0], MappedFaces)
    assert len(list((tmp_path / "c").glob("pixels-*"))) == 1


def test_unreadable_images_are_left_out_and_listed(config, drawn):
    drawn(12, PX, (0, 7, 11))
    made = config("source.max_corrupt_fraction=0.25", "source.holdout_identities=2")
    faces, heldout = open_faces(made)
    assert (len(faces), len(heldout)) == (6, 3)
    whole = DrawnSource(12, PX)
    kept = [1, 2, 3, 4, 5, 6]
    assert (faces.images_NHWC[:] == [whole[i].image_HWC for i in kept]).all()
    assert (heldout.images_NHWC[2] == whole[10].image_HWC).all()
    assert list(faces.keys) == [whole.keys[i] for i in kept]
    assert faces.labels.tolist() == [i // 2 for i in kept]
    lines = describe(faces, heldout).splitlines()
    assert lines == describe_faces(made).splitlines()
    assert lines[:2] == ["drawn", "6 images of 4 people, 3 held out"]
    assert lines[2:] == [
        f"left out: image {i % 2 + 1} of person {i // 2 + 1} in the order of names: not a readable "
        "image"
        for i in (0, 7, 11)
    ]


def test_images_of_a_bucket_are_fetched_at_once(config, drawn, monkeypatch):
    source, made = drawn(10, PX, (7,)), config("source.max_corrupt_fraction=0.1")
    source.is_remote = True
    together, plain = threading.Barrier(5, timeout=30), DrawnSource.__getitem__

    def fetched(self, index):
        together.wait()  # for the others of the shard, or breaks
        return plain(self, index)

    monkeypatch.setattr(DrawnSource, "__getitem__", fetched)
    faces, _ = open_faces(made)
    kept = [index for index in range(10) if index != 7]
    whole = [plain(source, index).image_HWC for index in kept]
    assert (faces.images_NHWC[:] == whole).all()
    assert list(faces.corrupt) == [
        "image 2 of person 4 in the order of names: not a readable image"
    ]


def test_too_many_unreadable_images_are_refused_whoever_made_them(config, drawn):
    source = drawn(12, PX, (0, 7, 11))
    limit = (
        r"source\.max_corrupt_fraction: more than 2 of 12 images cannot be used, first image 1 of"
    )
    strict = config("source.max_corrupt_fraction=0.2")
    with pytest.raises(SourceError, match=limit):
        open_faces(strict)
    lenient = config("source.max_corrupt_fraction=0.25")
    open_faces(lenient)
    source.num_read = 0
    with pytest.raises(SourceError, match=limit):  # of pixels that are all made, and their index
        open_faces(strict)
    (index,) = folders(lenient)[0].glob("index.json")
    index.unlink()
    with pytest.raises(SourceError, match=limit):
        open_faces(strict)
    assert source.num_read == 0


def test_an_image_that_the_system_does_not_give_stays_in_no_record(config, monkeypatch):
    """An error of a network disk passes; a file of pixels would leave the image out for good."""
    made, plain = config("source.max_corrupt_fraction=0.5"), os.pread

    def fails(handle, size, offset):
        if os.readlink(f"/proc/self/fd/{handle}").endswith("0.png"):
            raise OSError(errno.ESTALE, "Stale file handle")
        return plain(handle, size, offset)

    monkeypatch.setattr(os, "pread", fails)
    with pytest.raises(Unavailable, match=r"source\.path: .*: cannot be read \(Stale.*goes on"):
        open_faces(made)
    monkeypatch.setattr(os, "pread", plain)
    assert_same(open_faces(made)[0], training_faces(made.source)[0])


def test_a_person_without_a_readable_image_is_refused(config, drawn):
    drawn(12, PX, (2, 3))
    with pytest.raises(
        SourceError, match=r"1 identities have no readable image, first person 2 in"
    ):
        open_faces(config("source.max_corrupt_fraction=0.5"))


def test_shards_of_another_size_are_another_folder(config, drawn, monkeypatch):
    drawn(12, PX)
    wanted = open_faces(config())[0].images_NHWC[:]
    small_shards(monkeypatch, 4)
    faces, _ = open_faces(config())
    assert (faces.images_NHWC[:] == wanted).all()
    assert len(folders(config())) == 2
    rows = FaceRows(faces, lambda part: wanted[part, 0], "x", []).rows()
    assert (rows[:] == wanted[:, 0]).all()


def test_faces_are_made_once_and_torn_files_again(config, drawn):
    source, made = drawn(12, PX), config()
    faces, _ = open_faces(made)
    wanted, digest = faces.images_NHWC[:], faces.pixels_sha256()
    assert source.num_read == 12
    open_faces(made)
    assert source.num_read == 12
    file = folders(made)[0] / "00001.npy"
    file.write_bytes(file.read_bytes()[:100])
    faces, _ = open_faces(made)
    assert source.num_read == 12 + 5
    assert (faces.images_NHWC[:] == wanted).all()
    assert faces.pixels_sha256() == digest


def test_a_preparation_that_was_killed_goes_on(config, drawn, monkeypatch):
    source, made = drawn(12, PX), config()
    plain = DrawnSource.__getitem__

    def dies(self, index):
        if index == 7:
            raise KeyboardInterrupt
        return plain(self, index)

    monkeypatch.setattr(DrawnSource, "__getitem__", dies)
    with pytest.raises(KeyboardInterrupt):
        open_faces(made)
    monkeypatch.setattr(DrawnSource, "__getitem__", plain)
    source.num_read = 0
    faces, _ = open_faces(made)
    assert source.num_read == 7
    assert (faces.images_NHWC[11] == source[11].image_HWC).all()


def test_another_alignment_is_another_folder(config, tmp_path):
    table = write_table(tmp_path / "points.csv")
    images = draw_unaligned(tmp_path / "images")
    made = config(f"source.path={images}", f"source.landmarks={table}")

    def pixels():
        faces, _ = open_faces(made)
        return faces.images_NHWC[:], faces.pixels_sha256()

    before, digest = pixels()
    write_table(table, shift=5)
    moved, moved_digest = pixels()
    assert not np.array_equal(before, moved)
    assert digest != moved_digest
    write_table(table)
    assert np.array_equal(before, pixels()[0])
    assert len(folders(made)) == 2


def test_other_pixels_are_other_rows(config, drawn):
    """Of two sources whose names, sizes and alignment are the same."""

    def make(part):
        return np.full((2, 1), part.start)

    drawn(12, PX)
    names = set()
    for _ in range(2):
        faces, _ = open_faces(config())
        names.add(FaceRows(faces, make, "x", ["network"]).task().files.name)
    names.add(FaceRows(faces, make, "x", ["other network"]).task().files.name)
    index = folders(config())[0] / "index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"pixels_sha256": "other"}))
    names.add(FaceRows(open_faces(config())[0], make, "x", ["network"]).task().files.name)
    fewer = open_faces(config("source.holdout_identities=2"))[0]
    names.add(FaceRows(fewer, make, "x", ["network"]).task().files.name)
    assert len(names) == 4


def test_no_room_is_one_line_before_anything_is_read(config, drawn, monkeypatch):
    source = drawn(12, PX)
    full = local_space.shutil.disk_usage("/")._replace(free=12 * 3 * PX**2 - 1)
    monkeypatch.setattr(local_space.shutil, "disk_usage", lambda path: full)
    with pytest.raises(StoreError, match=r"training\.cache: .* free some, or name a folder"):
        open_faces(config())
    assert source.num_read == 0


def test_no_process_holds_the_pixels_of_all(config, drawn, monkeypatch):
    """Making and reading take the memory of a shard and a batch, not of the source."""
    num_faces, px = 400, 64
    small_shards(monkeypatch, 20)
    drawn(num_faces, px)
    made = config(f"source.image_px={px}")
    whole = num_faces * 3 * px**2
    tracemalloc.start()
    try:
        faces, _ = open_faces(made)
        for start in range(0, num_faces, 8):
            faces.images_NHWC[np.arange(start, start + 8)]
        in_files = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        del faces
        open_faces(replace(made, training=replace(made.training, faces_in_memory_bytes=whole)))
        in_memory = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert in_memory > whole
    assert in_files < 0.25 * whole


def of_rank(dotlist: list[str], file: str) -> list[int]:
    """Shards that a rank made itself; it sees all pixels."""
    made = []
    plain = RowTask.make_one

    def noted(self, number):
        num_bytes = plain(self, number)
        made.extend([number] if num_bytes else [])
        return num_bytes

    RowTask.make_one = noted
    small_shards(pytest.MonkeyPatch(), 2)
    faces, _ = open_faces(load(file, dotlist))
    assert (
        faces.images_NHWC[:].sum()
        == training_faces(load(file, dotlist).source)[0].images_NHWC.sum()
    )
    return made


def test_two_ranks_make_each_shard_once(people, tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("{}\n")
    dotlist = ["source.kind=folder", f"source.path={people}", f"source.image_px={PX}"]
    dotlist += [f"training.out={tmp_path / 'out'}", "training.faces_in_memory_bytes=0"]
    made = run_ranks(f"{__name__}:of_rank", 2, {"dotlist": dotlist, "file": str(file)})
    assert sorted([*made[0], *made[1]]) == list(range(6))
