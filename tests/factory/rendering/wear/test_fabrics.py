"""Cloth has the colors of its pattern."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.wear.fabrics import PATTERNS, draw_pattern, fabric_colors

ALONG, ACROSS = np.linspace(0, 30, 60)[:, None], np.linspace(0, 60, 90)[None]
BLUE = np.array([0.1, 0.2, 0.5])


@pytest.mark.parametrize("pattern", PATTERNS)
def test_colors_are_reflectances(pattern: str):
    colors = fabric_colors(ALONG, ACROSS, BLUE, pattern, 1)
    assert colors.shape == (60, 90, 3)
    assert colors.min() >= 0.005
    assert colors.max() <= 0.9


def test_plain_cloth_has_its_color():
    colors = fabric_colors(ALONG, ACROSS, BLUE, "plain", 1)
    assert colors.mean((0, 1)) == pytest.approx(BLUE, rel=0.01)
    assert colors.std((0, 1)) == pytest.approx(0.05 * BLUE, rel=0.1)


@pytest.mark.parametrize("seed", range(8))
def test_stripes_run_one_way(seed: int):
    colors = fabric_colors(ALONG, ACROSS, BLUE, "stripes", seed)
    across_rows, across_columns = colors.mean(1).std(0).max(), colors.mean(0).std(0).max()
    assert max(across_rows, across_columns) > 5 * min(across_rows, across_columns)


def test_checks_run_both_ways():
    colors = fabric_colors(ALONG, ACROSS, BLUE, "checks", 2)
    assert colors.mean(1).std(0).max() > 0.02
    assert colors.mean(0).std(0).max() > 0.02


def test_as_much_is_plain_as_asked():
    plain = np.mean([draw_pattern(seed, 0.6) == "plain" for seed in range(1000)])
    assert abs(plain - 0.6) < 0.05
    assert {draw_pattern(seed, 0.0) for seed in range(100)} == set(PATTERNS[1:])


def test_bands_are_as_wide_as_what_is_between_them():
    at, seeds = np.linspace(0, 420, 6000)[:, None], range(12)
    pictures = [fabric_colors(at, at[:1], np.full(3, 0.8), "checks", s)[:, 0, 0] for s in seeds]
    reds = max(pictures, key=np.std)  # the one whose two colors differ most
    middle = (np.quantile(reds, 0.02) + np.quantile(reds, 0.98)) / 2
    assert abs((reds > middle).mean() - 0.5) < 0.03
