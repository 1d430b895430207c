"""Points of the training faces are found once, and a generator learns from their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.diffusion import head_poses
from factory.diffusion.head_poses import FacePoses
from factory.diffusion.pose import CHANNELS, PoseModel
from factory.diffusion.train import train
from factory.errors import ConfigError
from factory.sources import readers
from factory.sources.pose import learned_range
from factory.training.faces import open_faces
from tests.conftest import PX
from tests.factory.diffusion.conftest import faces_of, quiet
from tests.factory.diffusion.heads import head


@pytest.fixture
def detector(monkeypatch, tmp_path):
    """Stands for a detector's file: blobs have no faces, so each gets a head that is turned."""

    def points_of(images, detector):
        return np.stack([head(yaw) for yaw in np.linspace(-35, 35, len(images))]) * (PX / 112)

    monkeypatch.setattr(readers, "YuNet", lambda *args, **kwargs: None)
    monkeypatch.setattr(head_poses, "YuNet", lambda *args, **kwargs: None)
    monkeypatch.setattr(head_poses, "points_of", points_of)
    learn = PoseModel.learn
    many = classmethod(lambda cls, points, px: learn(np.concatenate([points] * 5, axis=1), px))
    monkeypatch.setattr(PoseModel, "learn", many)
    file = tmp_path / "yunet.onnx"
    file.write_bytes(b"weights")
    return file


def test_a_generator_learns_from_points_and_stores_the_poses(recipe, detector):
    settings = ("training.max_steps=2", "training.eval_every=1", "generator.pose=true")
    config = recipe(*settings, f"source.detector={detector}")
    train(config, quiet)
    loaded = checkpoint.load(config.training.out, "generator", "x")
    assert loaded.config["shape"]["hint_channels"] == CHANNELS
    assert loaded.config["shape"]["hint_px"] == PX
    assert loaded.tensors["hint.weight"].abs().max() > 0
    assert len(list((Path(config.training.out) / "sheets").glob("*.png"))) == 2
    low, high = learned_range(PoseModel.from_json(loaded.config["pose"]).bins, 0)
    assert low < -25 < 25 < high


def test_mirrors_have_the_points_of_mirrors(recipe, detector):
    config = recipe(f"source.detector={detector}")
    poses, chosen = FacePoses(faces_of(config), config), np.array([0, 3])
    plain, mirrored = (poses.images(np.full(2, m), chosen) for m in (0, 1))
    swapped = [1, 0, 2, 4, 3]  # the left eye of a mirror is the right one
    torch.testing.assert_close(mirrored, plain[:, swapped].flip(3), atol=1e-4, rtol=1e-4)


def test_points_are_found_once_for_all_trainings(recipe, detector, tmp_path, monkeypatch):
    config = recipe(f"source.detector={detector}", f"training.cache={tmp_path / 'cache'}")
    faces, _ = open_faces(config)
    chosen = np.arange(len(faces))
    first = FacePoses(faces, config).images(chosen % 2, chosen)
    assert torch.equal(first, FacePoses(faces_of(config), config).images(chosen % 2, chosen))
    monkeypatch.setattr(head_poses, "points_of", None)  # not called again
    again = FacePoses(faces, config).images(chosen % 2, chosen)
    torch.testing.assert_close(first, again)
    digest = faces.pixels_sha256()
    monkeypatch.setattr(faces, "pixels_sha256", lambda: "aligned otherwise")
    with pytest.raises(TypeError):
        FacePoses(faces, config)
    monkeypatch.setattr(faces, "pixels_sha256", lambda: digest)
    detector.write_bytes(b"other weights")
    with pytest.raises(TypeError):
        FacePoses(faces, config)


def test_without_a_detector_it_is_refused(recipe):
    with pytest.raises(ConfigError, match=r"source\.detector: got null while generator\.pose"):
        train(recipe("generator.pose=true", "source.detector=null"), quiet)


def test_of_many_faces_evenly_spaced_ones_are_learned_from(recipe, detector, monkeypatch):
    config, learned = recipe(f"source.detector={detector}"), []
    plain = PoseModel.learn
    noting = classmethod(lambda cls, points, px: learned.append(points) or plain(points, px))
    monkeypatch.setattr(PoseModel, "learn", noting)
    monkeypatch.setattr(head_poses, "MAX_LEARNED", 12)
    FacePoses(faces_of(config), config)
    monkeypatch.setattr(head_poses, "MAX_LEARNED", 11)
    FacePoses(faces_of(config), config)
    whole, some = learned
    assert (whole.shape[1], some.shape[1]) == (12, 11)
    assert (some[:, [0, -1]] == whole[:, [0, -1]]).all()
