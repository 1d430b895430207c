"""A tiny recognizer learns four drawn people, resumes exactly, and is loaded as it was."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from factory.config import AugmentConfig, load
from factory.errors import CheckpointError
from factory.recognition.backbone import SHAPES, IResNet
from factory.recognition.data import NUM_DRAWS, augment, to_network, to_uint8
from factory.recognition.embed import Recognizer
from factory.recognition.train import learning_rate, margin_at, train
from factory.sources import open_source, read_faces
from tests.conftest import PX

RECIPE = [
    "source.kind=folder",
    f"source.image_px={PX}",
    "compute.precision=fp32",
    "training.save_every_s=10000",
    "recognizer.backbone=iresnet_mini",
    "recognizer.embedding_dim=16",
    "recognizer.num_virtual=8",
    "recognizer.batch_size=6",
    "recognizer.epochs=20",
    "recognizer.margin_m=0.2",
    "recognizer.margin_free=0.5",
    "recognizer.scale=16",
    "recognizer.lr=0.02",
]


@pytest.fixture
def recipe(people, tmp_path):
    def make(*dotlist):
        (tmp_path / "c.yaml").write_text("{}\n")
        return load(tmp_path / "c.yaml", [*RECIPE, f"source.path={people}", *dotlist])

    return make


def quiet(line):
    return None


def faces_of(config):
    return read_faces(open_source(config.source), 0.0)


def test_learns_and_reports(recipe, people, tmp_path):
    config = recipe(
        f"training.out={tmp_path / 'out'}", "training.log_every=10", f"source.heldout={people}"
    )
    faces, lines = faces_of(config), []
    metrics = train(config, lines.append)
    assert "images/s" in lines[-1]
    assert metrics["heldout"]["auc"] > 0.95
    assert set(metrics["geometry"]) == {"real_real", "real_virtual", "virtual_virtual"}
    story = json.loads((tmp_path / "out" / "checkpoint.json").read_text())
    assert story["metrics"] == metrics
    loaded = Recognizer.load(str(tmp_path / "out"), torch.device("cpu"))
    unit = loaded.embed(faces.images_NHWC)
    assert np.allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
    own = (unit * loaded.unit_real[faces.labels]).sum(1)
    assert own.mean() > (unit @ loaded.unit_real.T).mean() + 0.2


def test_resume_gives_the_same_weights(recipe, tmp_path):
    def weights(*parts):
        for steps in parts:
            config = recipe(
                f"training.out={tmp_path / str(parts)}",
                f"training.max_steps={steps}",
                "recognizer.margin_free=1",
                "recognizer.schedule=step",
            )
            train(config, quiet)
        return (tmp_path / str(parts) / "weights.safetensors").read_bytes()

    assert weights(6) == weights(3, 6)


def test_a_resume_with_another_recipe_is_refused(recipe, tmp_path):
    begun = recipe(f"training.out={tmp_path}", "training.max_steps=1")
    train(begun, quiet)
    other = recipe(f"training.out={tmp_path}", "recognizer.lr=0.07")
    with pytest.raises(CheckpointError, match=r"training\.out: .* begun with other settings"):
        train(other, quiet)


def test_margin_and_learning_rate_schedules(recipe):
    recognizer = recipe("recognizer.margin_ramp=0.25", "recognizer.warmup_epochs=1").recognizer
    got = [margin_at(recognizer, p) for p in (0.0, 0.49, 0.625, 1.0)]
    assert got == pytest.approx([0.0, 0.0, 0.1, 0.2])
    assert learning_rate(recognizer, 0, 10, 100) == pytest.approx(0.002)
    assert learning_rate(recognizer, 20, 10, 100) == pytest.approx(0.02)


@pytest.mark.parametrize("name", SHAPES)
def test_every_backbone_embeds(name):
    network = IResNet(name, 32, image_px=48).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 48, 48)).shape == (1, 32)


def test_reference_sizes():
    count = sum(p.numel() for p in IResNet("iresnet50", 512).parameters())
    assert count == pytest.approx(43.6e6, rel=0.01)


def test_images_survive_the_round_trip():
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    assert np.array_equal(to_uint8(to_network(images)), images)


def test_augmentation_repeats_with_its_numbers_and_stays_in_range():
    x = torch.rand(8, 3, 32, 32) * 2 - 1
    config = AugmentConfig(crop=0.8, erase=0.1, jitter=0.3)
    uniform = torch.rand(8, NUM_DRAWS, generator=torch.Generator().manual_seed(5))
    twice = [augment(x, config, uniform) for _ in range(2)]
    assert torch.equal(*twice)
    assert twice[0].abs().max() <= 1
    assert not torch.equal(twice[0], x)


def test_flip_alone_flips_about_half():
    x = torch.arange(4.0).expand(200, 3, 4, 4)
    uniform = torch.rand(200, NUM_DRAWS, generator=torch.Generator().manual_seed(0))
    flipped = augment(x, AugmentConfig(), uniform)
    share = float((flipped[:, 0, 0, 0] == 3).float().mean())
    assert 0.35 < share < 0.65
