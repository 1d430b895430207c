"""Backdrops are the same at every size, turn with the photograph, and shine as the light does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from factory.config.rendering import RenderingConfig
from factory.rendering.view import AreaLight, Light, Pose, Sun, View
from factory.rendering.views.backgrounds import (
    BRIGHTEST,
    KINDS,
    SHARES,
    background_HWC,
    draw_background,
    light_level,
)

EVEN = Light(sky_top=(1.0, 1.0, 1.0), sky_bottom=(1.0, 1.0, 1.0))


def view(kind: str, seed: int = 5, light: Light = EVEN, roll: float = 0.0) -> View:
    return View(0, seed, pose=Pose(roll=roll), light=light, background=kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_pictures_are_light(kind: str, seed: int):
    picture = background_HWC(view(kind, seed), 48)
    assert picture.shape == (48, 48, 3)
    assert picture.dtype == np.float32
    assert np.isfinite(picture).all()
    assert picture.min() >= 0
    assert picture.max() <= BRIGHTEST


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_view_gives_the_same_bytes(kind: str):
    first = background_HWC(view(kind), 40)
    background_HWC(view("office", 77), 112)
    assert np.array_equal(first, background_HWC(view(kind), 40))
    assert not np.array_equal(first, background_HWC(view(kind, 6), 40))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_sizes_show_the_same_picture(kind: str, seed: int):
    large, small = (background_HWC(view(kind, seed), px) for px in (112, 56))
    shrunk = large.reshape(56, 2, 56, 2, 3).mean((1, 3))
    assert np.abs(shrunk - small).mean() < 0.06 * max(float(shrunk.std()), 0.02)
    spread = shrunk.std()
    if spread > 0.01:
        assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("kind", ["office", "street", "press"])
def test_the_world_turns_against_the_roll(kind: str):
    straight, turned = (background_HWC(view(kind, roll=roll), 64) for roll in (0.0, 90.0))
    assert turned == pytest.approx(np.rot90(straight), abs=0.02)


def test_kinds_are_distinct():
    pictures = [background_HWC(view(kind), 32) for kind in KINDS]
    for i in range(len(KINDS)):
        for j in range(i):
            assert np.abs(pictures[i] - pictures[j]).mean() > 0.005, (KINDS[i], KINDS[j])


def test_they_shine_as_the_light_does():
    half = Light(sky_top=(0.5, 0.5, 0.5), sky_bottom=(0.5, 0.5, 0.5))
    bright, dim = (background_HWC(view("curtain", light=light), 32) for light in (EVEN, half))
    assert dim == pytest.approx(bright / 2, rel=1e-5)


def test_the_level_of_a_light():
    assert light_level(EVEN) == pytest.approx(1)
    dark = Light(sky_top=(0.0,) * 3, sky_bottom=(0.0,) * 3)
    area = AreaLight((0.0, 0.6, 0.8), 100.0, 50.0, (np.pi, np.pi, np.pi))
    assert light_level(replace(dark, areas=(area,))) == pytest.approx(0.2)
    sun = Sun((0.0, 0.6, 0.8), (np.pi, np.pi, np.pi))
    assert light_level(replace(dark, sun=sun)) == pytest.approx(0.8)
    behind = Sun((0.0, 0.6, -0.8), (9.0, 9.0, 9.0))
    assert light_level(replace(dark, sun=behind)) == pytest.approx(0.0)


def test_light_behind_the_head_colors_it():
    red = replace(EVEN, behind=(0.5, 0.25, 0.125))
    even, lit = (background_HWC(view("curtain", light=light), 24) for light in (EVEN, red))
    assert lit == pytest.approx(even * np.array([0.5, 0.25, 0.125]), rel=1e-5)


def test_kinds_come_as_often_as_in_photographs():
    rng, config = np.random.default_rng(0), RenderingConfig()
    drawn = Counter(draw_background(config, rng) for _ in range(4000))
    assert set(drawn) == set(SHARES)
    for kind, share in SHARES.items():
        p = share / sum(SHARES.values())
        assert abs(drawn[kind] - 4000 * p) < 4 * np.sqrt(4000 * p * (1 - p)) + 1


def test_plain_is_plain_and_takes_as_many_draws():
    plain, varied = np.random.default_rng(1), np.random.default_rng(1)
    assert draw_background(RenderingConfig(background="plain"), plain) == "plain"
    draw_background(RenderingConfig(), varied)
    assert plain.random() == varied.random()
    assert background_HWC(view("plain"), 16).std((0, 1)).max() < 1e-6


def test_most_are_dimmer_than_a_white_wall():
    rng, config = np.random.default_rng(2), RenderingConfig()
    means = [background_HWC(view(draw_background(config, rng), s), 24).mean() for s in range(40)]
    assert 0.08 < np.median(means) < 0.3
    assert np.quantile(means, 0.95) < 1.0


def test_an_unknown_kind_is_named():
    with pytest.raises(KeyError, match="moon"):
        background_HWC(view("moon"), 16)
