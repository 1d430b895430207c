"""Skin: the colors of its zones, one texture for all images of a person."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np

from factory.rendering.hair.scalp import hair_shadow
from factory.rendering.head.head import head_model
from factory.rendering.parts import Label
from factory.rendering.skin.face_zones import face_zones
from factory.rendering.skin.skin import pigments, skin_colors, skin_paint, skin_part
from factory.rendering.skin.skin_atlas import skin_atlas
from factory.rendering.skin.skin_marks import draw_marks
from factory.rendering.skin.wrinkles import draw_folds
from factory.rendering.traits import HairTraits, Person
from tests.factory.rendering.skins import person

MODEL = head_model()
ATLAS, ZONES = skin_atlas(MODEL), face_zones(MODEL)
NEUTRAL = MODEL.shaped((0.0,) * 100, ())
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@cache
def colors(somebody: Person) -> np.ndarray:
    folds = draw_folds(ATLAS.landmarks_68x3, somebody)
    return skin_colors(ATLAS, ZONES, somebody, folds)


def mean(color_T3: np.ndarray, weight_T: np.ndarray) -> np.ndarray:
    weight = weight_T * ATLAS.area_T
    return np.asarray((color_T3 * weight[:, None]).sum(0) / weight.sum())


def redness(color_3: np.ndarray) -> float:
    return float(color_3[0] / color_3[1])


def test_an_expression_moves_the_skin_but_not_its_marks() -> None:
    somebody = person(num_moles=4)
    smiling = MODEL.shaped(somebody.shape, (("mouthSmile_L", 1.0), ("jawOpen", 0.4)))
    still, moved = skin_part(MODEL, NEUTRAL, somebody), skin_part(MODEL, smiling, somebody)
    assert still.texture_HWC is moved.texture_HWC
    assert still.roughness_HW is moved.roughness_HW
    assert still.uv_V2 is moved.uv_V2
    assert still.faces_F3 is moved.faces_F3
    assert not np.array_equal(still.vertices_V3, moved.vertices_V3)


def test_the_part_fits_together() -> None:
    part = skin_part(MODEL, NEUTRAL, person(age=70))
    assert part.label == Label.SKIN
    assert part.faces_F3.max() == len(part.vertices_V3) - 1
    assert part.uv_V2 is not None
    assert part.normals_V3 is not None
    assert part.uv_V2.shape == (len(part.vertices_V3), 2)
    assert part.uv_V2.min() >= 0
    assert part.uv_V2.max() <= 1
    assert np.allclose(np.linalg.norm(part.normals_V3, axis=1), 1, atol=1e-5)
    facing = (part.normals_V3 * NEUTRAL.normals_V3[ATLAS.vertices_V]).sum(1)
    assert facing.min() > 0.7


def test_colors_and_roughness_lie_in_their_ranges() -> None:
    for melanin in (0.0, 0.5, 1.0):
        somebody = person(
            seed=int(10 * melanin), age=80, melanin=melanin, haemoglobin=1.0, freckles=1,
            num_moles=9, wrinkles=1, blemishes=1, num_scars=3, style="buzz", shadow=1.0,
        )  # fmt: skip
        paint = skin_paint(MODEL, somebody)
        assert paint.texture_HWC.dtype == np.float32
        assert paint.texture_HWC.min() >= 0
        assert paint.texture_HWC.max() <= 1
        assert paint.roughness_HW.min() >= 0.15
        assert paint.roughness_HW.max() <= 0.8


def test_the_same_person_has_the_same_colors_and_another_seed_others() -> None:
    skin_paint.cache_clear()
    first = skin_paint(MODEL, person())
    skin_paint.cache_clear()
    again = skin_paint(MODEL, person())
    other = skin_paint(MODEL, person(seed=6))
    assert first.texture_HWC is not again.texture_HWC
    assert np.array_equal(first.texture_HWC, again.texture_HWC)
    assert np.array_equal(first.tilt_V3, again.tilt_V3)
    assert not np.array_equal(first.texture_HWC, other.texture_HWC)


def test_cheeks_and_nose_are_redder_than_the_forehead() -> None:
    for melanin in (0.05, 0.5):
        color = colors(person(melanin=melanin))
        clear = ZONES.oil < 2
        forehead = redness(mean(color, ZONES.forehead * clear))
        cheeks = redness(mean(color, ZONES.redness**2 * (1 - ZONES.lips)))
        assert cheeks > forehead + 0.05


def test_skin_around_the_eyes_is_darker_than_cheeks() -> None:
    color = colors(person())
    under = mean(color, ZONES.sockets**2) @ LUMINANCE
    cheeks = mean(color, ZONES.redness) @ LUMINANCE
    assert under < 0.95 * cheeks


def test_pigment_traits_set_the_mean_color() -> None:
    mean_of = {m: mean(colors(person(melanin=m)), np.ones(len(ATLAS.texel_T))) for m in (0.1, 0.8)}
    assert mean_of[0.8] @ LUMINANCE < 0.4 * (mean_of[0.1] @ LUMINANCE)
    pale, ruddy = (
        redness(mean(colors(person(haemoglobin=h)), np.ones(len(ATLAS.texel_T))))
        for h in (0.1, 0.9)
    )
    assert ruddy > pale + 0.15


def test_lips_are_redder_than_skin_and_take_their_color_by_strength() -> None:
    inner = (ZONES.lip_depth > 0.2) * (1 - ZONES.mouth_line)
    bare = person(melanin=0.1, lip_color=(0.3, 0.03, 0.06), lip_strength=0.0)
    skin = mean(colors(bare), ZONES.redness * (1 - ZONES.lips))
    own = mean(colors(bare), inner)
    assert redness(own) > redness(skin) + 0.2
    painted = replace(bare, skin=replace(bare.skin, lip_strength=1.0))
    lips = mean(colors(painted), inner)
    assert np.allclose(lips, [0.3, 0.03, 0.06], atol=0.05)


def test_a_shaved_beard_darkens_its_area_alone() -> None:
    shaved, smooth = colors(person(shadow=0.8)), colors(person())
    change = (smooth - shaved) @ LUMINANCE
    assert change[ZONES.beard > 0.8].mean() > 0.08
    assert np.abs(change[ZONES.beard == 0]).max() == 0
    jaw = ZONES.beard > 0.8
    assert redness(shaved[jaw].mean(0)) < redness(smooth[jaw].mean(0))


def test_a_shaved_scalp_shows_a_hairline_and_a_bald_one_none() -> None:
    bald, buzz = colors(person(style="bald")), colors(person(style="buzz"))
    grown = hair_shadow(ATLAS.points_T3, HairTraits("buzz", (0.0, 0.0, 0.0)), person().seed)
    change = (bald - buzz) @ LUMINANCE
    assert change[grown > 0.95].mean() > 0.1
    assert np.abs(change[grown == 0]).mean() < 0.002


def test_eye_makeup_darkens_the_lids_alone() -> None:
    plain = person()
    made_up = replace(plain, eyes=replace(plain.eyes, makeup=1.0))
    change = (colors(plain) - colors(made_up)) @ LUMINANCE
    assert change[ZONES.lids > 0.8].mean() > 0.04
    assert np.abs(change[(ZONES.lids < 1e-3) & (ZONES.crease < 1e-3)]).max() < 1e-3


def test_marks_reach_the_pigments() -> None:
    spotted = person(num_moles=5, blemishes=0.8)
    marks = draw_marks(ATLAS, ZONES, spotted)
    melanin, haemoglobin = pigments(ATLAS, ZONES, spotted, marks)
    bare = replace(marks, melanin=0 * marks.melanin, haemoglobin=0 * marks.haemoglobin)
    plain_melanin, plain_haemoglobin = pigments(ATLAS, ZONES, spotted, bare)
    assert np.allclose(melanin - plain_melanin, marks.melanin, atol=1e-5)
    assert np.allclose(haemoglobin - plain_haemoglobin, 1.1 * marks.haemoglobin, atol=1e-5)


def test_oil_makes_the_t_zone_shine() -> None:
    dry, oily = (skin_paint(MODEL, person(oil=o)).roughness_HW for o in (0.0, 1.0))
    zone = ATLAS.image(ZONES.oil)
    assert oily[zone > 0.8].mean() < dry[zone > 0.8].mean() - 0.2
    assert oily[zone > 0.8].mean() < oily[zone < 0.05].mean() - 0.1


def test_folds_and_pores_tilt_normals() -> None:
    still = np.abs(skin_paint(MODEL, person(age=20, pores=0.0)).tilt_V3).max()
    old = np.abs(skin_paint(MODEL, person(age=80, pores=0.0, wrinkles=1.0)).tilt_V3).max()
    porous = skin_paint(MODEL, person(age=20, pores=1.0)).tilt_V3
    assert old > 2 * still
    assert 0.04 < porous[:, 2].std() < 0.06


def test_seams_of_the_texture_share_their_normals() -> None:
    tilt = skin_paint(MODEL, person(age=60, pores=0.5)).tilt_V3
    order = np.argsort(ATLAS.vertices_V, kind="stable")
    twice = np.flatnonzero(np.diff(ATLAS.vertices_V[order]) == 0)
    assert len(twice) > 50
    assert np.array_equal(tilt[order[twice]], tilt[order[twice + 1]])
