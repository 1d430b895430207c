"""The stream of a release: every sample once, in any split, resumed anywhere, verified."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import numpy as np
import pytest
import webdataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from factory.config import SourceConfig
from factory.errors import IntegrityError, SourceError
from factory.sources import open_source
from factory.sources.webdataset import Bookmark, ReleaseStream, collate
from factory.store import LocalStore, open_store
from factory.store.base import digest
from factory.store.parquet import to_parquet

SIZES = (5, 3, 7, 4)


def shard_of(first: int, count: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for i in range(first, first + count):
            image = io.BytesIO()
            Image.fromarray(np.full((8, 8, 3), 10 * i, np.uint8)).save(image, "JPEG")
            for suffix, data in (("jpg", image.getvalue()), ("cls", str(i).encode())):
                member = tarfile.TarInfo(f"{i:06d}_0000.{suffix}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def write_release(store) -> None:
    """A sealed release of 19 samples in four shards; sample i has label i and gray level 10 i."""
    lines, entries, first = [], [], 0
    for number, count in enumerate(SIZES):
        name, data = f"data/train-{number:06d}.tar", shard_of(first, count)
        store.put(name, data)
        lines.append(f"{digest([data])}  {name}")
        entries.append({"url": f"../{name}", "nsamples": count, "filesize": len(data)})
        first += count
    store.put("index/wids.json", json.dumps({"shardlist": entries}).encode())
    store.put("SHA256SUMS", ("\n".join(lines) + "\n").encode())
    store.put("_SUCCESS", b"")


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request, tmp_path):
    made = LocalStore(tmp_path / "release")
    if request.param == "s3":
        made = open_store(request.getfixturevalue("s3_config")())
    write_release(made)
    return made


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    made = LocalStore(tmp_path_factory.mktemp("release"))
    write_release(made)
    return made


def test_an_epoch_has_every_sample_once_in_an_order_of_its_own(store):
    stream = ReleaseStream(store, seed=1)
    first = [sample.label for sample in stream]
    assert sorted(first) == list(range(19)) == list(range(len(stream)))
    assert first != list(range(19))
    assert first == [sample.label for sample in ReleaseStream(store, seed=1)]
    stream.bookmark.next_epoch()
    assert first != [sample.label for sample in stream]
    plain = ReleaseStream(store, shuffle=False)
    assert [sample.label for sample in plain] == list(range(19))
    assert all(abs(int(s.image_HWC[0, 0, 0]) - 10 * s.label) < 5 for s in plain)


def test_agrees_with_plain_webdataset(local):
    urls = [str(local.path(f"data/train-{i:06d}.tar")) for i in range(4)]
    plain = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8")
    ours = ReleaseStream(local, shuffle=False)
    for theirs, sample in zip(plain, ours, strict=True):
        assert (theirs["__key__"], theirs["cls"]) == (sample.key, sample.label)
        assert np.array_equal(theirs["jpg"], sample.image_HWC)


@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_ranks_share_an_epoch_without_overlap(local, world_size):
    labels = [
        sample.label
        for rank in range(world_size)
        for sample in ReleaseStream(local, rank=rank, world_size=world_size)
    ]
    assert sorted(labels) == list(range(19))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 19), st.integers(1, 3), st.integers(1, 3), st.integers(0, 5))
def test_a_resume_anywhere_repeats_and_loses_nothing(local, stop, before, after, seed):
    """`before` ranks use `stop` samples between them; `after` ranks use the rest."""
    merged = Bookmark(ReleaseStream(local))
    streams = [ReleaseStream(local, seed=seed, rank=r, world_size=before) for r in range(before)]
    sources, used = [iter(stream) for stream in streams], []
    for step in range(stop):
        sample = next(sources[step % before], None)
        if sample:
            used.append(sample.label)
            streams[step % before].bookmark.mark([sample.position])
    for stream in streams:
        merged.merge(stream.bookmark)
    state = json.dumps(merged.state_dict())  # every rank takes up the same one
    for rank in range(after):
        stream = ReleaseStream(local, seed=seed, rank=rank, world_size=after)
        stream.bookmark.load_state_dict(json.loads(state))
        for sample in stream:
            used.append(sample.label)
            merged.mark([sample.position])
    assert sorted(used) == list(range(19))
    assert merged.finished


def test_workers_of_a_loader_resume_in_the_middle_of_an_epoch(store):
    def loader(stream):
        return DataLoader(stream, batch_size=2, num_workers=2, collate_fn=collate)

    stream, used = ReleaseStream(store, seed=3), []
    bookmark = Bookmark(stream)
    for count, (images, labels, positions) in enumerate(loader(stream)):
        assert images.shape[1:] == (8, 8, 3)
        used += labels.tolist()
        bookmark.mark(positions)
        if count == 3:
            break
    again = ReleaseStream(store, seed=3)
    again.bookmark.load_state_dict(bookmark.state_dict())
    for _, labels, _ in loader(again):
        used += labels.tolist()
    assert sorted(used) == list(range(19))


def test_an_altered_shard_is_named_before_a_sample_of_it_is_used(store):
    data = bytearray(store.get("data/train-000002.tar"))
    data[700] ^= 1
    store.put("data/train-000002.tar", bytes(data))
    samples = iter(ReleaseStream(store, shuffle=False, verify=True))
    assert [next(samples).label for _ in range(8)] == list(range(8))
    with pytest.raises(IntegrityError, match=r"train-000002\.tar: does not have its sha256"):
        next(samples)


def test_what_is_not_sealed_or_short_is_refused(tmp_path):
    with pytest.raises(SourceError, match="not a sealed release"):
        ReleaseStream(LocalStore(tmp_path))
    torn = LocalStore(tmp_path)
    write_release(torn)
    torn.put("data/train-000001.tar", shard_of(5, 2))
    with pytest.raises(SourceError, match=r"train-000001\.tar has 2 samples, its index says 3"):
        list(ReleaseStream(torn))


def test_hostile_releases_are_refused(tmp_path):
    torn = LocalStore(tmp_path)
    write_release(torn)
    bomb = gzip.compress(bytes(50_000_000), mtime=0)  # else its header holds the time of day
    torn.put("data/train-000000.tar", bomb)
    with pytest.raises(SourceError, match=r"train-000000\.tar is not a readable plain tar"):
        next(iter(ReleaseStream(torn, shuffle=False)))
    torn.put("data/train-000000.tar", shard_of(0, 5)[:1800])
    with pytest.raises(SourceError, match=r"train-000000\.tar"):
        list(ReleaseStream(torn, shuffle=False))
    outside = {"url": "../../../etc/passwd", "nsamples": 1, "filesize": 1}
    torn.put("index/wids.json", json.dumps({"shardlist": [outside]}).encode())
    with pytest.raises(SourceError, match="outside of it"):
        ReleaseStream(torn)


def test_bookmarks_of_two_epochs_are_not_merged(local):
    one, two = Bookmark(ReleaseStream(local)), Bookmark(ReleaseStream(local))
    two.next_epoch()
    with pytest.raises(ValueError, match="epochs 0 and 1"):
        one.merge(two)


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["", "ann", "bob"], ["000000000000", "ann", "bob"]),
        (["", "ann", "000000000000"], ["000000000000", "000000000001", "000000000002"]),
    ],
)
def test_people_are_called_as_the_roster_calls_them(tmp_path, names, wanted):
    """Unless one is called by another's number."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train-000000.tar").write_bytes(shard_of(0, 3))
    rows = [{"index": index, "name": name} for index, name in enumerate(names)]
    (tmp_path / "roster.parquet").write_bytes(to_parquet(rows))
    source = open_source(SourceConfig(kind="webdataset", path=str(tmp_path), image_px=8))
    assert [source.names[label] for label in source.labels] == wanted
    (tmp_path / "roster.parquet").write_bytes(b"altered")
    with pytest.raises(SourceError, match=r"roster\.parquet is not a release's roster"):
        open_source(SourceConfig(kind="webdataset", path=str(tmp_path), image_px=8))
