"""What is painted stays in its region; classic augmentation changes the whole image."""

from __future__ import annotations

import numpy as np
import pytest

from factory.config.editing import KINDS
from factory.editing.occluders import MASKS, NUM_PAINTS, PAINTS, blend, classic, draw_over
from factory.editing.regions import NUM_DRAWS, regions
from factory.sources.alignment import TEMPLATE_52
from tests.conftest import draw_face

FACES = np.stack([draw_face(person, 0, 112) for person in range(len(KINDS))])


def masks_for(kinds, fractions):
    points = np.repeat(TEMPLATE_52[None], len(kinds), 0)
    draws = np.random.default_rng(0).random((len(kinds), NUM_DRAWS))
    return regions(points, kinds, fractions, draws, 112)


def paints(count, seed=1):
    return np.random.default_rng(seed).random((count, NUM_PAINTS))


def test_every_kind_has_a_paint():
    assert tuple(PAINTS) == KINDS


def test_paint_changes_the_region_and_no_bit_outside():
    fractions = [0.0 if kind == "background" else 0.3 for kind in KINDS]
    masks = masks_for(KINDS, fractions)
    drawn = draw_over(FACES, masks, KINDS, paints(len(KINDS)))
    outside = masks.alpha_NHW == 0
    assert (drawn[outside] == FACES[outside]).all()
    for row in range(len(KINDS)):
        changed = (drawn[row] != FACES[row]).any(-1)
        assert changed[masks.alpha_NHW[row] == 1].mean() > 0.9


def test_blend_is_exact_at_both_ends_and_halfway_between():
    images, drawn = np.full((1, 1, 3, 3), 100, np.uint8), np.full((1, 1, 3, 3), 200, np.uint8)
    mixed = blend(images, drawn, np.array([[[0, 0.5, 1]]], np.float32))
    assert mixed[0, 0, :, 0].tolist() == [100, 150, 200]


def test_a_medical_mask_has_a_color_that_masks_have():
    masks = masks_for(["mask"] * 3, [0.4] * 3)
    drawn = draw_over(FACES[:3], masks, ["mask"] * 3, paints(3))
    for row in range(3):
        color = drawn[row][masks.alpha_NHW[row] == 1].mean(0)
        assert np.abs(MASKS - color).max(1).min() < 40


def test_a_hand_has_the_color_of_the_face():
    masks = masks_for(["hand"], [0.2])
    drawn = draw_over(FACES[:1], masks, ["hand"], paints(1))
    skin = FACES[0, 56, 56].astype(float)
    assert np.abs(drawn[0][masks.alpha_NHW[0] == 1].mean(0) / skin - 1).max() < 0.4


def test_gray_photographs_get_gray_paint():
    gray = np.repeat(FACES.mean(3, keepdims=True).astype(np.uint8), 3, axis=3)
    masks = masks_for(["hat"] * len(gray), [0.3] * len(gray))
    drawn = draw_over(gray, masks, ["hat"] * len(gray), paints(len(gray)))
    assert (drawn[..., 0] == drawn[..., 1]).all()
    assert (drawn[..., 0] == drawn[..., 2]).all()


def test_classic_augmentation_is_its_draws():
    still = np.full((1, NUM_PAINTS), 0.5)
    still[0, [1, 6]] = 0  # no crop, no noise; turned by 0 degrees
    assert np.abs(classic(FACES[:1], still)[0].astype(int) - FACES[0]).max() <= 1
    mirrored = still.copy()
    mirrored[0, 4] = 0.0
    flipped = classic(FACES[:1], mirrored)[0].astype(int)
    assert np.abs(flipped - FACES[0, :, ::-1]).max() <= 1
    first, again = classic(FACES[:2], paints(2)), classic(FACES[:2], paints(2))
    assert (first == again).all()
    assert (first != classic(FACES[:2], paints(2, seed=2))).any()


def still(**draws: float) -> np.ndarray:
    """Draws that turn, crop and mirror nothing and add no noise, but for some."""
    whole = np.full((1, NUM_PAINTS), 0.5)
    whole[0, [1, 6]] = 0
    for place, value in draws.items():
        whole[0, int(place.removeprefix("u"))] = value
    return whole


def gradient_of(axis: int) -> np.ndarray:
    """A ramp of one gray level a pixel along x (0) or y (1), 100 pixels wide."""
    ramp = np.meshgrid(np.arange(100), np.arange(100))[axis]
    return np.repeat(ramp[None, :, :, None], 3, axis=3).astype(np.uint8)


@pytest.mark.parametrize("draw", [0.0, 0.75, 1.0])
def test_classic_turns_by_up_to_twenty_degrees_to_either_side(draw):
    """About the middle: x and y of a turned pixel are read off two ramps."""
    angle = np.radians(20 * (2 * draw - 1))
    turned = [classic(gradient_of(axis), still(u0=draw))[0, ..., 0] for axis in (0, 1)]
    for x, y in ((50, 50), (62, 50), (50, 70), (40, 35)):
        dx, dy = x - 50, y - 50
        wanted = 50 + np.array(
            [np.cos(angle) * dx - np.sin(angle) * dy, np.sin(angle) * dx + np.cos(angle) * dy]
        )
        np.testing.assert_allclose([ramp[y, x] for ramp in turned], wanted, atol=1.0)


@pytest.mark.parametrize(("place", "first"), [(0.0, 0), (1.0, 20), (0.5, 10)])
def test_classic_crops_to_at_least_four_fifths_anywhere(place, first):
    cropped = classic(gradient_of(0), still(u1=1.0, u2=place))[0, 50, :, 0].astype(float)
    np.testing.assert_allclose(cropped[10:90], (first + 0.8 * np.arange(100))[10:90], atol=1.0)
    half = classic(gradient_of(1), still(u1=0.5, u3=place))[0, :, 50, 0].astype(float)
    np.testing.assert_allclose(half[10:90], (first / 2 + 0.9 * np.arange(100))[10:90], atol=1.0)


@pytest.mark.parametrize(("draw", "deviation"), [(1.0, 10.0), (0.5, 5.0)])
def test_classic_noise_is_normal_with_a_deviation_of_ten_at_most(draw, deviation):
    gray = np.full((1, 200, 200, 3), 128, np.uint8)
    noise = classic(gray, still(u6=draw)).astype(float) - 128
    assert noise.std() == pytest.approx(deviation, rel=0.03)
    assert (np.abs(noise) > deviation + 0.5).mean() == pytest.approx(0.317, abs=0.05)


def test_blend_rounds_to_the_nearest_level():
    images, drawn = np.zeros((1, 1, 2, 3), np.uint8), np.full((1, 1, 2, 3), 10, np.uint8)
    mixed = blend(images, drawn, np.array([[[0.26, 0.24]]], np.float32))
    assert mixed[0, 0, :, 0].tolist() == [3, 2]


@pytest.mark.parametrize("draw", [0, 1, 2, 3])
def test_each_classic_draw_does_something(draw):
    still = np.full((1, NUM_PAINTS), 0.5)
    still[0, 1], still[0, 6] = (0.5, 0) if draw in (2, 3) else (0, 0)
    other = still.copy()
    other[0, draw] = 0.9
    assert (classic(FACES[:1], still) != classic(FACES[:1], other)).any()
