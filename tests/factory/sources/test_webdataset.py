"""The stream of a release: every sample once, mixed, in any split, resumed anywhere, verified."""

from __future__ import annotations

import json
import math
import threading
from copy import deepcopy

import numpy as np
import pytest
import webdataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from factory.errors import IntegrityError, SourceError
from factory.shards import layout
from factory.sources import webdataset as streaming
from factory.sources.webdataset import ReleaseStream, collate
from factory.store import LocalStore, open_store
from tests.releases import seal_again, write_release

PEOPLE, IMAGES = (5, 3, 7, 4), 3
COUNT = sum(PEOPLE) * IMAGES


def gray(person: int, image: int, px: int) -> np.ndarray:
    return np.full((px, px, 3), 10 * person + image, np.uint8)


def write(store, image_format="jpeg") -> None:
    """19 people in four shards, three images each; image i of person p has gray level 10 p + i."""
    write_release(store, list(PEOPLE), IMAGES, px=8, image_format=image_format, draw=gray)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request, tmp_path):
    made = LocalStore(tmp_path / "release")
    if request.param == "s3":
        made = open_store(request.getfixturevalue("s3_config")())
    write(made)
    return made


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    made = LocalStore(tmp_path_factory.mktemp("release"))
    write(made)
    return made


@pytest.fixture(params=[1, 3, 256])
def window(request):
    return request.param


def keys_of(stream) -> list[str]:
    return [sample.key for sample in stream]


def has_its_own_pixels(sample) -> bool:
    return abs(int(sample.image_HWC[0, 0, 0]) - 10 * sample.label - int(sample.key[-4:])) <= 1


EVERY = sorted(f"{p:06d}_{i:04d}" for p in range(sum(PEOPLE)) for i in range(IMAGES))


def test_an_epoch_has_every_sample_once_in_an_order_of_its_own(store):
    stream = ReleaseStream(store, seed=1)
    first = keys_of(stream)
    assert sorted(first) == EVERY
    assert first != EVERY
    assert len(stream) == COUNT
    assert first == keys_of(ReleaseStream(store, seed=1))
    stream.bookmark.next_epoch()
    assert first != keys_of(stream)
    assert first != keys_of(ReleaseStream(store, seed=2))
    plain = ReleaseStream(store, shuffle=False)
    assert keys_of(plain) == EVERY
    assert all(has_its_own_pixels(sample) for sample in plain)


def test_a_piece_has_an_order_of_its_own_in_each_epoch(local, monkeypatch):
    """Of the third shard, which is one piece here, whenever its turns come."""
    monkeypatch.setattr("factory.sources.pieces.PIECES", 1)
    stream, orders = ReleaseStream(local, seed=1), []
    for _ in range(2):
        orders.append([key for key in keys_of(stream) if 8 <= int(key[:6]) < 15])
        stream.bookmark.next_epoch()
    assert len(orders[0]) == 21
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_pieces_of_several_blocks_hand_out_their_own_images(local, window, monkeypatch):
    monkeypatch.setattr("factory.sources.pieces.PIECES", 1)
    monkeypatch.setattr("factory.sources.pieces.BLOCK", 4)
    stream = ReleaseStream(local, seed=1, window=window)
    assert len(stream.pieces) == len(PEOPLE)
    samples = list(stream)
    assert all(has_its_own_pixels(sample) for sample in samples)
    assert sorted(sample.key for sample in samples) == EVERY


def test_png_is_read_as_jpeg_is(tmp_path):
    store = LocalStore(tmp_path)
    write(store, "png")
    for sample in ReleaseStream(store):
        assert (sample.image_HWC == 10 * sample.label + int(sample.key[-4:])).all()


def test_agrees_with_plain_webdataset(local):
    urls = [str(local.path(layout.tar_name(i))) for i in range(4)]
    plain = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8")
    ours = ReleaseStream(local, shuffle=False)
    for theirs, sample in zip(plain, ours, strict=True):
        assert (theirs["__key__"], theirs["cls"]) == (sample.key, sample.label)
        assert np.array_equal(theirs["jpg"], sample.image_HWC)


@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_ranks_share_an_epoch_without_overlap_and_nearly_equally(local, window, world_size):
    streams = [
        ReleaseStream(local, rank=rank, world_size=world_size, window=window)
        for rank in range(world_size)
    ]
    keys = [keys_of(stream) for stream in streams]
    assert sorted(key for part in keys for key in part) == EVERY
    counts = [len(part) for part in keys]
    assert max(counts) - min(counts) <= streams[0].pieces.sizes.max()


@pytest.mark.parametrize("pieces", [1, 4096])
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    stop=st.integers(0, COUNT),
    before=st.integers(1, 3),
    after=st.integers(1, 3),
    window=st.sampled_from([1, 2, 256]),
    seed=st.integers(0, 5),
)
def test_a_resume_anywhere_repeats_and_loses_nothing(
    local, pieces, stop, before, after, window, seed
):
    """`before` ranks use `stop` samples between them; `after` ranks use the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("factory.sources.pieces.PIECES", pieces)

        def stream(rank, world_size):
            return ReleaseStream(local, seed=seed, rank=rank, world_size=world_size, window=window)

        streams = [stream(rank, before) for rank in range(before)]
        merged = deepcopy(streams[0].bookmark)
        sources, used = [iter(one) for one in streams], []
        for step in range(stop):
            sample = next(sources[step % before], None)
            if sample:
                used.append(sample.key)
                streams[step % before].bookmark.mark([sample.position])
        for one in streams:
            merged.merge(one.bookmark)
        state = json.dumps(merged.state_dict())  # every rank takes up the same one
        for rank in range(after):
            one = stream(rank, after)
            one.bookmark.load_state_dict(json.loads(state))
            for sample in one:
                used.append(sample.key)
                merged.mark([sample.position])
        assert sorted(used) == EVERY
        assert merged.finished


def test_a_bookmark_of_another_release_seed_or_order_is_refused(local, tmp_path):
    """The other release has as many people and images in as many shards, so as many pieces."""
    stream = ReleaseStream(local, seed=1)
    stream.bookmark.mark([next(iter(stream)).position])
    state = stream.bookmark.state_dict()
    ReleaseStream(local, seed=1, rank=1, world_size=2).bookmark.load_state_dict(state)
    write_release(LocalStore(tmp_path), PEOPLE, IMAGES, px=8, first=1)
    others = {
        "release": ReleaseStream(LocalStore(tmp_path), seed=1),
        "seed": ReleaseStream(local, seed=2),
        "shuffle": ReleaseStream(local, seed=1, shuffle=False),
    }
    for key, other in others.items():
        assert len(other.pieces) == len(stream.pieces)
        with pytest.raises(ValueError, match=f"bookmark: has {key} .*begin the epoch again"):
            other.bookmark.load_state_dict(state)
        with pytest.raises(ValueError, match=f"bookmark: has {key} "):
            other.bookmark.merge(stream.bookmark)
        assert other.bookmark.remaining().sum() == COUNT


def test_workers_of_a_loader_resume_in_the_middle_of_an_epoch(store):
    def loader(stream):
        return DataLoader(stream, batch_size=2, num_workers=2, collate_fn=collate)

    stream, used = ReleaseStream(store, seed=3), []
    bookmark = deepcopy(stream.bookmark)
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
    assert np.bincount(used).tolist() == [IMAGES] * sum(PEOPLE)


def people_of_a_shuffle(people: int, images: int, batch: int) -> float:
    """Expected number of people among `batch` of people * images, drawn without replacement."""
    total = people * images
    absent = sum(
        math.log((total - images - i) / (total - i)) for i in range(batch)
    )  # that all draws miss one person
    return people * (1 - math.exp(absent))


@pytest.fixture(scope="module")
def forty(tmp_path_factory):
    """40 shards of three people with 20 images each."""
    made = LocalStore(tmp_path_factory.mktemp("forty"))
    write_release(made, [3] * 40, 20, px=8, draw=gray_of_many)
    return made


def gray_of_many(person: int, image: int, px: int) -> np.ndarray:
    return np.full((px, px, 3), person, np.uint8)


def people_in_batches(stream, batch: int = 64) -> list[int]:
    labels = [sample.label for sample in stream]
    whole = range(0, len(labels) - batch + 1, batch)
    return [len(set(labels[first : first + batch])) for first in whole]


@pytest.mark.parametrize("lanes", [1, 8])
def test_a_batch_has_as_many_people_as_one_of_a_full_shuffle(forty, lanes):
    full = people_of_a_shuffle(120, 20, 64)
    assert full == pytest.approx(50.3, abs=0.1)
    counted = [
        count
        for lane in range(lanes)
        for count in people_in_batches(ReleaseStream(forty, rank=lane, world_size=lanes))
    ]
    assert len(counted) >= 32
    assert np.mean(counted) >= 45
    assert np.mean(counted) == pytest.approx(full, rel=0.08)


def test_shards_one_after_another_have_few_people(forty):
    """What mixing is for; a window of one piece has the people of a shard or two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("factory.sources.pieces.PIECES", 1)
        assert np.mean(people_in_batches(ReleaseStream(forty, window=1))) < 8
        assert np.mean(people_in_batches(ReleaseStream(forty, window=40))) > 35


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_ranks_get_equal_numbers_where_they_ask_for_it(local, world_size):
    def stream(rank, equal):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("factory.sources.pieces.PIECES", 8)
            return ReleaseStream(local, rank=rank, world_size=world_size, equal=equal)

    plain = [len(keys_of(stream(rank, None))) for rank in range(world_size)]
    assert len(set(plain)) > 1
    dropped = [list(stream(rank, "drop")) for rank in range(world_size)]
    assert {len(part) for part in dropped} == {min(plain)}
    keys = [sample.key for part in dropped for sample in part]
    assert len(set(keys)) == len(keys)
    padded = [list(stream(rank, "pad")) for rank in range(world_size)]
    assert {len(part) for part in padded} == {max(plain)}
    own = [sample.key for part in padded for sample in part if sample.position]
    assert sorted(own) == EVERY
    for part, count in zip(padded, plain, strict=True):
        again = [sample.key for sample in part[count:]]
        assert again == [sample.key for sample in part[: len(again)]]
        assert not any(sample.position for sample in part[count:])


def test_equal_numbers_hold_while_the_consumer_marks(local):
    """The bookmark of the stream itself moves on while samples are repeated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("factory.sources.pieces.PIECES", 8)
        streams = [ReleaseStream(local, rank=r, world_size=3, equal="pad") for r in range(3)]
    counts, merged = [], deepcopy(streams[0].bookmark)
    for stream in streams:
        counts.append(0)
        for sample in stream:
            stream.bookmark.mark([sample.position])
            counts[-1] += 1
        merged.merge(stream.bookmark)
    assert len(set(counts)) == 1
    assert merged.finished


def test_too_few_samples_for_equal_numbers(tmp_path):
    store = LocalStore(tmp_path)
    write_release(store, [1], 4, px=8)
    with pytest.raises(
        SourceError, match=r"4 samples are left for 3 workers of all ranks, too few"
    ):
        next(iter(ReleaseStream(store, world_size=3, equal="drop")))
    padded = [list(ReleaseStream(store, rank=r, world_size=3, equal="pad")) for r in range(3)]
    assert [len(part) for part in padded] == [2, 2, 2]
    assert [bool(part[0].position) for part in padded] == [True, True, False]
    done = ReleaseStream(store, equal="drop")
    done.bookmark.mark([sample.position for sample in done])
    assert list(done) == []


def test_an_altered_image_is_named_and_never_handed_out(store):
    name = layout.tar_name(2)
    ReleaseStream(store)  # which makes the index
    data = bytearray(store.get(name))
    place = ReleaseStream(store).index.place(8 * IMAGES + 1)
    data[place.start + 100] ^= 1  # in its XMP
    store.put(name, bytes(data))
    samples = iter(ReleaseStream(store, shuffle=False))
    assert [next(samples).key for _ in range(8 * IMAGES)] == EVERY[: 8 * IMAGES]
    with pytest.raises(
        IntegrityError, match=r"000008_0001 in data/train-000002\.tar does not have"
    ):
        next(samples)
    assert len(keys_of(ReleaseStream(store, shuffle=False, verify=False))) == COUNT
    store.delete(name)
    with pytest.raises(SourceError, match=r"train-000002\.tar is gone; restore it"):
        list(ReleaseStream(store))


def test_what_is_not_sealed_is_refused(tmp_path):
    store = LocalStore(tmp_path)
    with pytest.raises(SourceError, match="not a sealed release"):
        ReleaseStream(store)
    write(store)
    store.delete(layout.SUCCESS)
    with pytest.raises(SourceError, match="is not sealed; finish it first"):
        ReleaseStream(store)


def test_a_release_without_metadata_is_streamed_too(tmp_path):
    store = LocalStore(tmp_path)
    write(store)
    wanted = keys_of(ReleaseStream(store))
    for name in store.list("metadata/"):
        store.delete(name)
    seal_again(store)
    assert keys_of(ReleaseStream(store)) == wanted


def test_blocks_are_fetched_while_samples_are_decoded(local, monkeypatch):
    """The first decoding waits until the second block has come."""
    come, second = [], threading.Event()
    fetch, decode = ReleaseStream.fetch, streaming.decode_image

    def counted(self, images):
        data = fetch(self, images)
        come.append(len(images))
        if len(come) == 2:
            second.set()
        return data

    def waiting(data, key, *limits):
        assert second.wait(timeout=30)
        return decode(data, key, *limits)

    monkeypatch.setattr(ReleaseStream, "fetch", counted)
    monkeypatch.setattr(streaming, "decode_image", waiting)
    assert sorted(keys_of(ReleaseStream(local))) == EVERY
    assert sum(come) == COUNT  # none is fetched twice


def test_a_stream_that_is_left_leaves_no_thread(local):
    samples = iter(ReleaseStream(local))
    next(samples)
    samples.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("ThreadPoolExecutor")]
