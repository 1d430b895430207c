"""What is measured of a base: its autoencoder's round trip, and faces in what it draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from factory.config import load
from factory.errors import ConfigError, FactoryError
from factory.images import to_network
from factory.sources import FaceSet
from factory.sources.alignment import TEMPLATE_52
from factory.text_to_image import base_quality
from factory.text_to_image.base_quality import BaseQualityCheck
from factory.text_to_image.captions import Captions
from tests.conftest import draw_face

KEYS = ["a/0", "b/0"]


@pytest.fixture
def faces():
    images = np.stack([draw_face(person, 0) for person in range(2)])
    return FaceSet(images, np.array([0, 1]), KEYS, ["a", "b"], [])


@pytest.fixture
def config(weights, tmp_path):
    def make(*items):
        (tmp_path / "c.yaml").write_text("{}\n")
        settings = [f"judge.checkpoint={weights / 'judge'}", "base_training.num_samples=10"]
        return load(tmp_path / "c.yaml", [*settings, "compute.precision=fp32", *items])

    return make


class FacesOnTheLeft:
    """Finds a face where an image is brighter on the left."""

    def best(self, image_HWC):
        left, right = np.split(image_HWC.astype(float), 2, axis=1)
        detection = np.concatenate([[0, 0, 32, 32], (TEMPLATE_52 * 32 / 112).ravel(), [1.0]])
        return detection if left.mean() > right.mean() else None


def test_a_base_is_measured_and_its_samples_are_shown(
    config, faces, base_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(base_quality, "STEPS", 2)
    monkeypatch.setattr(base_quality, "open_detector", lambda path: FacesOnTheLeft())
    folder = tmp_path / "out" / "pipeline"
    folder.parent.mkdir()
    folder.symlink_to(base_folder)
    check = BaseQualityCheck(config("source.detector=yunet.onnx"))
    captions = Captions(config().base_training, KEYS, ["a", "b"])
    metrics = check.measure(folder, captions, faces)
    assert metrics["num_samples"] == 10
    assert -1 <= metrics["round_trip_cosine"] <= 1
    grid = np.asarray(Image.open(tmp_path / "out" / "sheet.png"))
    assert grid.shape == (2 * 32, 8 * 32, 3)  # ten images of 32 px, eight in a row
    cells = [grid[32 * (i // 8) :][:32, 32 * (i % 8) :][:, :32] for i in range(10)]
    has_face = [FacesOnTheLeft().best(cell) is not None for cell in cells]
    assert metrics["face_share"] == pytest.approx(np.mean(has_face))
    assert not grid[32:, 64:].any()  # the rest of the last row is blank
    without = BaseQualityCheck(config("source.detector=null")).measure(folder, captions, faces)
    assert "face_share" not in without
    assert without["round_trip_cosine"] == metrics["round_trip_cosine"]


def test_the_round_trip_of_a_perfect_autoencoder_is_one(config, faces, base_folder, monkeypatch):
    monkeypatch.setattr(base_quality, "STEPS", 1)
    monkeypatch.setattr(base_quality, "_save_grid", lambda path, images: None)
    encoded = {}

    def encode(self, images, batch_size=8):
        encoded["images"] = images
        return torch.arange(len(images)).view(-1, 1, 1, 1, 1).expand(-1, 2, 4, 16, 16).float()

    def decode(self, z):
        return to_network(encoded["images"][z[:, 0, 0, 0].long().numpy()])

    monkeypatch.setattr(base_quality.TextToImage, "encode", encode)
    check = BaseQualityCheck(config())
    monkeypatch.setattr(BaseQualityCheck, "_samples", lambda *_: faces.images_NHWC)
    monkeypatch.setattr(base_quality.TextToImage, "decode", decode)
    captions = Captions(config().base_training, KEYS, ["a", "b"])
    assert check.measure(base_folder, captions, faces)["round_trip_cosine"] == pytest.approx(1.0)


def test_what_is_missing_is_named_before_a_training(config):
    with pytest.raises(ConfigError, match=r"judge\.checkpoint: nothing given"):
        BaseQualityCheck(config("judge.checkpoint=null"))
    with pytest.raises(FactoryError, match=r"source\.detector"):
        BaseQualityCheck(config("source.detector=nowhere.onnx"))
