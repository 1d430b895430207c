"""Each image is embedded once in each space; what is broken or changed is not believed."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from factory.config import SourceConfig
from factory.evaluation.embeddings import RecognizerSpace, one_ahead, real_faces
from factory.execution.inline import run_units
from factory.recognition.embed import Recognizer
from factory.recognition.external import open_embedder
from factory.release import build
from factory.sources import open_source, readers
from tests.conftest import PX, draw_face
from tests.unaligned import ShiftDetector, draw_unaligned, write_table


class Never:
    """A space in which nothing may be embedded."""

    has_unit_length = True

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256

    def embed(self, images):
        raise AssertionError("embedded again")


@pytest.fixture
def released(release_config):
    """(config, the judge's space without the judge) of a published release."""
    config = release_config()
    build(config, run_units, log=lambda line: None)
    judge = open_embedder(config.judge.checkpoint, torch.device("cpu"), "judge.checkpoint")
    return config, Never(judge.sha256)


def test_vectors_are_embedded_once(released):
    config, never = released
    source = open_source(config.source)
    (real,) = real_faces(source, config.source, [never], config.audit.embeddings_dir)
    assert real.labels.tolist() == [face.label for face in map(source.__getitem__, range(12))]
    assert real.indices.tolist() == list(range(12))


def test_changed_settings_and_broken_files_are_embedded_again(released):
    config, never = released
    source = open_source(config.source)
    other = replace(config.source, max_pixels=10**6)
    with pytest.raises(AssertionError, match="embedded again"):
        real_faces(source, other, [never], config.audit.embeddings_dir)
    for file in Path(config.audit.embeddings_dir).iterdir():
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(AssertionError, match="embedded again"):
        real_faces(source, config.source, [never], config.audit.embeddings_dir)


def test_a_recognizer_is_a_space_of_unit_vectors(weights):
    recognizer = Recognizer.load(str(weights / "recognizer"), torch.device("cpu"))
    space = RecognizerSpace(recognizer)
    images = np.stack([draw_face(0, 0), draw_face(1, 0)])
    assert space.sha256 == recognizer.sha256
    assert space.has_unit_length
    np.testing.assert_array_equal(space.embed(images), recognizer.embed(images))


def test_items_come_in_order_one_ahead():
    begun: list[int] = []

    def numbers():
        for number in range(3):
            begun.append(number)
            yield number

    assert list(one_ahead(numbers())) == [0, 1, 2]
    assert begun == [0, 1, 2]


class Counting:
    """A space of unit vectors that counts the images it has embedded."""

    has_unit_length = True
    sha256 = "counting"
    count = 0

    def embed(self, images_NHWC):
        self.count += len(images_NHWC)
        flat = images_NHWC.reshape(len(images_NHWC), -1).astype(np.float32) + 1
        return flat / np.linalg.norm(flat, axis=1, keepdims=True)


@pytest.fixture
def unaligned(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "YuNet", ShiftDetector)
    (tmp_path / "finds.onnx").write_text("0")
    return SourceConfig(
        kind="folder",
        path=str(draw_unaligned(tmp_path / "images")),
        landmarks=str(write_table(tmp_path / "points.csv")),
        image_px=PX,
    )


def test_many_vectors_stay_in_their_file(unaligned, tmp_path, monkeypatch):
    few = vectors_of(unaligned, Counting(), tmp_path / "few")
    monkeypatch.setattr("factory.evaluation.embeddings.MAPPED_BYTES", 0)
    (first,) = real_faces(open_source(unaligned), unaligned, [Counting()], str(tmp_path / "many"))
    again = vectors_of(unaligned, Never("counting"), tmp_path / "many")
    for many in (first.unit_ND, again):
        assert isinstance(many.base, np.memmap) or isinstance(many, np.memmap)
        assert (many == few).all()


def test_a_folder_that_cannot_be_written_is_done_without(unaligned, tmp_path):
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "below")
    (real,) = real_faces(open_source(unaligned), unaligned, [Counting()], folder)
    assert len(real.unit_ND) == len(real.labels) == len(open_source(unaligned))


def vectors_of(config, space, tmp_path) -> np.ndarray:
    folder = tmp_path if tmp_path.name == "many" else tmp_path / "kept"
    (real,) = real_faces(open_source(config), config, [space], str(folder))
    return real.unit_ND


def test_vectors_of_a_replaced_table_are_not_used(unaligned, tmp_path):
    """The file has the same path, size and date: contents count."""
    space = Counting()
    before = vectors_of(unaligned, space, tmp_path)
    number = space.count
    write_table(Path(unaligned.landmarks), shift=5)
    after = vectors_of(unaligned, space, tmp_path)
    assert space.count == 2 * number
    assert (after != before).any()
    write_table(Path(unaligned.landmarks))  # and back: they are there still
    assert (vectors_of(unaligned, space, tmp_path) == before).all()
    assert space.count == 2 * number


@pytest.mark.parametrize(
    "change",
    [
        lambda config, tmp_path: replace(config, zoom=0.5),
        lambda config, tmp_path: replace(config, image_px=2 * PX),
        lambda config, tmp_path: replace(config, detector=str(tmp_path / "finds.onnx")),
        lambda config, tmp_path: replace(config, landmarks=None, resize=True),
    ],
    ids=["zoom", "image_px", "detector", "resize"],
)
def test_vectors_of_faces_aligned_otherwise_are_not_used(unaligned, tmp_path, change):
    space = Counting()
    vectors_of(unaligned, space, tmp_path)
    number = space.count
    vectors_of(change(unaligned, tmp_path), space, tmp_path)
    assert space.count == 2 * number


def test_vectors_of_images_that_were_decoded_otherwise_are_not_used(
    unaligned, tmp_path, monkeypatch
):
    """As by a factory that did not turn photographs upright."""
    space = Counting()
    vectors_of(unaligned, space, tmp_path)
    number = space.count
    monkeypatch.setattr("factory.evaluation.embeddings.DECODING", "another")
    vectors_of(unaligned, space, tmp_path)
    assert space.count == 2 * number


def test_vectors_of_a_replaced_image_are_not_used(unaligned, tmp_path):
    """Two images change places; sizes and dates are equal."""
    space, (first, second) = Counting(), (Path(unaligned.path) / f"person_{p}" for p in (0, 1))
    files = [first / "0.png", second / "0.png"]
    padded = max(file.stat().st_size for file in files)
    contents = [file.read_bytes().ljust(padded, b"\0") for file in files]
    for some in (contents, contents[::-1]):
        for file, content in zip(files, some, strict=True):
            file.write_bytes(content)
            os.utime(file, ns=(0, 0))
        vectors_of(unaligned, space, tmp_path)
    assert space.count == 2 * len(open_source(unaligned))


def test_vectors_are_used_wherever_and_whenever_their_images_were_copied(unaligned, tmp_path):
    space = Counting()
    before = vectors_of(unaligned, space, tmp_path)
    number = space.count
    moved = shutil.copytree(unaligned.path, tmp_path / "moved")
    for file in moved.rglob("*.png"):
        os.utime(file)
    table = shutil.copy(unaligned.landmarks, tmp_path / "other.csv")
    there = replace(unaligned, path=str(moved), landmarks=str(table), max_corrupt_fraction=0.5)
    assert (vectors_of(there, space, tmp_path) == before).all()
    assert space.count == number
