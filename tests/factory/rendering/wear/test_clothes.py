"""Clothes close the neck, hang on shoulders, and turn half as far as the head."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.parts import Label, MeshPart, Part
from factory.rendering.scene.frame import rotation_of
from factory.rendering.view import Pose, View, Wear
from factory.rendering.wear.clothes import KINDS, body_turn, clothes_parts
from tests.factory.rendering.worn import MODEL, PEOPLE, head_of, heights_above, hidden, somebody

POSES = (Pose(), Pose(yaw=45), Pose(yaw=-30, pitch=-20), Pose(pitch=20, roll=10))


def worn(kind: str, number: int = 0, pose: Pose | None = None, seed: int = 0) -> list[Part]:
    view = View(0, 0, pose=pose or Pose(), wear=Wear(clothes=kind, seed=seed))
    return clothes_parts(MODEL, head_of(number), somebody(number), view)


def garment(kind: str, number: int = 0, pose: Pose | None = None, seed: int = 0) -> MeshPart:
    part = worn(kind, number, pose, seed)[0]
    assert isinstance(part, MeshPart)
    return part


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pose", POSES)
def test_nothing_shows_between_chin_and_chest(kind: str, pose: Pose):
    number, turn = KINDS.index(kind) % 3, rotation_of(pose).T
    head = head_of(number)
    vertices, faces = MODEL.region("M_Face", "M_BackHead")
    faces = faces[MODEL.mean_V3[vertices][faces[:, 0], 1] < -7]
    x, y = np.meshgrid(np.linspace(-2.5, 2.5, 3), np.linspace(-2, -14, 9))
    throat = (head.landmarks_68x3[8] * [1, 1, 0] + [0, 0, -0.5]) @ turn
    points = np.stack([x.ravel() + throat[0], y.ravel() + throat[1], np.full(27, -99.0)], 1)
    seen = hidden(points, head.vertices_V3[vertices] @ turn, faces)
    for part in worn(kind, number, pose):
        assert isinstance(part, MeshPart)
        seen |= hidden(points, part.vertices_V3 @ turn, part.faces_F3)
    assert seen.all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", PEOPLE)
def test_the_face_is_free(kind: str, number: int):
    part = garment(kind, number, seed=number)
    landmarks = head_of(number).landmarks_68x3[17:]
    assert not hidden(landmarks, part.vertices_V3, part.faces_F3).any()


@pytest.mark.parametrize("kind", ["crew_neck", "polo", "hoodie", "blazer"])
def test_shoulders_lie_over_the_neck_of_the_mesh(kind: str):
    part, head = garment(kind), head_of(0)
    vertices = MODEL.region("M_BackHead", "M_Face")[0]
    x, y, _ = MODEL.mean_V3[vertices].T
    skin = head.vertices_V3[vertices[(np.abs(x) > 9.5) & (y < -12)]][::5]
    up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # looks from above
    above = heights_above(skin @ up.T, part.vertices_V3 @ up.T, part.faces_F3)
    assert np.isfinite(above).all()
    assert (above > (skin @ up.T)[:, 2]).mean() > 0.95


@pytest.mark.parametrize("pose", POSES)
def test_the_body_turns_half_as_far(pose: Pose):
    half = Pose(pose.yaw / 2, pose.pitch / 2, pose.roll / 2)
    assert rotation_of(pose) @ body_turn(pose) == pytest.approx(rotation_of(half))


@pytest.mark.parametrize("yaw", [-40, 30])
def test_shoulders_point_where_the_body_does(yaw: float):
    points = garment("crew_neck", pose=Pose(yaw=yaw)).vertices_V3 @ rotation_of(Pose(yaw=yaw)).T
    straight = garment("crew_neck").vertices_V3
    low = straight[:, 1] < -25
    left, right = (np.flatnonzero(low)[end(straight[low, 0])] for end in (np.argmin, np.argmax))
    right, before = points[right] - points[left], straight[right] - straight[left]
    turned = np.degrees(np.arctan2(-right[2], right[0]) - np.arctan2(-before[2], before[0]))
    assert turned == pytest.approx(yaw / 2, abs=0.5)


def test_collars_stay_at_the_neck():
    straight, turned = (garment("turtleneck", pose=p).vertices_V3 for p in (Pose(), Pose(yaw=40)))
    top = straight[:, 1] > head_of(0).landmarks_68x3[8, 1] - 2
    assert top.sum() > 20
    assert np.abs(straight - turned)[top].max() < 0.01
    assert np.abs(straight - turned)[straight[:, 1] < -20].max() > 2


def test_kinds_differ_from_each_other():
    shapes = [garment(kind).vertices_V3 for kind in KINDS]
    colors = [garment(kind).colors_V3 for kind in KINDS]
    for i in range(len(KINDS)):
        for j in range(i):
            same = shapes[i].shape == shapes[j].shape and np.allclose(shapes[i], shapes[j])
            assert not (same and np.allclose(colors[i], colors[j])), (KINDS[i], KINDS[j])


@pytest.mark.parametrize("kind", KINDS)
def test_labels_and_sizes(kind: str):
    parts = worn(kind)
    assert parts[0].label == Label.CLOTHES
    assert [part.label for part in parts[1:]] == ([Label.SKIN] if kind == "tank" else [])
    for part in parts:
        assert isinstance(part, MeshPart)
        assert len(part.faces_F3) <= 5000
        assert np.isfinite(part.vertices_V3).all()


def test_the_color_is_the_views():
    view = View(0, 0, wear=Wear(clothes="turtleneck", clothes_color=(0.6, 0.05, 0.05), seed=3))
    part = clothes_parts(MODEL, head_of(0), somebody(0), view)[0]
    assert isinstance(part, MeshPart)
    assert part.colors_V3 is not None
    red, green, blue = part.colors_V3.mean(0)
    assert red > 3 * max(green, blue)
