"""Mask-ControlNet: new, it changes nothing; trained, it obeys; of another base, it is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.config import load
from factory.editing.controlnet import MaskControlNet, condition, redraw, resized
from factory.editing.train_controlnet import ControlLoss, train
from factory.errors import CheckpointError, ConfigError
from factory.images import to_uint8
from tests.conftest import draw_face

FACES = np.stack([draw_face(person, 0) for person in range(2)])
ALPHA = np.zeros((2, 32, 32), np.float32)
ALPHA[:, 16:] = 1


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_new_it_leaves_the_base_as_it_was_to_the_bit(base, guidance):
    control = MaskControlNet.on(base).eval()
    words, away = base.words(["a person"] * 2), base.words([""] * 2)
    noise = base.noise([1, 2])
    how = ("ddim", 3, guidance)
    shown = condition(FACES, ALPHA, "inference")
    drawn = to_uint8(redraw(base, control, shown, words, away, noise, how, "fp32"))
    other = to_uint8(redraw(base, control, -shown, words, away, noise, how, "fp32"))
    assert (drawn == other).all()  # blind
    plain = base.draw(words, away, noise, *how)
    assert np.abs(drawn.astype(int) - plain).max() <= 1  # diffusers' pipeline batches otherwise
    for convolution in control.controlnet.controlnet_down_blocks:
        torch.nn.init.normal_(convolution.weight, std=0.3)
    seeing = to_uint8(redraw(base, control, shown, words, away, noise, how, "fp32"))
    assert (seeing != drawn).any()


def test_an_estimate_with_zero_residuals_is_the_bases_to_the_bit(base):
    control, words = MaskControlNet.on(base).eval(), base.words(["a person"] * 2)
    z, t_B = torch.randn(2, 4, 16, 16), torch.tensor([10, 700])
    with torch.no_grad():
        seen = control.encoded(base, condition(FACES, ALPHA, "inference"))
        given = control.residuals(base, z, t_B, words, seen)
        assert base.estimate(z, t_B, words, **given).equal(base.estimate(z, t_B, words))


def test_condition_forms():
    shown = condition(FACES, ALPHA, "inference")
    assert shown.shape == (2, 6, 32, 32)
    assert (shown[:, :3, 16:] == 1).all()
    assert (shown[:, :3, :16] == -1).all()
    assert not shown[:, 3:, 16:].any()  # nothing of the region
    printed = condition(FACES, ALPHA, "printed")
    assert not printed[:, :3, 16:].any()
    assert printed[:, :3, :16].equal(printed[:, 3:, :16])
    assert printed[:, 3:, 16:].any()  # the target itself: it teaches copying


def test_masks_at_another_size_keep_their_share():
    assert resized(ALPHA, 16).shape == (2, 16, 16)
    assert abs(float(resized(ALPHA, 16).mean()) - 0.5) < 0.02


def test_gradients_reach_the_adapter_and_never_the_base(base):
    model = ControlLoss(base, 4.0)
    assert not [name for name, _ in model.named_parameters() if "trained." not in name]
    for block in model.trained.controlnet.controlnet_down_blocks:
        torch.nn.init.normal_(block.weight, std=0.1)
    torch.nn.init.normal_(model.trained.controlnet.controlnet_cond_embedding.conv_out.weight)
    words = base.words(["a person"] * 2)
    z, noise, t_B = torch.randn(2, 4, 16, 16), torch.randn(2, 4, 16, 16), torch.tensor([5, 500])
    shown, region = condition(FACES, ALPHA, "inference"), torch.ones(2, 1, 16, 16)
    model(z, noise, t_B, words.text_BLD, None, shown, region).backward()
    assert model.trained.adapter[0].weight.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in base.unet.parameters())


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


def test_it_trains_resumes_and_is_loaded_on_its_base_alone(training, base, tmp_path):
    said: list[str] = []
    metrics = train(training(), log=said.append)
    assert metrics["final_loss"] > 0
    made, sha256 = MaskControlNet.load(str(tmp_path / "out"), base)
    assert sha256 == checkpoint.read_metadata(str(tmp_path / "out"), "controlnet", "x")["sha256"]
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
    with pytest.raises(ConfigError, match=r"source\.image_px: got 64; want booth\.base's 32"):
        train(training("source.image_px=64", "source.resize=true"), log=lambda line: None)


def test_the_printed_form_and_epsilon_train_too(training):
    metrics = train(
        training("inpainting_training.condition=printed", "training.max_steps=1"),
        log=lambda s: None,
    )
    assert metrics["final_loss"] > 0
