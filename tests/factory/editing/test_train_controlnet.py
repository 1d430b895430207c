"""A Mask-ControlNet is trained on a frozen base, and loaded on that base alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.config import load
from factory.editing import train_controlnet
from factory.editing.controlnet import MaskControlNet, condition
from factory.editing.train_controlnet import ControlLoss, train
from factory.errors import CheckpointError, ConfigError
from factory.provenance.networks import records_of
from factory.training.schedules import adamw
from tests.conftest import draw_face
from tests.recorded import record_batches

FACES = np.stack([draw_face(person, 0) for person in range(2)])
ALPHA = np.zeros((2, 32, 32), np.float32)
ALPHA[:, 16:] = 1


def test_gradients_reach_the_adapter_and_never_the_base(base):
    model = ControlLoss(base, 4.0)
    assert not [name for name, _ in model.named_parameters() if "trained." not in name]
    for block in model.trained.controlnet.controlnet_down_blocks:
        torch.nn.init.normal_(block.weight, std=0.1)
    torch.nn.init.normal_(model.trained.controlnet.controlnet_cond_embedding.conv_out.weight)
    prompts = base.encode_prompts(["a person"] * 2)
    z, noise, t_B = torch.randn(2, 4, 16, 16), torch.randn(2, 4, 16, 16), torch.tensor([5, 500])
    hint, region = condition(FACES, ALPHA, "inference"), torch.ones(2, 1, 16, 16)
    model(z, noise, t_B, prompts.text_BLD, None, hint, region).backward()
    assert model.trained.adapter[0].weight.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in base.unet.parameters())


@pytest.mark.parametrize("weight", [0.0, 4.0])
def test_the_error_weighs_more_in_the_region(base, weight):
    """A new one adds nothing, so the errors are the base's own."""
    prompts = base.encode_prompts(["a person"] * 2)
    z, noise, t_B = torch.randn(2, 4, 16, 16), torch.randn(2, 4, 16, 16), torch.tensor([5, 500])
    hint, region = condition(FACES, ALPHA, "inference"), torch.zeros(2, 1, 16, 16)
    region[:, :, 8:] = 1
    with torch.no_grad():
        loss = ControlLoss(base, weight)(z, noise, t_B, prompts.text_BLD, None, hint, region)
        estimate = base.estimate(base.add_noise(z, noise, t_B), t_B, prompts)
    error = (estimate - base.target(z, noise, t_B)).square()
    outside, inside = error[:, :, :8].mean(), error[:, :, 8:].mean()
    assert abs(inside - outside) > 1e-3
    torch.testing.assert_close(loss, (outside + (1 + weight) * inside) / (2 + weight))


@pytest.fixture
def training(base_folder, people, tmp_path):
    def make(*dotlist):
        file = tmp_path / "controlnet.yaml"
        file.write_text("{}\n")
        base = [f"base_model.path={base_folder}", "source.kind=folder", f"source.path={people}"]
        base += ["source.image_px=32", "compute.precision=fp32", "inpainting_training.batch_size=4"]
        base += [f"training.out={tmp_path / 'out'}", "training.max_steps=3"]
        base += ["training.save_every_s=0", "training.log_every=1"]
        return load(file, [*base, *dotlist])

    return make


def test_the_optimizer_has_the_betas_of_the_recipe(training, monkeypatch):
    made = []
    record = lambda *given: made.append(given) or adamw(*given)  # noqa: E731
    monkeypatch.setattr(train_controlnet, "adamw", record)
    train(training("inpainting_training.betas=[0.9,0.999]", "training.max_steps=1"), log=len)
    assert [given[2] for given in made] == [(0.9, 0.999)]


def test_it_trains_resumes_and_is_loaded_on_its_base_alone(training, base, tmp_path):
    metrics = train(training("checkpoint.license=openrail"), log=lambda line: None)
    assert metrics["final_loss"] > 0
    made, sha256 = MaskControlNet.load(str(tmp_path / "out"), base)
    assert sha256 == checkpoint.read_metadata(str(tmp_path / "out"), "controlnet", "x")["sha256"]
    own, told = records_of(checkpoint.any_metadata(str(tmp_path / "out")))
    assert [(one.num_images, one.num_people) for one in own.learned_from] == [(12, 4)]
    assert own.trained_with == {"base": told.sha256} == {"base": base.sha256}
    assert (told.role, told.license, told.is_told) == ("base", "openrail", False)
    zero = [block.weight.abs().max() for block in made.controlnet.controlnet_down_blocks]
    assert max(zero) > 0
    again: list[str] = []
    train(training(), log=again.append)  # done already: not a step more
    assert not [line for line in again if line.startswith("step")]
    other = type("Base", (), {"sha256": "0" * 64})()
    with pytest.raises(CheckpointError, match="was trained on a base with sha256"):
        MaskControlNet.load(str(tmp_path / "out"), other)


def test_other_captions_are_another_training(training):
    train(training("training.max_steps=1"), log=lambda line: None)
    for other in ("base_training.caption=somebody", "base_training.caption_dropout=0.9"):
        with pytest.raises(CheckpointError, match=r"training\.out: .* begun with other settings"):
            train(training(other), log=lambda line: None)
    train(training("editing.edits_per_image=3"), log=lambda line: None)  # of releases alone


def test_faces_of_another_size_are_refused(training):
    with pytest.raises(ConfigError, match=r"source\.image_px: got 64; want base_model\.path's 32"):
        train(training("source.image_px=64", "source.resize=true"), log=lambda line: None)


def test_the_printed_form_and_epsilon_train_too(training):
    metrics = train(
        training("inpainting_training.condition=printed", "training.max_steps=1"),
        log=lambda s: None,
    )
    assert metrics["final_loss"] > 0


def test_half_of_the_faces_are_mirrored(training, monkeypatch):
    """The printed form of the condition holds the whole image, where none is painted."""
    batches = record_batches(monkeypatch, train_controlnet, "ControlLoss")
    settings = ["inpainting_training.condition=printed", "inpainting_training.drawn=0"]
    settings += ["training.max_steps=12", "inpainting_training.batch_size=12"]
    settings += ["inpainting_training.epochs=100", "training.save_every_s=10000"]
    train(training(*settings), log=lambda line: None)
    images = batches.all("condition_B6HW")[:, 3:]
    different = torch.unique(images.flatten(1), dim=0)
    assert len(different) == 2 * 12
    torch.testing.assert_close(different, torch.unique(images.flip(3).flatten(1), dim=0))


def test_the_weight_of_a_region_reaches_the_loss(training, tmp_path):
    """The first step starts from equal weights and draws, so only the setting tells them apart."""

    def first_loss(name, *changes):
        config = training(
            f"training.out={tmp_path / name}",
            "training.max_steps=1",
            "training.log_every=1",
            *changes,
        )
        train(config, lambda line: None)
        (line,) = (tmp_path / name / "history.jsonl").read_text().splitlines()
        return json.loads(line)["loss"]

    plain = first_loss("plain")
    assert first_loss("again") == plain
    assert first_loss("other", "inpainting_training.region_weight=0") != plain


def test_faces_in_files_train_the_same_network(training, tmp_path):
    digests = set()
    for most in ("1000000", "0"):
        out = tmp_path / most
        made = training(f"training.out={out}", f"training.faces_in_memory_bytes={most}")
        train(made, log=lambda line: None)
        digests.add(checkpoint.read_metadata(str(out), "controlnet", "x")["sha256"])
    assert len(digests) == 1
    assert len(list((tmp_path / "0/faces").glob("moments-*/*.npy"))) == 1
