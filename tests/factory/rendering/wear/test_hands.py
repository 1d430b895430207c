"""Hands are closed meshes of the person's skin that touch the face from outside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.rendering.parts import Label, MeshPart
from factory.rendering.skin.skin_tone import skin_tone
from factory.rendering.view import View, Wear
from factory.rendering.wear.hands import GRIPS, KINDS, hand_mesh, hand_parts, surface_net
from tests.factory.rendering.worn import (
    MODEL,
    PEOPLE,
    edge_uses,
    facing,
    head_of,
    heights_above,
    hidden,
    somebody,
    volume,
)


def hand(kind: str, number: int = 0, seed: int = 0) -> MeshPart:
    view = View(0, 0, wear=Wear(hand=kind, seed=seed))
    return hand_parts(MODEL, head_of(number), somebody(number), view)[0]


def test_the_net_of_a_sphere():
    axis = np.arange(-6.0, 6.01, 0.5)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    cells, faces = surface_net(np.sqrt(x**2 + y**2 + z**2) - 4)
    points = cells * 0.5 - 6
    assert np.linalg.norm(points, axis=1) == pytest.approx(4, abs=0.06)
    assert (edge_uses(faces) == 2).all()
    assert volume(points, faces) == pytest.approx(4 / 3 * np.pi * 64, rel=0.02)


@pytest.mark.parametrize("fingers", sorted({grip.fingers for grip in GRIPS.values()}))
def test_a_hand_has_the_size_of_one(fingers: str):
    points, faces, nails = hand_mesh(fingers)
    assert len(faces) <= 5000
    assert 300 < volume(points, faces) < 800, "cubic centimeters, forearm included"
    assert 8 < np.ptp(points[points[:, 1] > 0, 0]) < 13
    assert points[:, 1].max() < 17
    assert 0.5 < nails.max() <= 1


def test_flat_fingers_are_apart_and_curled_ones_are_short():
    flat, curled, point = (hand_mesh(f)[0] for f in ("flat", "curled", "point"))
    assert flat[:, 1].max() > curled[:, 1].max() + 3
    assert point[:, 1].max() > curled[:, 1].max() + 2
    tips = np.unique(np.round(flat[flat[:, 1] > 12.0][:, 0]))
    assert len(tips) >= 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("number", "seed"), [(0, 0), (1, 1), (2, 1)])
def test_it_touches_the_face_from_outside(kind: str, number: int, seed: int):
    part = hand(kind, number, seed)
    side = 1 if part.vertices_V3[:, 0].mean() > 0 else -1
    turn = facing(np.array(GRIPS[kind].push) * [side, 1, 1]) * np.array([[1], [1], [-1]])
    skin = head_of(number).vertices_V3[MODEL.region("M_Face")[0]][::11] @ turn.T
    held = part.vertices_V3 @ turn.T
    near = np.abs(skin[:, None, :2] - held[None, ::4, :2]).max(2).min(1) < 0.3
    gap = -heights_above(skin[near], held, part.faces_F3) + skin[near][:, 2]
    gap = gap[np.isfinite(gap)]
    assert gap.min(initial=np.inf) > -0.35, "centimeters between hand and face"
    assert len(gap) < 10 or gap.min() < 3.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", PEOPLE)
def test_eyes_are_free(kind: str, number: int):
    part = hand(kind, number, seed=number)
    eyes = head_of(number).landmarks_68x3[36:48]
    assert not hidden(eyes, part.vertices_V3, part.faces_F3).any()


@pytest.mark.parametrize("seed", range(4))
def test_a_hand_over_the_mouth_hides_it(seed: int):
    part, mouth = hand("mouth", 1, seed), head_of(1).landmarks_68x3[48:68]
    assert hidden(mouth, part.vertices_V3, part.faces_F3).mean() > 0.4


def test_hands_come_from_both_sides():
    middles = [hand("cheek", 0, seed).vertices_V3[:, 0].mean() for seed in range(12)]
    assert min(middles) < -3
    assert max(middles) > 3


@pytest.mark.parametrize("seed", range(6))
def test_triangles_face_outward_on_both_sides(seed: int):
    part = hand("cheek", 0, seed)
    middle = part.vertices_V3.mean(0)
    assert volume(part.vertices_V3 - middle, part.faces_F3) > 200


def test_the_skin_is_the_persons():
    person = somebody(0)
    dark = replace(person, skin=replace(person.skin, melanin=0.95))
    fair = replace(person, skin=replace(person.skin, melanin=0.05))
    view = View(0, 0, wear=Wear(hand="cheek"))
    tones = []
    for who in (dark, fair):
        part = hand_parts(MODEL, head_of(0), who, view)[0]
        assert part.colors_V3 is not None
        assert part.label == Label.OCCLUDER
        assert part.colors_V3.mean(0) == pytest.approx(skin_tone(who), rel=0.25)
        tones.append(part.colors_V3.mean())
    assert tones[1] > 2 * tones[0]


def test_a_telephone_comes_with_its_hand():
    view = View(0, 0, wear=Wear(hand="phone"))
    parts = hand_parts(MODEL, head_of(0), somebody(0), view)
    assert [part.name for part in parts] == ["hand", "phone"]
    gap = np.linalg.norm(parts[0].vertices_V3[:, None] - parts[1].vertices_V3[None], axis=-1).min()
    assert gap < 1.0
