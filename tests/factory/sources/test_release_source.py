"""A release is the same source in a bucket, a folder and in memory; its bytes are checked."""

from __future__ import annotations

import io
import pickle
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from factory.config import SourceConfig, StoreConfig
from factory.config.loading import absolute, load
from factory.errors import ConfigError, IntegrityError, SourceError
from factory.shards import layout
from factory.sources import base, open_source, read_ahead, read_faces, subset, training_faces
from factory.sources.base import remarks_of
from factory.sources.contents import contents_sha256
from factory.store import LocalStore, open_store
from tests.conftest import draw_face
from tests.factory.sources.test_tar_scan import tar_of
from tests.releases import write_release
from tests.remote import FetchedTogether

PX = 16


@pytest.fixture
def local(tmp_path, monkeypatch) -> SourceConfig:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_release(LocalStore(tmp_path / "r"), [2, 3, 1], 3, px=PX, image_format="png")
    return SourceConfig(kind="webdataset", path=str(tmp_path / "r"), image_px=PX)


@pytest.fixture
def bucket(local, s3_config) -> SourceConfig:
    """The same release in a bucket."""
    settings = s3_config()
    store, folder = open_store(settings), LocalStore(str(local.path))
    for name in folder.list(""):
        store.put(name, folder.get(name))
    return replace(local, path=settings.url, store=settings)


@pytest.mark.s3
@pytest.mark.parametrize("cache_bytes", [0, 1 << 30])
def test_a_bucket_and_a_folder_are_one_source(local, bucket, cache_bytes):
    here, there = open_source(local), open_source(replace(bucket, cache_bytes=cache_bytes))
    assert (there.fingerprint, there.names) == (here.fingerprint, here.names)
    assert there.keys == here.keys
    assert contents_sha256(there) == contents_sha256(here)
    one, two = read_faces(here, 0.0), read_faces(there, 0.0)
    assert np.array_equal(one.images_NHWC, two.images_NHWC)
    assert np.array_equal(one.labels, two.labels)
    copied = pickle.loads(pickle.dumps(there))
    assert np.array_equal(copied[5].image_HWC, here[5].image_HWC)


@pytest.mark.s3
def test_people_are_held_out_of_a_bucket_as_of_a_folder(local, bucket):
    for config in (local, bucket):
        training, heldout = training_faces(replace(config, holdout_identities=2))
        assert (len(training), len(heldout)) == (12, 6)
        assert heldout.keys[0] == "000004_0000"
        few = open_source(replace(config, num_identities=2))
        assert len(few) == 6
        assert few.is_remote == (config is bucket)
        others = subset(open_source(config), 4, 6)
        assert list(others.keys) == heldout.keys
        assert others[0].label == 0


@pytest.mark.parametrize("cached", [False, pytest.param(True, marks=pytest.mark.s3)])
def test_an_altered_image_is_never_handed_out(local, request, cached):
    config = local
    if cached:
        config = replace(request.getfixturevalue("bucket"), cache_bytes=1 << 30)
    source = open_source(config)
    store = open_store(replace(config.store, url=str(config.path)))
    place = source.index.place(7)
    data = bytearray(store.get(place.name))
    data[place.stop - 1] ^= 1
    store.put(place.name, bytes(data))
    wanted = "does not have its sha256 in" if cached else "image 000002_0001 in data/train-000001"
    with pytest.raises(IntegrityError, match=wanted):
        source[7]
    assert source[0].label == 0
    store.delete(place.name)
    with pytest.raises(SourceError, match=r"train-000001\.tar is gone; restore it"):
        source[7]


def test_remote_images_are_fetched_at_once_and_come_in_their_order(local):
    """A source of which each image waits for another one to be under way."""
    source = open_source(local)

    class Slow(FetchedTogether):
        def __getitem__(self, index):
            face = super().__getitem__(index)
            time.sleep(0.001 * (index % 3))
            if index == 4:
                raise base.CorruptImageError("four")
            return face

    order = [*range(17, -1, -1)]
    found = list(read_ahead(Slow(source, 3), order, num_threads=3))
    assert [str(face) for face in found if isinstance(face, Exception)] == ["four"]
    keys = [face.key for face in found if not isinstance(face, Exception)]
    assert keys == [source.keys[i] for i in order if i != 4]


def test_a_reader_that_stops_leaves_no_thread(local):
    source = open_source(local)
    source.is_remote = True
    faces = read_ahead(source, range(18), num_threads=2)
    next(faces)
    faces.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPoolExecutor")]


def test_a_bucket_is_reached_as_section_store_says_unless_the_source_says_so(tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    there = ["source.kind=webdataset", "source.path=s3://bucket/releases/0.1.0"]
    own = "batches.mix=[{source: {kind: webdataset, path: s3://b-2/x, store: {region: eu-1}}}]"
    config = load(
        tmp_path / "c.yaml", [*there, own, "store.endpoint_url=http://here", "store.url=x"]
    )
    assert config.source.store == StoreConfig(endpoint_url="http://here")
    assert config.source.other.store == config.source.store
    assert config.batches.mix[0].source.store == StoreConfig(region="eu-1")
    near = load(tmp_path / "c.yaml", ["store.endpoint_url=http://here"])
    assert near.source == SourceConfig()
    sent = absolute(near)  # to a process that starts in another folder
    moved = replace(sent, source=replace(sent.source, kind="webdataset", path="s3://bucket/x"))
    assert moved.source.store.endpoint_url == "http://here"
    for kind in ("folder", "recordio", "lmdb", "cvlface"):
        with pytest.raises(
            ConfigError, match=rf"source\.path: got .* with kind {kind}; want kind w"
        ):
            load(tmp_path / "c.yaml", [f"source.kind={kind}", there[1]])
    with pytest.raises(ConfigError, match=r"source\.path: got 's3:/bucket'; want s3://bucket"):
        load(tmp_path / "c.yaml", [there[0], "source.path=s3:/bucket"])


def test_a_release_that_is_not_there_is_named(local, tmp_path):
    with pytest.raises(SourceError, match=r"source\.path: no such file or folder"):
        open_source(replace(local, path=str(tmp_path / "none")))
    store = LocalStore(tmp_path / "empty")
    store.put(layout.SUCCESS, b"")
    with pytest.raises(SourceError, match=r"source\.path: no images in"):
        open_source(replace(local, path=str(store.root)))


def shard(*faces: tuple[str, int, int]) -> bytes:
    """A tar of drawn faces: name, class and person of each."""
    members = {}
    for name, label, person in faces:
        buffer = io.BytesIO()
        Image.fromarray(draw_face(person, 0, PX)).save(buffer, "PNG")
        members |= {f"{name}.png": buffer.getvalue(), f"{name}.cls": str(label).encode()}
    return tar_of(members)


@pytest.fixture
def loose(tmp_path, monkeypatch) -> SourceConfig:
    """Shards of somebody else's, each of which numbers its images from 0 on; classes 0, 2, 5."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "x-000.tar").write_bytes(shard(("000", 0, 1), ("001", 2, 2)))
    (tmp_path / "w" / "x-001.tar").write_bytes(shard(("000", 5, 3), ("001", 0, 4)))
    return SourceConfig(kind="webdataset", path=str(tmp_path / "w"), image_px=PX)


def test_shards_that_number_anew_are_told_apart_by_their_names(loose):
    source = open_source(loose)
    assert list(source.keys) == ["x-000/000", "x-000/001", "x-001/000", "x-001/001"]
    assert list(source.names) == ["000000000000", "000000000002", "000000000005"]
    assert source.labels.tolist() == [0, 1, 2, 0]
    assert remarks_of(source) == ("shards number their images anew, so keys are SHARD/KEY",)
    for index, person in enumerate((1, 2, 3, 4)):
        assert np.array_equal(source[index].image_HWC, draw_face(person, 0, PX))
    again = open_source(loose)  # of what this machine keeps
    assert list(again.keys) == list(source.keys)
    assert remarks_of(again) == remarks_of(source)


def test_shards_whose_keys_differ_keep_them(loose):
    LocalStore(str(loose.path)).put("x-001.tar", shard(("002", 5, 3)))
    source = open_source(loose)
    assert list(source.keys) == ["000", "001", "002"]
    assert remarks_of(source) == ()


def test_a_copy_of_a_shard_is_refused(loose):
    folder = LocalStore(str(loose.path))
    folder.put("x-000 (1).tar", folder.get("x-000.tar"))
    wanted = r"2 images of .* come twice .*, first in x-000 \(1\)\.tar and x-000\.tar; remove"
    with pytest.raises(SourceError, match=wanted):
        open_source(loose)
    folder.put("x-000 (1).tar", shard(("000", 9, 1)))  # the image under another class
    assert len(open_source(loose)) == 5


def test_what_shards_leave_out_is_counted_and_limited(loose):
    folder = LocalStore(str(loose.path))
    members = {"._000.png": b"macOS", "a.png": b"no label", "b.cls": b"3", "notes.md": b""}
    folder.put("x-002.tar", tar_of(members))
    folder.put("._x-000.tar", b"of macOS")
    folder.put("README.md", b"")
    with pytest.raises(SourceError, match=r"max_left_out_fraction: 2 of 6 are not read"):
        open_source(loose)
    loose = replace(loose, max_left_out_fraction=0.5)
    for _ in range(2):
        parts = {p.reason: (p.count, p.first) for p in open_source(loose).left_out}
        assert parts == {
            "system_file": (2, ("._x-000.tar", "x-002.tar/._000.png")),
            "no_label": (1, ("x-002.tar/a",)),
            "missing_image": (1, ("x-002.tar/b",)),
            "other_file": (2, ("README.md", "x-002.tar/notes.md")),
        }
    folder.put("more/x-003.tar", folder.get("x-000.tar"))
    with pytest.raises(SourceError, match=r"1 of 4 are not read \(1 archives or tables beside"):
        open_source(replace(loose, max_left_out_fraction=0.2))


def test_shards_in_folders_below_alone_are_named(loose, tmp_path):
    wanted = r"no images in .* \(2 left out: archives or tables beside those that are read, or in"
    with pytest.raises(SourceError, match=wanted):
        open_source(replace(loose, path=str(tmp_path)))
