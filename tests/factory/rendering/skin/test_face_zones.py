"""Zones lie where a face has them, alike on both sides."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from factory.rendering.head.head import head_model
from factory.rendering.skin.face_zones import (
    curve,
    distance_to,
    face_zones,
    inside,
    near,
    smooth,
)
from factory.rendering.skin.skin_atlas import skin_atlas

MODEL = head_model()
ATLAS, ZONES = skin_atlas(MODEL), face_zones(MODEL)
LM = ATLAS.landmarks_68x3
SQUARE = np.array([[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]], float)


def at(zone_T: np.ndarray, point: np.ndarray) -> float:
    """A zone's weight at the texel nearest to a point."""
    return float(zone_T[((ATLAS.points_T3 - point) ** 2).sum(1).argmin()])


def test_weights_lie_between_0_and_1() -> None:
    for field in fields(ZONES):
        weight = getattr(ZONES, field.name)
        assert len(weight) == len(ATLAS.texel_T), field.name
        if field.name not in ("lip_depth", "freckles"):
            assert weight.min() >= 0, field.name
            assert weight.max() <= 1, field.name


@pytest.mark.parametrize(
    ("zone", "there", "elsewhere"),
    [
        ("redness", LM[30], LM[8] + np.array([0, -3, 0])),
        ("redness", LM[[31, 2]].mean(0), LM[27] + np.array([0, 3, 0])),
        ("forehead", LM[17:27].mean(0) + np.array([0, 2.5, 0]), LM[30]),
        ("sockets", LM[40] + np.array([0, -0.35, 0]), LM[33]),
        ("lips", LM[57] + np.array([0, 0.35, 0]), LM[57] + np.array([0, -0.4, 0])),
        ("lips", LM[51] + np.array([0, -0.3, 0]), LM[33]),
        ("oil", LM[29], LM[2]),
        ("beard", LM[8], LM[30]),
        ("beard", LM[4], LM[[2, 31]].mean(0)),
        ("beard", LM[[33, 51]].mean(0) + np.array([0.5, -0.1, 0]), LM[57] + np.array([0, 0.35, 0])),
        ("waterline", LM[37], LM[37] + np.array([0, 0.8, 0])),
        ("neck", np.array([0, -14.0, 6.0]), LM[8]),
    ],
)
def test_zones_are_where_they_should_be(
    zone: str, there: np.ndarray, elsewhere: np.ndarray
) -> None:
    weight = getattr(ZONES, zone)
    assert at(weight, there) > at(weight, elsewhere) + 0.3


def test_lips_have_a_plausible_area() -> None:
    area = (ZONES.lips * ATLAS.area_T).sum()
    assert 7 < area < 22


def test_zones_are_alike_on_both_sides() -> None:
    for field in fields(ZONES):
        weight = getattr(ZONES, field.name) * ATLAS.area_T
        left = weight[ATLAS.points_T3[:, 0] > 0.05].sum()
        right = weight[ATLAS.points_T3[:, 0] < -0.05].sum()
        if field.name != "lip_depth":
            assert abs(left - right) < 0.06 * (left + right), field.name


def test_a_smooth_step_has_flat_ends() -> None:
    assert smooth(1, 2, np.array([0.0, 1.0, 1.5, 2.0, 3.0])).tolist() == [0, 0, 0.5, 1, 1]
    assert smooth(2, 1, np.array([0.0, 1.5, 3.0])).tolist() == [1, 0.5, 0]


def test_distance_and_inside_of_a_square() -> None:
    points = np.array([[1, 1], [3, 1], [1, -2], [-1, -1], [0.5, 1.9]])
    assert np.allclose(distance_to(points, SQUARE), [1, 1, 2, np.sqrt(2), 0.1])
    assert inside(points, SQUARE).tolist() == [True, False, False, False, True]


def test_a_curve_runs_through_its_points() -> None:
    points = np.array([[0.0, 0], [1, 1], [2, 0], [3, 1]])
    assert np.allclose(curve(points, 6)[::6], points)
    ring = curve(points, 6, closed=True)
    assert np.allclose(ring[0], ring[-1])
    assert len(ring) == 25


def test_a_bell_falls_to_1_over_e_at_its_radius() -> None:
    bell = near(np.array([[0.0, 0, 0], [2.0, 0, 0]], np.float32), np.zeros((1, 3)), 2.0)
    assert np.allclose(bell, [1, np.exp(-1)])
