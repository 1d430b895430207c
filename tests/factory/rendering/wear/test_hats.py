"""Hats sit on the head: around it, over its crown, above its eyes."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.parts import Label, MeshPart
from factory.rendering.scene.frame import rotation_of
from factory.rendering.view import Pose, Wear
from factory.rendering.wear.hats import (
    CROWNED,
    KINDS,
    WRAPPED,
    crown_center,
    hat_edge,
    hat_part,
    wrap_center,
)
from tests.factory.rendering.worn import MODEL, PEOPLE, facing, head_of, heights_above, hidden

EYES = slice(36, 48)


def hat(kind: str, number: int, seed: int = 0) -> MeshPart:
    return hat_part(MODEL, head_of(number), Wear(hat=kind, seed=seed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", PEOPLE)
@pytest.mark.parametrize("pose", [Pose(), Pose(yaw=35, pitch=-8)])
def test_eyes_are_free(kind: str, number: int, pose: Pose):
    part, turn = hat(kind, number, seed=number), rotation_of(pose).T
    eyes = head_of(number).landmarks_68x3[EYES]
    near = eyes[6:] if pose.yaw else eyes  # the far eye may lie behind a hood's edge
    near = eyes[:6] if pose.yaw > 0 else near
    assert not hidden(near @ turn, part.vertices_V3 @ turn, part.faces_F3).any()


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"headband"}))
def test_the_crown_is_covered(kind: str):
    head, part, up = head_of(1), hat(kind, 1), facing(np.array([0.0, 1.0, 0.0]))
    middle = crown_center(head)
    around = [[0.05, 20, 0.03], [3, 20, 0], [-3, 20, 2], [0, 20, -4]]
    assert hidden(
        (middle + around) * [1, 0, 1] @ up.T, part.vertices_V3 @ up.T, part.faces_F3
    ).all()


def test_a_headband_leaves_the_crown():
    up = facing(np.array([0.0, 1.0, 0.0]))
    part, middle = hat("headband", 1), crown_center(head_of(1)) * [1, 0, 1]
    assert not hidden(middle[None] @ up.T, part.vertices_V3 @ up.T, part.faces_F3).any()


def covered_vertices(kind: str, number: int) -> np.ndarray:
    """Vertices of the head in directions well within the hat's edge."""
    head, vertices = head_of(number), MODEL.region("M_Face", "M_BackHead")[0]
    points = head.vertices_V3[vertices][MODEL.mean_V3[vertices, 1] > -6]
    angles, limits = hat_edge(MODEL, head, Wear(hat=kind, seed=number))
    if kind in WRAPPED:
        way = points - wrap_center(head)
        angle = np.arctan2(way[:, 0], way[:, 1])
        polar = np.arctan2(np.hypot(way[:, 0], way[:, 1]), way[:, 2])
        within = polar > np.interp(angle, angles, limits, period=2 * np.pi) + 0.1
    else:
        way = points - crown_center(head)
        rise = np.arctan2(way[:, 1], np.hypot(way[:, 0], way[:, 2]))
        edge = np.interp(np.arctan2(way[:, 0], way[:, 2]), angles, limits, period=2 * np.pi)
        within = (rise > edge + 0.1) & (rise < edge + (0.5 if kind == "headband" else 2))
        within &= np.abs(points[:, 0]) < 7.5
    return points[within]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", PEOPLE[:2])
def test_the_head_is_within(kind: str, number: int):
    points, part = covered_vertices(kind, number), hat(kind, number, seed=number)
    middle = (wrap_center if kind in WRAPPED else crown_center)(head_of(number))
    chosen = np.random.default_rng(0).choice(len(points), 60)
    for point in points[chosen]:
        turn = facing(point - middle)
        out = heights_above(point[None] @ turn.T, part.vertices_V3 @ turn.T, part.faces_F3)[0]
        far = 13 if kind in WRAPPED else 6.5  # a headscarf spans from chin to chest
        assert 0.0 < out - (point @ turn.T)[2] < far


@pytest.mark.parametrize("kind", KINDS)
def test_meshes_are_small_and_finite(kind: str):
    part = hat(kind, 0)
    assert part.label == Label.HAT
    assert len(part.faces_F3) <= 5000
    assert np.isfinite(part.vertices_V3).all()
    assert part.faces_F3.max() < len(part.vertices_V3)
    assert part.colors_V3 is not None
    assert part.colors_V3.min() >= 0


@pytest.mark.parametrize("kind", ["cap", "brimmed"])
def test_visors_reach_before_the_face(kind: str):
    head = head_of(0)
    front = hat(kind, 0).vertices_V3[:, 2].max()
    assert front > head.landmarks_68x3[27, 2] + 3.0
    assert hat("beanie", 0).vertices_V3[:, 2].max() < head.landmarks_68x3[27, 2] + 3.0


def test_a_hat_fits_each_head():
    small, large = (hat("beanie", n).vertices_V3 for n in (0, 1))
    assert np.abs(small - large).max() > 0.3


def test_the_seed_moves_the_rim():
    heights = [hat("beanie", 0, seed=s).vertices_V3[:56, 1].max() for s in range(6)]
    assert np.ptp(heights) > 0.5


def test_crowned_and_wrapped_are_all():
    assert set(KINDS) == {*CROWNED, *WRAPPED}
