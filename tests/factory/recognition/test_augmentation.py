"""Augmentation is its draws: each number does what it is for, image by image."""

from __future__ import annotations

import pytest
import torch

from factory.config import AugmentConfig
from factory.recognition.augmentation import NUM_DRAWS, augment, erased_area

STILL = torch.full((NUM_DRAWS,), 0.5)
"""Draws that flip nothing, crop in the middle, and jitter by nothing."""
X = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def draws(**numbers: float) -> torch.Tensor:
    """STILL for the first of two images, with other numbers for the second: draws(u0=.1)."""
    uniform = STILL.repeat(2, 1)
    for name, value in numbers.items():
        uniform[1, int(name[1:])] = value
    return uniform


def test_nothing_configured_leaves_images_or_mirrors_them():
    same, mirrored = augment(X, AugmentConfig(), draws(u0=0.4))
    assert torch.equal(same, X[0])
    assert torch.equal(mirrored, X[1].flip(2))


def test_a_crop_of_constant_side_shows_the_part_that_its_draws_name():
    ramp = torch.linspace(-1, 1, 16).expand(2, 3, 16, 16).contiguous()  # brighter to the right
    config = AugmentConfig(crop=0.6)
    middle, left = augment(ramp, config, draws(u1=0.0, u2=0.0))  # at the left edge
    assert middle.mean() == pytest.approx(0.0, abs=1e-5)
    assert left.mean() == pytest.approx(-0.4, abs=0.05)
    assert left[0, :, -1].max() == pytest.approx(0.2, abs=0.1)  # nothing beyond 60 %


def test_jitter_is_brightness_contrast_and_saturation():
    color = torch.tensor([0.2, 0.0, -0.2]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
    config = AugmentConfig(jitter=0.3)
    same, brighter = augment(color, config, draws(u4=1.0))
    torch.testing.assert_close(same, color[0])
    torch.testing.assert_close(brighter, color[1] + 0.3)
    _, gray = augment(color, AugmentConfig(jitter=1.0), draws(u6=0.0))
    torch.testing.assert_close(gray, torch.zeros(3, 4, 4))
    halves = torch.tensor([-0.4, 0.4]).view(1, 1, 1, 2).expand(2, 3, 2, 2)
    _, flat = augment(halves, AugmentConfig(jitter=0.5), draws(u5=0.0))
    torch.testing.assert_close(flat, halves[1] / 2)


def test_an_erased_square_has_the_area_and_place_of_its_draws():
    white = torch.ones(2, 3, 32, 32)
    config = AugmentConfig(erase=0.25)
    _, erased = augment(white, config, draws(u7=1.0, u8=0.25, u9=0.75))
    hole = erased[0] == 0
    assert hole.float().mean() == pytest.approx(0.25, abs=0.04)
    rows, columns = hole.nonzero().float().mean(0).tolist()
    assert (rows, columns) == pytest.approx((8, 24), abs=1)


def test_some_images_are_erased_from_the_least_area_on():
    """CemiFace's recipe: .02 to .1 of half of the images."""
    config = AugmentConfig(erase=0.1, erase_least=0.02, erase_chance=0.5)
    uniform = torch.tensor([0.0, 0.25, 0.5, 0.51, 0.9])
    wanted = torch.tensor([0.02, 0.06, 0.1, 0.0, 0.0])
    torch.testing.assert_close(erased_area(config, uniform), wanted)
    before = AugmentConfig(erase=0.1)
    torch.testing.assert_close(erased_area(before, uniform), 0.1 * uniform)
    fewer = AugmentConfig(erase=0.1, erase_least=0.02, erase_chance=0.4)
    untouched, erased = augment(torch.ones(2, 3, 32, 32), fewer, draws(u7=0.3))
    assert (untouched == 1).all()
    assert (erased == 0).any()
