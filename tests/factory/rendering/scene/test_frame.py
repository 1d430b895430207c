"""The frame: the film is the aligned crop, and turns of the head have the signs of sources.pose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.rendering.head.head import Head
from factory.rendering.parts import Label, Material, MeshPart
from factory.rendering.scene.frame import frame_of, rotation_of
from factory.rendering.view import Pose, View
from factory.sources.alignment import TEMPLATE_52, align, similarity_transform
from factory.sources.pose import pitch_degrees, yaw_degrees

POSES = [Pose(), Pose(yaw=30), Pose(pitch=-20), Pose(roll=25), Pose(-25, 12, -15)]


def a_head() -> Head:
    """A head of which only landmarks matter: 68 points of which the five lie as on a face."""
    points = np.zeros((68, 3))
    points[36:42], points[42:48] = [-3.1, 2.0, 8.0], [3.1, 2.0, 8.0]
    points[30], points[48], points[54] = [0, -1.5, 10.5], [-2.5, -5.0, 8.3], [2.5, -5.0, 8.3]
    return Head(points, np.zeros_like(points), points)


@pytest.mark.parametrize("zoom", [1.0, 0.7])
@pytest.mark.parametrize("pose", POSES)
def test_the_five_points_need_no_more_alignment(pose, zoom):
    frame = frame_of(a_head(), View(0, 0, pose), 96, zoom)
    template = (56 + zoom * (TEMPLATE_52 - 56)) * 96 / 112
    matrix = similarity_transform(frame.pixels(a_head().five_53), template)
    np.testing.assert_allclose(matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-9)


def test_a_head_that_looks_ahead_lies_in_the_crop_as_the_template_does():
    """Eyes above the mouth, the left one to the left: not merely a similarity of it."""
    pixels = frame_of(a_head(), View(0, 0), 112).pixels(a_head().five_53)
    np.testing.assert_allclose(pixels, TEMPLATE_52, atol=4)


def test_a_head_is_turned_by_pitch_then_yaw_then_roll():
    """About axes of the world: 30 degrees up, then 90 to the side, then a quarter clockwise."""
    ahead = [0, 0, 1]
    up, aside = np.sin(np.radians(30)), np.cos(np.radians(30))
    turned = rotation_of(Pose(yaw=90, pitch=30)) @ ahead
    np.testing.assert_allclose(turned, [aside, up, 0], atol=1e-12)
    rolled = rotation_of(Pose(yaw=90, pitch=30, roll=90)) @ ahead
    np.testing.assert_allclose(rolled, [up, -aside, 0], atol=1e-12)


def test_wrong_points_move_the_crop_as_they_would_move_alignment():
    noise = ((2.0, -1.0),) * 5
    exact = frame_of(a_head(), View(0, 0), 112)
    wrong = frame_of(a_head(), View(0, 0, landmark_noise=noise), 112)
    moved = wrong.pixels(a_head().five_53) - exact.pixels(a_head().five_53)
    np.testing.assert_allclose(moved, np.tile([2.0, -1.0], (5, 1)), atol=1e-9)
    half = frame_of(a_head(), View(0, 0, landmark_noise=noise), 56)
    np.testing.assert_allclose(half.pixels(a_head().five_53), wrong.pixels(a_head().five_53) / 2)


def test_turns_have_the_signs_of_the_pose_estimates():
    def points(pose: Pose) -> np.ndarray:
        return frame_of(a_head(), View(0, 0, pose), 112).pixels(a_head().five_53)

    straight = points(Pose())
    assert abs(yaw_degrees(straight)) < 1
    assert yaw_degrees(points(Pose(yaw=20))) > 10 > -10 > yaw_degrees(points(Pose(yaw=-20)))
    assert pitch_degrees(points(Pose(pitch=15))) > pitch_degrees(straight) + 8
    assert pitch_degrees(points(Pose(pitch=-15))) < pitch_degrees(straight) - 8


def test_roll_is_clockwise_in_the_world_and_gone_in_the_crop():
    tilted = rotation_of(Pose(roll=30)) @ [0, 1, 0]
    np.testing.assert_allclose(tilted, [0.5, np.sqrt(0.75), 0], atol=1e-12)
    straight, rolled = (frame_of(a_head(), View(0, 0, Pose(roll=r)), 112) for r in (0.0, 30.0))
    five = a_head().five_53
    np.testing.assert_allclose(straight.pixels(five), rolled.pixels(five), atol=1e-9)


def test_a_rotation_keeps_lengths_and_handedness():
    turn = rotation_of(Pose(31, -17, 8))
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


def test_world_and_head_invert_each_other():
    frame = frame_of(a_head(), View(0, 0, Pose(20, 10, 5)), 112)
    points = np.random.default_rng(0).normal(size=(7, 3)) * 10
    np.testing.assert_allclose(frame.to_head(frame.to_world(points)), points, atol=1e-9)


def dots(points_N3: np.ndarray, side: float) -> list[MeshPart]:
    """A small octahedron about each point."""
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    faces = [[a, b, c] for a in (0, 1) for b in (2, 3) for c in (4, 5)]
    return [
        MeshPart(f"dot{n}", Label.EYES, at + side * corners, np.array(faces), Material("matte"))
        for n, at in enumerate(points_N3)
    ]


@pytest.mark.parametrize("pose", POSES)
def test_points_are_rendered_where_they_are_projected(pose):
    """Octahedra at the five points: their centers of gravity within .3 pixel."""
    pytest.importorskip("mitsuba", reason="renders: pip install 'face-factory[render]'")
    from factory.rendering.scene.scene import SceneRenderer

    noise = ((1.5, 2.5), (1.5, 2.5), (0.0, 0.0), (1.0, 0.5), (1.0, 0.5))
    frame = frame_of(a_head(), View(0, 0, pose, landmark_noise=noise), 112, zoom=0.6)
    shown = SceneRenderer("scalar_rgb", 1, 2).shown(dots(a_head().five_53, 1.0), frame)
    expected = frame.pixels(a_head().five_53)
    for number in range(5):
        rows, columns = np.nonzero(shown == number)
        center = [columns.mean(), rows.mean()]
        np.testing.assert_allclose(center, expected[number], atol=0.3)


def test_aligning_a_larger_render_gives_the_same_crop():
    """The head before a wide film, aligned by its projected points, is the crop itself."""
    pytest.importorskip("mitsuba", reason="renders: pip install 'face-factory[render]'")
    from factory.rendering.scene.scene import SceneRenderer

    view, head, scenes = View(0, 0, Pose(20, 10, 30)), a_head(), SceneRenderer("scalar_rgb", 1, 2)
    crop = frame_of(head, view, 56)
    wide = replace(
        crop,
        image_px=224,
        matrix_23=np.array([[2000.0, 0, 111.5], [0, 2000.0, 111.5]]),
    )
    parts = dots(head.five_53, 1.2)
    large = (scenes.shown(parts, wide) + 1).astype(np.uint8) * 50
    aligned = align(np.repeat(large[..., None], 3, -1), wide.pixels(head.five_53), 56)[..., 0]
    direct = (scenes.shown(parts, crop) + 1) * 50
    assert (direct > 0).sum() > 100
    assert (np.abs(aligned - direct.astype(float)) > 25).mean() < 0.03
