"""Outlines of lenses have the sizes and forms of their names."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.wear.lens_outlines import SHAPES, LensShape, inside, outline


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2)


def test_a_superellipse_of_exponent_two_is_an_ellipse_and_greater_ones_fill_its_box() -> None:
    ellipse = outline(LensShape(2.0, 1.0), 9.0, 400)
    np.testing.assert_allclose(np.square(ellipse / [2, 1]).sum(1), 1)
    assert _area(ellipse) == pytest.approx(2 * np.pi, rel=1e-3)
    assert _area(outline(LensShape(2.0, 1.0, 5.0), 9.0, 400)) > 7.2


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_outlines_go_round_counterclockwise_and_stop_at_the_nose(name: str) -> None:
    shape = SHAPES[name]
    points = outline(shape, 1.9)
    assert _area(points) > 0
    assert points[:, 0].min() >= -1.9 - 1e-9
    assert points[:, 0].max() > 2.2
    around = np.unwrap(np.arctan2(points[:, 1], points[:, 0]))
    assert (np.diff(around) > 0).all()


def test_an_aviator_hangs_down_and_a_cat_eye_rises_outward() -> None:
    aviator, cat, circle = (outline(SHAPES[n], 9.0) for n in ("aviator", "cat_eye", "round"))
    assert -aviator[:, 1].min() > 1.5 * aviator[:, 1].max()
    assert aviator[aviator[:, 1].argmin(), 0] > 0
    assert cat[cat[:, 1].argmax(), 0] > 0.8
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), 2.35, atol=0.06)


def test_inside_is_within_the_outline() -> None:
    square = outline(LensShape(2.0, 2.0, 8.0), 9.0, 400)
    points = np.array([[0, 0], [1.6, 1.6], [-1.6, 1.6], [2.2, 0], [0, -2.2], [1.9, 0]])
    assert inside(points, square).tolist() == [True, True, True, False, False, True]
