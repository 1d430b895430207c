"""Autoencoder and generator train on drawn faces, resume exactly, and load where they fit."""

from __future__ import annotations

import json

import pytest
import torch

from factory import checkpoint
from factory.config import load
from factory.diffusion import autoencoder as autoencoding
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.loss_by_noise_level import LossByNoiseLevel
from factory.diffusion.train import GeneratorLoss, dropout, network_shape, train
from factory.diffusion.uvit import Shape, UViT
from factory.recognition.embed import Recognizer
from factory.sources import open_source, read_faces
from tests.conftest import PX

CPU = torch.device("cpu")


@pytest.fixture
def recipe(people, weights, tmp_path):
    def make(*dotlist):
        (tmp_path / "c.yaml").write_text("{}\n")
        return load(
            tmp_path / "c.yaml",
            [
                "source.kind=folder",
                f"source.path={people}",
                f"source.image_px={PX}",
                "compute.precision=fp32",
                "training.save_every_s=10000",
                f"training.out={tmp_path / 'out'}",
                f"recognizer.checkpoint={weights / 'recognizer'}",
                f"autoencoder.checkpoint={weights / 'autoencoder'}",
                "autoencoder.widths=[16,16]",
                "autoencoder.latent_channels=4",
                "autoencoder.batch_size=6",
                "generator.width=32",
                "generator.depth=3",
                "generator.num_heads=2",
                "generator.num_timesteps=100",
                "generator.batch_size=6",
                "generator.warmup_steps=0",
                "generator.lr=2e-3",
                *dotlist,
            ],
        )

    return make


def faces_of(config):
    return read_faces(open_source(config.source), 0.0)


def quiet(line):
    return None


def test_autoencoder_reconstructs_better_with_training(recipe, tmp_path):
    config = recipe("training.max_steps=80", "autoencoder.epochs=100", "autoencoder.lr=0.005")
    faces = faces_of(config)
    few = recipe("training.max_steps=1", f"training.out={tmp_path / 'few'}")
    before = autoencoding.train(few, quiet)
    after = autoencoding.train(config, quiet)
    assert after["psnr_db"] > before["psnr_db"] + 2
    loaded = Autoencoder.load(str(tmp_path / "out"), CPU, "fp32")
    z = loaded.encode(faces.images_NHWC)
    assert z.shape == (len(faces), 4, PX // 4, PX // 4)
    assert float(z.mean()) == pytest.approx(0, abs=1e-3)
    assert float(z.std((0, 2, 3)).mean()) == pytest.approx(1, abs=1e-2)


@pytest.mark.parametrize("space", ["pixels", "latents"])
def test_generator_trains_in_both_spaces(recipe, tmp_path, space):
    config = recipe(
        f"generator.space={space}",
        "generator.patch=2",
        "training.max_steps=30",
        "generator.epochs=100",
        "generator.identity_weight=0.1",
        "generator.identity_batch=2",
    )
    metrics = train(config, quiet)
    assert 0 < metrics["final_loss"] < 2
    story = checkpoint.read_metadata(str(tmp_path / "out"), "generator", "k")
    assert story["config"]["space"] == space
    assert ("autoencoder" in story["lineage"]) == (space == "latents")


def test_resume_gives_the_same_weights(recipe, tmp_path):
    def weights(*parts):
        out = tmp_path / f"parts{len(parts)}"
        for steps in parts:
            config = recipe(
                f"training.out={out}", f"training.max_steps={steps}", "generator.decay_fraction=0"
            )
            train(config, quiet)
        return (out / "weights.safetensors").read_bytes()

    assert weights(6) == weights(2, 4, 6)


def test_resume_is_exact_with_dropout_on_the_identity(recipe, tmp_path):
    def weights(name, *parts):
        for steps in parts:
            settings = [f"training.out={tmp_path / name}", f"training.max_steps={steps}"]
            train(recipe("generator.identity_dropout=.25", "generator.decay_fraction=0", *settings))
        return (tmp_path / name / "weights.safetensors").read_bytes()

    assert weights("whole", 4) == weights("parts", 2, 4)


def test_dropout_keeps_the_mean():
    factors = dropout((500, 100), 0.25, torch.Generator().manual_seed(0))
    assert factors.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float(factors.mean()) == pytest.approx(1, abs=0.01)


def test_dropout_reaches_the_identity_alone():
    torch.manual_seed(0)
    network = UViT(Shape(2, 8, 2, None, 32, 3, 2, 6))
    torch.nn.init.normal_(network.final.weight, std=0.1)
    x, t, who = torch.randn(2, 2, 8, 8), torch.full((2,), 5), torch.randn(2, 6)
    whole, again = network(x, t, who), network(x, t, who, None, torch.ones(2, 32))
    torch.testing.assert_close(whole, again)
    blind = network(x, t, who, None, torch.zeros(2, 32))
    torch.testing.assert_close(blind, network(x, t, who.flip(0), None, torch.zeros(2, 32)))
    assert (blind - whole).abs().max() > 1e-3


def test_errors_stand_in_the_history_by_noise_level(recipe, tmp_path):
    train(recipe("training.max_steps=6", "training.log_every=3"), quiet)
    lines = (tmp_path / "out" / "history.jsonl").read_text().splitlines()
    found = [json.loads(line)["error_by_level"] for line in lines]
    assert [len(levels) for levels in found] == [5, 5]
    assert any(error is not None and error > 0 for error in found[0])


def test_errors_by_level_are_means_since_the_last_look():
    levels = LossByNoiseLevel(100)
    assert levels.take() == {}
    levels.add(torch.tensor([0, 19, 20, 99]), torch.tensor([1.0, 3.0, 5.0, 7.0]))
    levels.add(torch.tensor([98]), torch.tensor([8.0]))
    assert levels.take() == {"error_by_level": [2.0, 5.0, None, None, 7.5]}
    assert levels.take() == {}


def loss_of(config, recognizer, decode, x, identity_weight):
    changed = recipe_with(config, identity_weight)
    torch.manual_seed(0)
    shape = network_shape(changed, 3, PX, recognizer.dim)
    return GeneratorLoss(changed.generator, shape, decode, recognizer)


def recipe_with(config, identity_weight):
    from dataclasses import replace

    generator = replace(config.generator, identity_weight=identity_weight, prediction="x0")
    return replace(config, generator=generator)


def test_identity_loss_is_equation_8(recipe):
    config = recipe("generator.space=pixels")
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    x = torch.rand(3, 3, PX, PX) * 2 - 1
    t = torch.tensor([10, 50, 90])
    noise, nobody = torch.randn_like(x), torch.zeros(3, recognizer.dim)
    wanted = recognizer.unit_features(x)
    plain, weighted = (
        loss_of(config, recognizer, lambda y: y, x, w)(x, noise, t, nobody, wanted, None)[0]
        for w in (0.0, 0.5)
    )
    black = recognizer.unit_features(torch.zeros_like(x))  # an untrained network predicts zero
    distance = (black - wanted).square().sum(1).mean()
    torch.testing.assert_close(plain, x.square().mean())
    torch.testing.assert_close(weighted - plain, 0.5 * distance)
