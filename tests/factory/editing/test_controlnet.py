"""Mask-ControlNet: a new one changes nothing, and its condition hides the region."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory.editing.controlnet import MaskControlNet, condition, redraw, resized
from factory.images import to_uint8
from tests.conftest import draw_face

FACES = np.stack([draw_face(person, 0) for person in range(2)])
ALPHA = np.zeros((2, 32, 32), np.float32)
ALPHA[:, 16:] = 1


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_new_it_leaves_the_base_as_it_was_to_the_bit(base, guidance):
    control = MaskControlNet.on(base).eval()
    prompts, negative = base.encode_prompts(["a person"] * 2), base.encode_prompts([""] * 2)
    noise = base.noise([1, 2])
    sampling = ("ddim", 3, guidance)
    shown = condition(FACES, ALPHA, "inference")
    drawn = to_uint8(redraw(base, control, shown, prompts, negative, noise, sampling, "fp32"))
    other = to_uint8(redraw(base, control, -shown, prompts, negative, noise, sampling, "fp32"))
    assert (drawn == other).all()  # blind
    plain = base.draw(prompts, negative, noise, *sampling)
    assert np.abs(drawn.astype(int) - plain).max() <= 1  # diffusers' pipeline batches otherwise
    for convolution in control.controlnet.controlnet_down_blocks:
        torch.nn.init.normal_(convolution.weight, std=0.3)
    seeing = to_uint8(redraw(base, control, shown, prompts, negative, noise, sampling, "fp32"))
    assert (seeing != drawn).any()


def test_an_estimate_with_zero_residuals_is_the_bases_to_the_bit(base):
    control, prompts = MaskControlNet.on(base).eval(), base.encode_prompts(["a person"] * 2)
    z, t_B = torch.randn(2, 4, 16, 16), torch.tensor([10, 700])
    with torch.no_grad():
        hint = control.encoded(base, condition(FACES, ALPHA, "inference"))
        residuals = control.residuals(base, z, t_B, prompts, hint)
        assert base.estimate(z, t_B, prompts, **residuals).equal(base.estimate(z, t_B, prompts))


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


def test_the_adapter_is_two_layers_of_width_32_with_silu_and_tanh(base):
    adapter = MaskControlNet.on(base).adapter.double()
    first, second = adapter[0], adapter[2]
    assert (first.in_channels, first.out_channels, second.out_channels) == (6, 32, 3)
    x = torch.randn(1, 6, 8, 8, dtype=torch.float64) * 4
    inner = first(x)
    torch.testing.assert_close(adapter(x), torch.tanh(second(inner * torch.sigmoid(inner))))


@pytest.mark.parametrize(("guidance", "copies"), [(1.0, 1), (3.0, 2)])
def test_guidance_of_one_costs_one_answer(base, monkeypatch, guidance, copies):
    asked, estimate = [], base.estimate

    def noting(z_t, *args, **options):
        asked.append(len(z_t))
        return estimate(z_t, *args, **options)

    monkeypatch.setattr(base, "estimate", noting)
    prompts, negative = base.encode_prompts(["a person"] * 2), base.encode_prompts([""] * 2)
    shown, noise = condition(FACES, ALPHA, "inference"), base.noise([1, 2])
    control = MaskControlNet.on(base).eval()
    redraw(base, control, shown, prompts, negative, noise, ("ddim", 2, guidance), "fp32")
    assert asked == [2 * copies] * 2


def test_masks_at_another_size_hide_the_same_fraction():
    assert resized(ALPHA, 16).shape == (2, 16, 16)
    assert abs(float(resized(ALPHA, 16).mean()) - 0.5) < 0.02
