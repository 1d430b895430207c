"""Batches: the same from memory and from worker processes, mixtures, weights, corrupt images."""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest
from PIL import Image

from factory.config import BatchesConfig, load
from factory.errors import ConfigError, IntegrityError, SourceError
from factory.recognition.batches import (
    BatchLoader,
    CorruptCount,
    TrainingSet,
    WeightedSource,
    open_training_set,
)
from factory.sources import FaceSet
from factory.sources.recordio import encode_record
from factory.store import LocalStore, open_store
from factory.training.batch_order import BatchOrder
from tests.conftest import IMAGES, PEOPLE, PX, draw_face
from tests.factory.sources.test_recordio import JPEGS
from tests.releases import write_release
from tests.remote import FetchedTogether


@pytest.fixture
def config(people, tmp_path):
    def make(*items):
        (tmp_path / "c.yaml").write_text("{}\n")
        source = [f"source.path={people}", "source.kind=folder", f"source.image_px={PX}"]
        return load(tmp_path / "c.yaml", [*source, *items])

    return make


def batches(training_set, num_workers=0, first=0, total=6, accumulate=1):
    order = BatchOrder(1, len(training_set), 4)
    loader = BatchLoader(training_set, order, num_workers, accumulate)
    return list(loader.batches(first, total))


def same(one, other):
    return all(
        (a.images_BHWC == b.images_BHWC).all() and (a.labels_B == b.labels_B).all()
        for a, b in zip(one, other, strict=True)
    )


def test_workers_give_the_batches_of_memory_in_their_order(config):
    memory = batches(open_training_set(config())[0])
    lazy, _ = open_training_set(config("batches.num_workers=2"))
    assert same(memory, batches(lazy, 2))
    assert same(memory, batches(lazy, 1))
    assert same(memory[4:], batches(lazy, 2, first=4))  # resumed in the second epoch
    halves = batches(lazy, 2, accumulate=2)
    assert len(halves) == 12
    assert (halves[0].labels_B == memory[0].labels_B[:2]).all()


def test_held_out_people_are_the_same_in_memory_and_on_disk(config):
    for workers, held in itertools.product((0, 1), ("identities=2", "fraction=0.4")):
        training_set, heldout = open_training_set(
            config(f"source.holdout_{held}", f"batches.num_workers={workers}")
        )
        assert training_set.names == ["person_0", "person_1"]
        assert sorted(heldout.keys) == [f"person_{p}/{i}" for p in (2, 3) for i in range(3)]
        assert training_set.describe(heldout) == "6 images of 2 people, 6 held out"
    with pytest.raises(SourceError, match=r"source\.holdout_identities: got 4 of 4"):
        open_training_set(config("source.holdout_identities=4", "batches.num_workers=1"))


@pytest.fixture
def other(tmp_path):
    """Two people: one of the main source's by name (two images), one new (one image)."""
    for name, count in (("person_1", 2), ("new", 1)):
        (tmp_path / "other" / name).mkdir(parents=True)
        for i in range(count):
            image = Image.fromarray(draw_face(9, i))
            image.save(tmp_path / "other" / name / f"x{i}.png")
    return tmp_path / "other"


def mixed(other, **fields):
    inner = ", ".join(f"{key}: {value}" for key, value in fields.items())
    source = f"{{kind: folder, path: {other}, image_px: {PX}}}"
    return f"batches.mix=[{{source: {source}, {inner}}}]"


@pytest.mark.parametrize("workers", [0, 1])
def test_sources_are_mixed_with_their_domains(config, other, workers):
    items = (mixed(other, domain="made", weight=2.5), f"batches.num_workers={workers}")
    training_set, _ = open_training_set(config(*items))
    assert training_set.names[:4] == [f"person_{i}" for i in range(4)]
    assert training_set.names[4:] == ["made/new", "made/person_1"]
    assert training_set.domains == ["real"] * 4 + ["made"] * 2
    weights = training_set.weights(config(*items).batches)
    assert weights.tolist() == [1.0] * 12 + [2.5] * 3
    together, _ = open_training_set(
        config(mixed(other, same_people="true"), f"batches.num_workers={workers}")
    )
    assert together.names == [f"person_{i}" for i in range(4)] + ["new"]
    assert np.bincount(together.labels).tolist() == [3, 5, 3, 3, 1]


def test_classes_with_few_images_are_counted_and_the_others_have_no_gaps(config, other):
    training_set, heldout = open_training_set(
        config(mixed(other, domain="made"), "batches.min_images=2")
    )
    assert training_set.names[-1] == "made/person_1"
    assert sorted(set(training_set.labels.tolist())) == list(range(5))
    assert training_set.lines == [
        "left out: 1 of 6 identities with fewer than 2 images (batches.min_images)"
    ]
    assert "14 images of 5 people (12 real, 2 made)" in training_set.describe(heldout)
    used = training_set.source_records(config(mixed(other, domain="made")))
    assert [(one.role, one.num_images, one.num_people) for one in used] == [
        ("source", 12, 4),
        ("mix", 2, 1),
    ]
    with pytest.raises(SourceError, match=r"batches\.min_images: nobody has 9 images"):
        open_training_set(config("batches.min_images=9"))


@pytest.mark.parametrize("workers", [0, 1])
def test_gaps_in_the_labels_are_among_the_lines(config, tmp_path, workers):
    records = b"".join(
        encode_record(key, label, JPEGS[0])
        for key, label in enumerate((0.0, 3.0, 3.0, 4.0), start=1)
    )
    (tmp_path / "gaps.rec").write_bytes(records)
    items = ("source.kind=recordio", f"source.path={tmp_path / 'gaps.rec'}")
    training_set, _ = open_training_set(config(*items, f"batches.num_workers={workers}"))
    assert "labels up to 4 with 2 gaps" in training_set.lines[0]
    assert training_set.labels.tolist() == [0, 1, 1, 2]


def training_set_of(*counts: int, further: tuple[WeightedSource, ...] = ()) -> TrainingSet:
    labels = np.repeat(np.arange(len(counts)), counts)
    keys = [f"k{i}" for i in range(len(labels))]
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    faces = FaceSet(images, labels, keys, [str(i) for i in range(len(counts))], [])
    return TrainingSet([WeightedSource(faces, "real", 1.0, True), *further], 1)


def test_classes_are_balanced_and_named_images_come_more_often(tmp_path):
    training_set = training_set_of(1, 9)
    assert training_set.weights(BatchesConfig()) is None
    balanced = training_set.weights(BatchesConfig(balance="class"))
    assert np.bincount(training_set.labels, balanced).tolist() == pytest.approx([5.0, 5.0])
    made = WeightedSource(training_set_of(2).parts[0].faces, "made", 5.0, False)
    heavy = training_set_of(1, 9, further=(made,))
    weights = np.bincount(heavy.labels, heavy.weights(BatchesConfig(balance="class")))
    assert weights.tolist() == pytest.approx([4.0, 4.0, 20.0])
    (tmp_path / "keys.txt").write_text("k0\nk3\n")
    named = training_set.weights(
        BatchesConfig(oversample=str(tmp_path / "keys.txt"), oversample_factor=5)
    )
    assert named.tolist() == [5.0, 1, 1, 5, 1, 1, 1, 1, 1, 1]
    order = BatchOrder(0, len(training_set), 2, named)
    drawn = np.concatenate([order.batch(step) for step in range(9)])
    assert np.bincount(drawn).tolist() == named.tolist()
    (tmp_path / "keys.txt").write_text("k0\nnobody\n")
    with pytest.raises(SourceError, match=r"names 2 keys, 1 of them are in the sources"):
        training_set.weights(BatchesConfig(oversample=str(tmp_path / "keys.txt")))
    with pytest.raises(ConfigError, match=r"batches\.oversample: no file"):
        training_set.weights(BatchesConfig(oversample="none.txt"))


def test_unreadable_images_are_replaced_alike_by_all_workers_and_counted(config, people, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(people, broken)
    (broken / "person_1" / "1.png").write_bytes(b"no image")
    training_set, _ = open_training_set(config(f"source.path={broken}", "batches.num_workers=1"))
    first, second = batches(training_set, 1, total=3), batches(training_set, 2, total=3)
    assert same(first, second)
    unread = [index for b in first for index in b.unreadable]
    assert unread == [4]  # person_1's second image, once an epoch
    following = draw_face(1, 2)
    batch = next(b for b in first if b.unreadable)
    assert any(np.array_equal(image.numpy(), following) for image in batch.images_BHWC)
    patient = CorruptCount(training_set, 0.1)
    strict = CorruptCount(training_set, 0.01)
    lines = [line for b in first * 2 for line in patient.add(b)]
    assert lines == [
        "left out: image 2 of person 2 in the order of names: not a readable image "
        "(UnidentifiedImageError)"
    ]
    with pytest.raises(SourceError, match=r"more than 0 of 12 images cannot be used, one is imag"):
        strict.add(batch)


def test_all_images_of_everybody_come_once_an_epoch(config):
    training_set, _ = open_training_set(config())
    labels = [label for b in batches(training_set, total=3) for label in b.labels_B.tolist()]
    assert np.bincount(labels).tolist() == [IMAGES] * PEOPLE


@pytest.fixture
def release(tmp_path, monkeypatch):
    """A release of five people with four images each, as a source of kind webdataset."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_release(LocalStore(tmp_path / "r"), [2, 3], 4, px=PX, image_format="png")
    return [f"source.path={tmp_path / 'r'}", "source.kind=webdataset"]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_images_of_a_batch_are_fetched_at_once_and_batches_stay_the_same(
    config, release, monkeypatch, workers
):
    """From a source of which each image waits until another one is under way."""
    plain = batches(open_training_set(config(*release))[0])
    there, _ = open_training_set(config(*release, "batches.num_workers=1"))
    source = there.parts[0].faces
    remote = TrainingSet([WeightedSource(FetchedTogether(source, 2), "real", 1.0, True)], 1)
    order = BatchOrder(1, len(remote), 4)
    loader = BatchLoader(remote, order, workers, 1)
    monkeypatch.setattr(loader, "_batch_bytes", lambda step: 0)  # which reads one image alone
    assert same(plain, list(loader.batches(0, 6)))


def test_a_training_set_takes_ten_bytes_an_image(config, release):
    training_set, _ = open_training_set(config(*release, "batches.num_workers=1"))
    arrays = (training_set.part_N, training_set.index_N, training_set.labels)
    assert sum(array.nbytes for array in arrays) == 10 * len(training_set)
    index = training_set.parts[0].faces.index
    assert training_set.parts[0].faces.labels.base is not None  # mapped, not copied
    assert index.columns.path is not None


@pytest.mark.parametrize("workers", [0, 1])
def test_an_altered_image_ends_a_training_by_its_name(config, release, tmp_path, workers):
    training_set, _ = open_training_set(config(*release, "batches.num_workers=1"))
    place = training_set.parts[0].faces.index.place(3)
    with (tmp_path / "r" / place.name).open("r+b") as file:
        file.seek(place.start + 20)
        file.write(b"altered")
    with pytest.raises(IntegrityError, match=r"^source\.path: image 000000_0003 in data/train-000"):
        batches(training_set, workers)


@pytest.mark.s3
def test_a_bucket_gives_the_batches_of_a_folder(config, release, s3_config, tmp_path):
    store, folder = s3_config(), LocalStore(tmp_path / "r")
    for name in folder.list(""):
        open_store(store).put(name, folder.get(name))
    items = [f"source.path={store.url}", "source.kind=webdataset", "batches.num_workers=1"]
    items += [f"store.endpoint_url={store.endpoint_url}", "store.path_style=true"]
    here, _ = open_training_set(config(*release))
    there, _ = open_training_set(config(*items))
    assert there.is_remote
    assert same(batches(here), batches(there, 1))
