"""A release is the same source in a bucket, a folder and in memory; its bytes are checked."""

from __future__ import annotations

import pickle
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from factory.config import SourceConfig, StoreConfig
from factory.config.loading import absolute, load
from factory.errors import ConfigError, IntegrityError, SourceError
from factory.shards import layout
from factory.sources import base, open_source, read_ahead, read_faces, subset, training_faces
from factory.sources.contents import contents_sha256
from factory.store import LocalStore, open_store
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
    for kind in ("folder", "recordio"):
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
