"""The index of a release: the images of its tars, 24 bytes each, made once and mapped by all."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import tarfile
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow.parquet as pq
import pytest

from factory.errors import IntegrityError, SourceError
from factory.shards import layout
from factory.sources import face_index, index_building
from factory.sources.columns import Columns
from factory.sources.face_index import FORMAT, FaceIndex, open_index
from factory.sources.index_building import ShardRows, _joined, numbered
from factory.sources.tar_set import TarSet, tars_in
from factory.store import LocalStore
from factory.store.base import digest
from factory.store.cache import cache_root
from factory.store.parquet import to_parquet
from tests.releases import seal_again, write_release

PEOPLE, IMAGES = [2, 1, 3], 4


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = LocalStore(tmp_path / "release")
    write_release(made, PEOPLE, IMAGES)
    return made


def members(store) -> list[tuple[str, int, bytes]]:
    """(key, class number, bytes) of every image, by Python's tarfile."""
    found = []
    for name in store.list("data/"):
        with tarfile.open(store.path(name)) as tar:
            for member in tar:
                if member.name.endswith((".jpg", ".png")):
                    stem = member.name[:-4]
                    number = int(tar.extractfile(stem + ".cls").read())
                    found.append((stem, number, tar.extractfile(member).read()))
    return found


def read(store, index: FaceIndex) -> list[tuple[str, int, bytes]]:
    places = [index.place(i) for i in range(len(index))]
    data = [b"".join(store.stream(p.name, p.start, p.stop)) for p in places]
    numbers = [int(index.numbers[label]) for label in index.labels]
    return list(zip(index.keys, numbers, data, strict=True))


def test_every_image_lies_where_tarfile_finds_it(store):
    index = open_index(tars_in(store))
    assert len(index) == sum(PEOPLE) * IMAGES
    assert read(store, index) == members(store)
    assert index.names == [f"{i:012d}" for i in range(6)]
    assert index.starts.tolist() == [0, 8, 12, 24]
    for i, (_, _, data) in enumerate(members(store)):
        index.check(i, data)
    with pytest.raises(IntegrityError, match=r"image 000000_0001 in data/train-000000\.tar does n"):
        index.check(1, data)


def test_a_scan_of_the_tars_finds_the_same(store, tmp_path):
    """Older releases have no metadata, other tars no seal either."""
    index = open_index(tars_in(store))
    for name in store.list("metadata/"):
        store.delete(name)
    seal_again(store)
    older = open_index(tars_in(store))
    store.delete(layout.SUMS)
    store.delete(layout.SUCCESS)
    store.delete(layout.PLAN)
    loose = open_index(tars_in(store))
    for other in (older, loose):
        assert read(store, other) == read(store, index)
        assert other.fingerprint == index.fingerprint
        assert other.nbytes == index.nbytes


def test_the_fingerprint_is_that_of_keys_sizes_and_names(store):
    lines = [f"{key} {len(data)} {number:012d}" for key, number, data in members(store)]
    wanted = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert open_index(tars_in(store)).fingerprint == wanted


def test_names_of_people_are_those_of_the_roster_and_sorted(tmp_path):
    named = LocalStore(tmp_path / "named")
    write_release(named, [3], 2, names={7: "zoe", 8: "ann", 9: "mia"}, first=7)
    index = open_index(tars_in(named))
    assert index.names == ["ann", "mia", "zoe"]
    assert index.numbers.tolist() == [8, 9, 7]
    assert index.labels.tolist() == [2, 2, 0, 0, 1, 1]
    assert index.keys[0] == "000007_0000"


def test_other_keys_are_kept_as_they_are(store):
    name = layout.metadata_name(1)
    rows = pq.read_table(store.path(name)).to_pylist()
    for row in rows:
        row["key"] = "x" + row["key"]
    store.put(name, to_parquet(rows, layout.METADATA_SCHEMA))
    seal_again(store)
    index = open_index(tars_in(store))
    assert [key for key in index.keys if key.startswith("x")] == [
        f"x000002_{i:04d}" for i in range(IMAGES)
    ]
    assert index.keys[0] == "000000_0000"
    rows[1]["key"] = "000000_0000"
    store.put(name, to_parquet(rows, layout.METADATA_SCHEMA))
    seal_again(store)
    with pytest.raises(SourceError, match="1 keys stand for two images, first '000000_0000'"):
        open_index(tars_in(store))


@pytest.mark.parametrize(
    "change",
    [
        {"offset": 513},
        {"offset": 0},
        {"size": 1 << 33},
        {"size": -1},
        {"offset": 512 * 10**6},
        {"identity": -5},
    ],
)
def test_images_outside_of_their_tar_are_refused(store, change):
    name = layout.metadata_name(2)
    rows = pq.read_table(store.path(name)).to_pylist()
    rows[3] |= change
    store.put(name, to_parquet(rows, layout.METADATA_SCHEMA))
    seal_again(store)
    with pytest.raises(SourceError, match=r"image 000003_0003 lies outside of .*train-000002\.tar"):
        open_index(tars_in(store))


def test_what_sha256sums_does_not_vouch_for_is_refused(store):
    whole = store.get(layout.metadata_name(0))
    store.put(layout.metadata_name(0), whole[:-1] + b"x")
    with pytest.raises(IntegrityError, match=r"metadata/train-000000\.parquet: does not have its"):
        open_index(tars_in(store))
    seal_again(store)
    with pytest.raises(SourceError, match=r"train-000000\.parquet is no table of metadata"):
        open_index(tars_in(store))
    store.put(layout.metadata_name(0), whole)
    store.delete(layout.tar_name(1))
    with pytest.raises(SourceError, match=r"data/train-000001\.tar is gone"):
        open_index(tars_in(store))


def test_an_index_is_made_once_whoever_asks(store, monkeypatch):
    made = []

    def slow(tars):
        made.append(threading.get_ident())
        return build(tars)

    build = index_building.build
    monkeypatch.setattr(face_index, "build", slow)
    tars = tars_in(store)
    with ThreadPoolExecutor(4) as pool:
        indexes = list(pool.map(lambda _: open_index(tars), range(4)))
    assert len(made) == 1
    assert {index.fingerprint for index in indexes} == {indexes[0].fingerprint}
    kept = indexes[0].columns.path
    assert tars.digest[:32] in str(kept)
    kept.write_bytes(b"cut off")
    assert open_index(tars).fingerprint == indexes[0].fingerprint
    assert len(made) == 2
    assert len(pickle.dumps(open_index(tars))) < 1000


@pytest.mark.parametrize("in_the_way", ["indexes", "indexes/{}/faces.columns/x"])
def test_where_nothing_can_be_kept_the_index_is_made_in_memory(store, in_the_way):
    """A file stands where the folder should be, or a folder where the file should be."""
    place = cache_root() / in_the_way.format(f"{FORMAT}-{tars_in(store).digest[:32]}")
    place.parent.mkdir(parents=True)
    place.write_text("")
    index = open_index(tars_in(store))
    assert index.columns.path is None
    assert read(store, index) == members(store)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_on_a_filesystem_without_locks_the_index_is_made(store, monkeypatch, capsys, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    assert read(store, open_index(tars_in(store))) == members(store)
    assert "on a filesystem that can lock files" in capsys.readouterr().err


def test_a_face_takes_25_bytes_and_no_python_object(tmp_path):
    """200,000 faces of 4,000 people in 250 shards, by the arrays and by Python's allocator."""
    people, images, per_shard = 4000, 50, 16
    shards = []
    for first in range(0, people, per_shard):
        identities = np.repeat(np.arange(first, first + per_shard), images)
        numbers = np.tile(np.arange(images), per_shard)
        count = len(identities)
        offsets, sizes = 512 + 9728 * np.arange(count), np.full(count, 8000)
        keys = numbered(identities, numbers, (6, 4))
        digests = np.arange(count, dtype=np.uint64)
        shards.append(ShardRows(keys, identities, numbers, offsets, sizes, digests))
    names = tuple(layout.tar_name(unit) for unit in range(len(shards)))
    tars = TarSet(LocalStore(tmp_path), names, {}, "0" * 64)
    _joined(tars, shards).write(tmp_path / "c")
    del shards
    tracemalloc.start()
    index = FaceIndex(Columns.open(tmp_path / "c"))
    private, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(index) == people * images
    assert index.keys[-1] == "003999_0049"
    assert index.nbytes / len(index) <= 25
    assert private < 100_000  # of which none grows with the faces: half a byte each
    assert os.path.getsize(tmp_path / "c") < 25 * len(index)


def test_digests_are_compared_with_the_images_of_the_tar(store):
    """The heads of digests that are kept are those of the images' own sha256."""
    index = open_index(tars_in(store))
    heads = [digest([data])[:16] for _, _, data in members(store)]
    assert [value.tobytes().hex() for value in index.columns["digest"]] == heads
