"""Painters paint what they are named for."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.views.scenery import CANVAS_PX, NEUTRALS, PAINTERS, Canvas, beside, tone


def painted(kind: str, seed: int) -> Canvas:
    rng = np.random.default_rng(seed)
    canvas = Canvas(rng)
    PAINTERS[kind](canvas, rng)
    return canvas


def mean_color(kind: str) -> np.ndarray:
    return np.mean([painted(kind, seed).picture_HWC.mean((0, 1)) for seed in range(8)], 0)


def test_a_box_covers_its_place():
    canvas = Canvas(np.random.default_rng(0))
    canvas.box(50, 60, 20, 10, np.ones(3))
    filled = canvas.picture_HWC[..., 0] > 0
    assert filled.sum() == 200
    assert filled[55:65, 40:60].all()


@pytest.mark.parametrize("x", [-50, CANVAS_PX + 50])
def test_a_box_outside_paints_nothing(x: float):
    canvas = Canvas(np.random.default_rng(0))
    canvas.box(x, 60, 20, 10, np.ones(3))
    assert not canvas.picture_HWC.any()


def test_a_blob_has_the_area_of_an_ellipse():
    canvas = Canvas(np.random.default_rng(0))
    canvas.blob(80, 80, 30, 15, np.ones(3))
    assert (canvas.picture_HWC[..., 0] > 0).sum() == pytest.approx(np.pi * 450, rel=0.02)


@pytest.mark.parametrize("turn", [0.0, 1.0])
def test_a_gradient_goes_from_one_end_to_the_other(turn: float):
    canvas = Canvas(np.random.default_rng(0))
    canvas.gradient(np.zeros(3), np.ones(3), turn)
    picture = canvas.picture_HWC[..., 0].T if turn else canvas.picture_HWC[..., 0]
    assert np.allclose(picture, np.linspace(0, 1, CANVAS_PX)[:, None], atol=1e-6)


def test_glints_are_counted_where_they_lie():
    canvas = Canvas(np.random.default_rng(0))
    canvas.glint(3.5, 7.5, np.ones(3) * 4)
    canvas.glint(-1, 7, np.ones(3))
    assert canvas.glints == 1
    assert canvas.glints_HWC[7, 3].tolist() == [4, 4, 4]
    assert canvas.glints_HWC.sum() == 12


def test_parks_are_green_and_skies_blue_or_gray():
    red, green, blue = mean_color("park")
    assert green > 1.2 * max(red, blue)
    red, green, blue = mean_color("sky")
    assert blue > red


def test_night_and_stage_are_dark_and_skies_bright():
    dim = max(mean_color("night").mean(), mean_color("dark").mean())
    indoors = mean_color("office").mean()
    assert dim < 0.4 * indoors
    assert mean_color("sky").mean() > 2 * indoors
    assert all(painted("night", seed).glints > 10 for seed in range(4))


def test_curtains_are_folded_across():
    picture = painted("curtain", 3).picture_HWC.mean(2)
    across, down = (np.abs(np.diff(picture, axis=axis)).mean() for axis in (1, 0))
    assert across > 3 * down


def test_other_faces_are_never_sharp():
    assert painted("crowd", 0).least_blur_px >= 3


@pytest.mark.parametrize("kind", PAINTERS)
def test_painters_follow_their_seed(kind: str):
    first, again, other = (painted(kind, seed).picture_HWC for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_tones_are_reflectances():
    tones = np.array([tone(np.random.default_rng(seed), NEUTRALS) for seed in range(300)])
    assert tones.min() >= 0.004
    assert tones.max() <= 0.9
    assert 0.5 < np.median(tones.mean(1)) / np.median(NEUTRALS.mean(1)) < 2


@pytest.mark.parametrize("seed", range(6))
def test_what_stands_beside_leaves_the_middle(seed: int):
    rng = np.random.default_rng(seed)
    canvas = Canvas(rng)
    beside(canvas, rng)
    filled = canvas.picture_HWC.any(2).mean(0)
    middle = CANVAS_PX // 2
    assert filled[middle - 5 : middle + 5].max() == 0
    assert (filled[:middle].max() > 0.5) != (filled[middle:].max() > 0.5)
