"""Glasses sit before the eyes, on the nose and the ears, and do not cut the face."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.rendering.head.head import Head
from factory.rendering.parts import Label, MeshPart
from factory.rendering.traits import GlassesTraits, Person
from factory.rendering.view import View, Wear
from factory.rendering.wear.glasses import (
    DARK,
    GLARE,
    PUPIL_ABOVE,
    _ear_vertices,
    fitted,
    glasses_parts,
    rims,
    sunglasses_traits,
)
from factory.rendering.wear.lens_outlines import SHAPES
from tests.factory.rendering.facial_people import MEAN, model, neutral, person

BLACK = (0.02, 0.02, 0.02)
WORN = View(0, 0, wear=Wear(glasses=True))
PEOPLE = range(2, 4)


def _wearer(shape: str, index: int = 0, rim: float = 0.1, **more: float) -> Person:
    return person(index, glasses=GlassesTraits(shape, BLACK, rim, **more))


def _head_vertices(head: Head) -> np.ndarray:
    return head.vertices_V3[model().region("M_Face", "M_BackHead")[0]]


@pytest.mark.parametrize("shape", sorted(SHAPES))
@pytest.mark.parametrize("index", PEOPLE)
def test_lenses_stand_before_the_pupils_and_off_the_skin(shape: str, index: int) -> None:
    head = neutral(person(index))
    frame = fitted(model(), head, SHAPES[shape], 0.1)
    eyes = head.five_53[:2]
    np.testing.assert_allclose(frame.centers_23[:, 0], eyes[:, 0], atol=1e-5)
    np.testing.assert_allclose(frame.centers_23[:, 1], eyes[:, 1] - PUPIL_ABOVE * frame.size)
    cornea = head.landmarks_68x3[36:48, 2].max() + 0.15
    assert 1.25 < frame.centers_23[0, 2] - cornea < 3.0
    skin = _head_vertices(head)
    for curve, center, normal in zip(
        frame.outlines_2M3, frame.centers_23, frame.normals_23, strict=True
    ):
        # planar
        np.testing.assert_allclose((curve - center) @ normal, 0, atol=1e-9)
        # whatever of the skin is near the edge is behind it
        apart = skin - curve[:, None]
        near = np.linalg.norm(apart - (apart @ normal)[..., None] * normal, axis=-1) < 0.25
        assert (apart @ normal)[near].max() < 0.0


def test_a_rim_is_a_tube_of_the_radius_asked_about_its_outline() -> None:
    frame = fitted(model(), neutral(person()), SHAPES["round"], 0.13)
    vertices, _, _ = rims(GlassesTraits("round", BLACK, 0.13), frame)
    num = 8 * frame.outlines_2M3.shape[1]
    rim, curve = vertices[:num], frame.outlines_2M3[0]
    away = np.linalg.norm(rim[:, None] - curve, axis=-1).min(1)
    np.testing.assert_allclose(away, 0.13, rtol=1e-6)


@pytest.mark.parametrize("index", PEOPLE)
def test_temples_reach_the_ears_outside_the_head(index: int) -> None:
    head = neutral(person(index))
    frame = fitted(model(), head, SHAPES["rectangle"], 0.1)
    for side, sign in ((0, -1), (1, 1)):
        top = head.vertices_V3[_ear_vertices(model())[side, 0]]
        way = frame.temples_2P3[side]
        assert np.linalg.norm(way - top, axis=1).min() < 1.2
        above = way[np.abs(way[:, 2] - top[2]).argmin()]
        assert 0 < above[1] - top[1] + 0.3 < 1.0
        before = way[(way[:, 2] > top[2] + 1.0) & (way[:, 2] < frame.centers_23[0, 2] - 1)]
        skin = _head_vertices(head)
        for point in before:
            beside = np.hypot(skin[:, 1] - point[1], skin[:, 2] - point[2]) < 0.4
            assert sign * point[0] > (sign * skin[beside, 0]).max(initial=-np.inf)


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_the_bridge_goes_over_the_nose_from_rim_to_rim(shape: str) -> None:
    head = neutral(person(1))
    frame = fitted(model(), head, SHAPES[shape], 0.1)
    for end, curve in ((0, frame.outlines_2M3[0]), (-1, frame.outlines_2M3[1])):
        assert np.linalg.norm(curve - frame.bridge_P3[end], axis=1).min() < 1e-9
    skin = _head_vertices(head)
    middle = frame.bridge_P3[len(frame.bridge_P3) // 2]
    under = (np.abs(skin[:, 0] - middle[0]) < 0.4) & (np.abs(skin[:, 1] - middle[1]) < 0.2)
    assert middle[2] > skin[under, 2].max() + 0.1


def test_a_high_nose_lifts_the_bridge() -> None:
    head = model().shaped(MEAN, ())
    high = head.vertices_V3.copy()
    high[(np.abs(high[:, 0]) < 0.5) & (high[:, 2] > 10)] += [0, 0, 2]
    frame = fitted(model(), replace(head, vertices_V3=high), SHAPES["rectangle"], 0.1)
    middle = frame.bridge_P3[len(frame.bridge_P3) // 2]
    under = (np.abs(high[:, 0]) < 0.4) & (np.abs(high[:, 1] - middle[1]) < 0.3)
    assert middle[2] == pytest.approx(high[under, 2].max() + 0.15, abs=0.15)


def test_glasses_scale_with_the_head() -> None:
    head = model().shaped(MEAN, ())
    large = Head(head.vertices_V3 * 1.1, head.normals_V3, head.landmarks_68x3 * 1.1)
    small, big = (fitted(model(), one, SHAPES["square"], 0.1) for one in (head, large))
    assert big.size == pytest.approx(1.1 * small.size)
    for of in (lambda f: np.ptp(f.outlines_2M3[1], axis=0)[:2], lambda f: f.centers_23[1, :2]):
        np.testing.assert_allclose(of(big), 1.1 * of(small), rtol=0.02)
    assert np.ptp(big.temples_2P3[0, :, 2]) == pytest.approx(
        1.1 * np.ptp(small.temples_2P3[0, :, 2]), rel=0.03
    )


def test_glasses_of_a_symmetric_head_are_symmetric() -> None:
    frame = fitted(model(), model().shaped(MEAN, ()), SHAPES["cat_eye"], 0.1)
    for pair in (frame.outlines_2M3, frame.temples_2P3, frame.centers_23):
        np.testing.assert_allclose(pair[0] * [-1, 1, 1], pair[1], atol=0.1)


def test_what_is_worn_is_what_the_view_says() -> None:
    someone = _wearer("round")
    head = neutral(someone)
    assert glasses_parts(model(), head, someone, View(0, 0)) == []
    assert glasses_parts(model(), head, person(), WORN) == []
    own = glasses_parts(model(), head, someone, WORN)
    assert {part.label for part in own} == {Label.GLASSES}
    dark = glasses_parts(model(), head, someone, View(0, 0, wear=Wear(True, "aviator", seed=3)))
    assert {part.label for part in dark} == {Label.SUNGLASSES}
    assert len(dark) == 2
    assert all(part.material.opacity == 1.0 for part in dark)
    with pytest.raises(KeyError):
        glasses_parts(model(), head, someone, View(0, 0, wear=Wear(sunglasses="monocle")))


def test_clear_lenses_are_left_out_or_faint_mirrors_and_tinted_ones_shine_through() -> None:
    lenses = []
    for index in range(8):
        someone = _wearer("square", index)
        lenses += glasses_parts(model(), neutral(someone), someone, WORN)[1:]
    assert 0 < len(lenses) < 8
    assert {part.material.opacity for part in lenses} == {GLARE}
    tinted = _wearer("square", tint=0.3)
    lens = glasses_parts(model(), neutral(tinted), tinted, WORN)[1]
    assert lens.material.opacity == 0.3
    assert lens.label == Label.GLASSES
    black = _wearer("square", tint=DARK + 0.1)
    lens = glasses_parts(model(), neutral(black), black, WORN)[1]
    assert lens.material.opacity == 1.0
    assert lens.label == Label.SUNGLASSES


def test_the_same_glasses_are_the_same_objects_whatever_the_expression() -> None:
    someone = _wearer("round", rim=0.07)
    smiling = model().shaped(someone.shape, (("mouthSmile_L", 1.0), ("mouthSmile_R", 1.0)))
    first = glasses_parts(model(), neutral(someone), someone, WORN)
    again = glasses_parts(model(), smiling, someone, WORN)
    assert [id(part) for part in first] == [id(part) for part in again]
    assert all(isinstance(part, MeshPart) and part.fixed for part in first)


def test_sunglasses_follow_from_the_seed() -> None:
    assert sunglasses_traits("round", 5) == sunglasses_traits("round", 5)
    drawn = [sunglasses_traits("square", seed) for seed in range(40)]
    assert len({traits.color for traits in drawn}) > 3
    assert all(traits.tint > DARK and 0.05 <= traits.rim <= 0.2 for traits in drawn)
    assert sunglasses_traits("aviator", 1).rim < 0.08


def test_lenses_lie_within_their_rims_and_face_forward() -> None:
    someone = replace(person(), glasses=None)
    parts = glasses_parts(model(), neutral(someone), someone, View(0, 0, wear=Wear(False, "round")))
    lenses = parts[1]
    assert isinstance(lenses, MeshPart)
    assert lenses.normals_V3 is not None
    assert (lenses.normals_V3[:, 2] > 0.5).all()
    corners = lenses.vertices_V3[lenses.faces_F3]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    # one sense of rotation for each lens
    half = len(flat) // 2
    assert all(
        (np.sign(some[:, 2]) == np.sign(some[0, 2])).all() for some in (flat[:half], flat[half:])
    )
