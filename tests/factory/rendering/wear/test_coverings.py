"""Masks cover nose and mouth and fit the face; scarves lie where they should."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.parts import Label, MeshPart
from factory.rendering.scene.frame import rotation_of
from factory.rendering.view import Pose, Wear
from factory.rendering.wear.coverings import MASKS, mask_parts, mask_points, scarf_part
from tests.factory.rendering.worn import MODEL, PEOPLE, SMILE, head_of, heights_above, hidden

EYES, BROWS, NOSE, MOUTH = slice(36, 48), slice(17, 27), slice(30, 36), slice(48, 68)


def mask(kind: str, number: int, expression: tuple[tuple[str, float], ...] = ()) -> MeshPart:
    return mask_parts(MODEL, head_of(number, expression), Wear(mask=kind, seed=number))[0]


def scarf(kind: str, number: int, seed: int = 0) -> MeshPart:
    return scarf_part(MODEL, head_of(number), Wear(scarf=kind, seed=seed))


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("number", PEOPLE)
@pytest.mark.parametrize("pose", [Pose(), Pose(yaw=30), Pose(yaw=-25, pitch=12)])
def test_nose_and_mouth_are_hidden_and_eyes_free(kind: str, number: int, pose: Pose):
    part, turn = mask(kind, number), rotation_of(pose).T
    landmarks = head_of(number).landmarks_68x3 @ turn
    vertices = part.vertices_V3 @ turn
    assert hidden(landmarks[NOSE], vertices, part.faces_F3).all()
    assert hidden(landmarks[MOUTH], vertices, part.faces_F3).all()
    assert not hidden(landmarks[EYES], vertices, part.faces_F3).any()
    assert not hidden(landmarks[BROWS], vertices, part.faces_F3).any()


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("number", PEOPLE)
def test_the_face_is_behind_the_mask(kind: str, number: int):
    head, part = head_of(number), mask(kind, number)
    skin = head.vertices_V3[MODEL.region("M_Face")[0]]
    skin = skin[(skin[:, 2] > 4)][::37]
    front = heights_above(skin, part.vertices_V3, part.faces_F3)
    over = np.isfinite(front)
    assert over.sum() > 30
    assert (front - skin[:, 2])[over].min() > 0


@pytest.mark.parametrize("kind", MASKS)
def test_the_jaw_takes_the_mask_along(kind: str):
    head, part = head_of(0, SMILE), mask(kind, 0, SMILE)
    assert head.landmarks_68x3[8, 1] < head_of(0).landmarks_68x3[8, 1] - 0.5
    assert hidden(head.landmarks_68x3[MOUTH], part.vertices_V3, part.faces_F3).all()


def test_a_mask_lies_close():
    points = mask_points(MODEL, head_of(1), "surgical").reshape(-1, 3)[::3]
    skin = head_of(1).vertices_V3[MODEL.region("M_Face")[0]]
    gap = np.linalg.norm(points[:, None] - skin[None, ::9], axis=-1).min(1)
    assert np.median(gap) < 1.2
    assert gap.max() < 3.5


def test_a_slipped_mask_hangs_lower():
    straight, slipped = (mask_points(MODEL, head_of(0), "cloth", s) for s in (0.0, 0.8))
    assert (straight[0, :, 1] - slipped[0, :, 1]) == pytest.approx(0.8, abs=1e-4)
    assert straight[-1] == pytest.approx(slipped[-1], abs=1e-4)


SCARVES = ("neck", "chin")


@pytest.mark.parametrize("make", [*(lambda n, k=k: mask(k, n) for k in MASKS),
                                  *(lambda n, k=k: scarf(k, n) for k in SCARVES)])  # fmt: skip
def test_meshes_are_small_and_occlude(make):
    part = make(0)
    assert part.label == Label.OCCLUDER
    assert len(part.faces_F3) <= 5000
    assert np.isfinite(part.vertices_V3).all()


@pytest.mark.parametrize("number", PEOPLE)
@pytest.mark.parametrize("seed", range(3))
def test_a_scarf_over_the_chin(number: int, seed: int):
    part, landmarks = scarf("chin", number, seed), head_of(number).landmarks_68x3
    assert hidden(landmarks[[7, 8, 9]], part.vertices_V3, part.faces_F3).all()
    assert not hidden(landmarks[EYES], part.vertices_V3, part.faces_F3).any()
    assert not hidden(landmarks[[28, 29, 30]], part.vertices_V3, part.faces_F3).any()


@pytest.mark.parametrize("number", PEOPLE)
def test_a_scarf_around_the_neck_leaves_the_mouth(number: int):
    part, landmarks = scarf("neck", number), head_of(number).landmarks_68x3
    assert not hidden(landmarks[MOUTH], part.vertices_V3, part.faces_F3).any()
    below = landmarks[[8]] * [1, 1, 0] - [0, 3, 0]
    assert hidden(below, part.vertices_V3, part.faces_F3).all()
    turn = np.arctan2(part.vertices_V3[:, 0], part.vertices_V3[:, 2] - 1.5)
    assert np.histogram(turn, 24, (-np.pi, np.pi))[0].min() > 0, "all around"
