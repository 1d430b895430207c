"""Eyeballs: the sphere that the mesh has, the cornea's shape, the rings of an iris."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from factory.rendering.head.head import head_model
from factory.rendering.skin.eyeball import (
    BULGE_CM,
    PUPIL,
    SEGMENTS,
    eye_colors,
    eyeball,
    eyeball_mesh,
    rings,
    sight,
    sphere_through,
)
from factory.rendering.traits import EyeTraits
from tests.factory.rendering.skins import BLUE, BROWN, person

MODEL = head_model()
RADIUS = 1.547


def away_of(points_N3: np.ndarray, radius: float) -> np.ndarray:
    unit = points_N3 / np.linalg.norm(points_N3, axis=1, keepdims=True)
    return np.asarray(radius * np.hypot(unit[:, 0], unit[:, 1]))


def test_a_sphere_is_found_from_a_piece_of_it() -> None:
    directions = np.random.default_rng(0).standard_normal((50, 3)) + np.array([0, 0, 2])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    center, radius = sphere_through(directions * 1.5 + np.array([3, 4, 8]))
    assert np.allclose(center, [3, 4, 8])
    assert np.isclose(radius, 1.5)


def test_both_eyeballs_mirror_each_other_behind_their_lids() -> None:
    head = MODEL.shaped((0.0,) * 100, ())
    right, left = (eyeball(MODEL, head, side) for side in ("Right", "Left"))
    assert np.allclose(right.center_3 * [-1, 1, 1], left.center_3, atol=0.02)
    assert right.center_3[0] < 0
    assert abs(right.radius - left.radius) < 0.01
    opening = head.landmarks_68x3[36:42].mean(0)
    assert np.linalg.norm(right.center_3[:2] - opening[:2]) < 0.25
    # The lids lie on the ball: no gap that shows what is behind it.
    rim = np.linalg.norm(head.landmarks_68x3[[37, 38, 40, 41]] - right.center_3, axis=1)
    assert (np.abs(rim - right.radius) < 0.2).all()


def test_an_expression_does_not_move_eyeballs_and_a_shape_does() -> None:
    still = eyeball(MODEL, MODEL.shaped((0.0,) * 100, ()), "Left")
    blink = eyeball(MODEL, MODEL.shaped((0.0,) * 100, (("eyeBlink_L", 1.0),)), "Left")
    other = eyeball(MODEL, MODEL.shaped((2.0,) * 5 + (0.0,) * 95, ()), "Left")
    assert np.allclose(still.center_3, blink.center_3)
    assert not np.allclose(still.center_3, other.center_3, atol=0.02)


def test_gaze_turns_by_the_degrees_asked() -> None:
    assert np.allclose(sight((0, 0)), np.eye(3))
    for right, up in ((20, 0), (-30, 0), (0, 15), (25, -10)):
        x, y, z = sight((right, up))[:, 2]
        assert np.isclose(np.degrees(np.arctan2(x, z)), right)
        assert np.isclose(np.degrees(np.arcsin(y)), up)
    turn = sight((25, -10))
    assert np.allclose(turn @ turn.T, np.eye(3))
    assert np.isclose(np.linalg.det(turn), 1)


def test_the_cornea_stands_out_and_the_rest_is_round() -> None:
    points, normals, faces = eyeball_mesh(EyeTraits(BLUE, BLUE), RADIUS)
    distance = np.linalg.norm(points, axis=1)
    assert np.isclose(distance[0], RADIUS + BULGE_CM)
    assert np.isclose(distance[-1], RADIUS)
    assert np.allclose(np.linalg.norm(normals, axis=1), 1)
    corners = points[faces]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    assert ((across * normals[faces].mean(1)).sum(1) > 0.95).all()


def test_rings_rise_for_every_eye_and_lie_beside_edges_of_color() -> None:
    for pupil in (0.12, 0.22, 0.33):
        for iris in (0.53, 0.64):
            eyes = EyeTraits(BLUE, BLUE, iris_radius=iris, pupil_radius=pupil)
            angles = rings(eyes, RADIUS)
            assert (np.diff(angles) > 0).all()
            edges = np.arcsin(np.array([pupil, iris]) / RADIUS)
            gap = np.abs(angles[:, None] - edges).min(0)
            assert (gap < 0.035).all()


def test_pupil_iris_and_sclera_have_their_colors() -> None:
    eyes = EyeTraits(BLUE, BROWN, sclera_redness=0.0)
    points, _, _ = eyeball_mesh(eyes, RADIUS)
    color, away = eye_colors(person(eyes=eyes), "Left", RADIUS), away_of(points, RADIUS)
    assert np.allclose(color[away < 0.9 * eyes.pupil_radius], PUPIL)
    middle = (away > 0.40) & (away < 0.48)
    assert np.allclose(color[middle].mean(0), BLUE, rtol=0.35)
    assert color[middle].mean(0)[2] > color[middle].mean(0)[0]
    beside_pupil = (away > 0.25) & (away < 0.32)
    assert color[beside_pupil].mean(0)[0] > color[beside_pupil].mean(0)[2]
    white = (away > 0.62) & (away < 0.7) & (points[:, 2] > 0)
    assert color[white].min() > 0.4
    assert color.min() >= 0
    assert color.max() <= 1


def test_an_iris_has_fibers_and_a_dark_rim() -> None:
    eyes = EyeTraits(BLUE, BLUE, limbal_ring=1.0)
    color = eye_colors(person(eyes=eyes), "Left", RADIUS)[1:].reshape(-1, SEGMENTS, 3)
    ring = [3 + 4, 3 + 6]  # in the middle of the iris, and at its rim
    middle, rim = color[ring[0]], color[ring[1]]
    assert middle[:, 2].std() > 0.05 * middle[:, 2].mean()
    assert rim.mean() < 0.5 * middle.mean()
    faint = eye_colors(person(eyes=replace(eyes, limbal_ring=0.0)), "Left", RADIUS)
    assert faint[1:].reshape(-1, SEGMENTS, 3)[ring[1]].mean() > 1.5 * rim.mean()


def test_redness_reddens_the_corners_of_the_sclera() -> None:
    calm, red = (
        eye_colors(person(eyes=EyeTraits(BLUE, BLUE, sclera_redness=r)), "Left", RADIUS)[-SEGMENTS:]
        for r in (0.0, 1.0)
    )
    assert (red[:, 0] / red[:, 1]).mean() > (calm[:, 0] / calm[:, 1]).mean() + 0.1


def test_irises_differ_between_people_and_repeat_for_one() -> None:
    first = eye_colors(person(seed=1), "Left", RADIUS).copy()
    eye_colors.cache_clear()
    assert np.array_equal(first, eye_colors(person(seed=1), "Left", RADIUS))
    assert not np.array_equal(first, eye_colors(person(seed=2), "Left", RADIUS))
