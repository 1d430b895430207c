"""Strands as parts: what is degenerate is dropped, shades have their fractions."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.hair.strands import (
    GRAY,
    MIN_SEGMENT,
    SHADES,
    brightened,
    hair_strands,
    lighter,
    rooted,
    shade_groups,
    sound,
)
from factory.rendering.parts import Label


def test_degenerate_strands_are_not_sound() -> None:
    points = np.cumsum(np.full((5, 4, 3), 0.1), axis=1)
    points[1, 2] = np.nan
    points[2, 3] = np.inf
    points[3, 2] = points[3, 1]
    points[4, 2] = points[4, 1] + MIN_SEGMENT / 4
    assert sound(points).tolist() == [True, False, False, False, False]


def test_rooted_strands_begin_under_their_roots() -> None:
    points = np.array([[[0, 0, 0], [0, 2, 0], [0, 3, 0]]], float)
    whole = rooted(points, depth=0.1)
    np.testing.assert_allclose(whole[0, :2], [[0, -0.1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(whole[:, 1:], points)


def test_shades_and_gray_have_their_fractions() -> None:
    clump = np.random.default_rng(0).integers(0, 4000, 40_000)
    shades = shade_groups(40_000, clump, 0.25, 1)
    fractions = np.bincount(shades, minlength=4) / 40_000
    wanted = [0.75 * share for share, _ in SHADES] + [0.25]
    np.testing.assert_allclose(fractions, wanted, atol=0.02)
    np.testing.assert_array_equal(shades, shade_groups(40_000, clump, 0.25, 1))
    assert sum(share for share, _ in SHADES) == pytest.approx(1)


def test_strands_of_a_lock_mostly_share_a_shade() -> None:
    clump = np.repeat(np.arange(100), 100)
    shades = shade_groups(10_000, clump, 0.0, 2).reshape(100, 100)
    common = np.array([np.bincount(lock).max() for lock in shades])
    assert common.mean() > 75
    assert (shade_groups(10_000, clump, 1.0, 2) == len(SHADES)).all()


def test_parts_hold_all_strands_once_with_their_shades() -> None:
    points = np.random.default_rng(0).random((10, 5, 3))
    shade = np.array([0, 0, 1, 1, 1, 3, 3, 3, 3, 3])
    parts = hair_strands(points, shade, (0.1, 0.1, 0.1), 0.04, 0.3)
    assert [len(part.points_SK3) for part in parts] == [2, 3, 5]
    assert all(part.label is Label.HAIR and part.fixed for part in parts)
    assert parts[-1].material.color == GRAY
    assert parts[0].material.color < parts[1].material.color
    assert len({part.name for part in parts}) == 3


def test_light_hair_is_brightened_and_black_hair_hardly() -> None:
    black, blond = (0.012, 0.009, 0.008), (0.42, 0.28, 0.13)
    assert brightened(black)[0] == pytest.approx(0.012, rel=0.05)
    assert brightened(blond)[0] > 1.45 * 0.42
    assert lighter((0.9, 0.5, 0.1), 2) == (1.0, 1.0, 0.2)


def test_hair_that_curls_shines_less() -> None:
    points, shade = np.random.default_rng(0).random((3, 5, 3)), np.zeros(3, int)
    made = [hair_strands(points, shade, (0.1,) * 3, 0.04, 0.3, curl)[0].material for curl in (0, 1)]
    assert [one.roughness for one in made] == pytest.approx([0.4, 0.6])
    assert [one.specular for one in made] == pytest.approx([0.35, 0.1])
