"""Marks: as many as the traits say, round on the face, where the seed puts them."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from factory.rendering.head.head import head_model
from factory.rendering.skin.face_zones import face_zones
from factory.rendering.skin.skin_atlas import skin_atlas
from factory.rendering.skin.skin_marks import Spots, draw_marks, draw_spots, painted, window
from tests.factory.rendering.skins import person

MODEL = head_model()
ATLAS, ZONES = skin_atlas(MODEL), face_zones(MODEL)
NOSE = int(((ATLAS.points_T3 - ATLAS.landmarks_68x3[30]) ** 2).sum(1).argmin())


def test_a_clear_skin_has_no_marks() -> None:
    marks = draw_marks(ATLAS, ZONES, person())
    assert all(getattr(marks, field.name).max() == 0 for field in fields(marks))


def test_each_trait_makes_its_own_mark() -> None:
    assert draw_marks(ATLAS, ZONES, person(freckles=0.5)).melanin.max() > 0.1
    assert draw_marks(ATLAS, ZONES, person(num_moles=2)).melanin.max() > 0.3
    assert draw_marks(ATLAS, ZONES, person(blemishes=0.5)).haemoglobin.max() > 0.3
    assert draw_marks(ATLAS, ZONES, person(num_scars=1)).pale.max() > 0.5
    assert draw_marks(ATLAS, ZONES, person(age=80)).melanin.max() > 0.1


def test_marks_follow_the_seed_alone() -> None:
    one, again = (draw_marks(ATLAS, ZONES, person(num_moles=3, freckles=0.4)) for _ in range(2))
    other = draw_marks(ATLAS, ZONES, person(seed=6, num_moles=3, freckles=0.4))
    assert np.array_equal(one.melanin, again.melanin)
    assert not np.array_equal(one.melanin, other.melanin)


def test_more_freckles_cover_more_and_mostly_cheeks_and_nose() -> None:
    few, many = (draw_marks(ATLAS, ZONES, person(freckles=f)).melanin for f in (0.2, 0.9))
    covered = [float((ATLAS.area_T * (m > 0.05)).sum()) for m in (few, many)]
    assert covered[1] > 2 * covered[0]
    face = (ZONES.freckles > 0.2) & (many > 0.05)
    assert ATLAS.area_T[face].sum() > 0.8 * covered[1]


def test_marks_spare_lips_and_neck() -> None:
    marks = draw_marks(ATLAS, ZONES, person(freckles=1, num_moles=30, blemishes=1))
    centers = marks.melanin > 0.3
    assert ZONES.lips[centers].mean() < 0.05
    assert ATLAS.points_T3[centers, 1].min() > -11


def test_a_spot_is_round_on_the_face_with_the_area_of_its_disk() -> None:
    spots = Spots(np.array([NOSE]), np.array([0.5]), np.array([1.0]))
    values = painted(ATLAS, spots, soft=0.01)
    away = np.linalg.norm(ATLAS.points_T3 - ATLAS.points_T3[NOSE], axis=1)
    close = away < 1
    assert np.array_equal(values[close] > 0.5, (away < 0.5)[close])
    assert values[~close].max() == 0


def test_spots_are_drawn_by_weight_and_area() -> None:
    weight = (ATLAS.points_T3[:, 0] > 0) * 1.0
    spots = draw_spots(np.random.default_rng(0), ATLAS, weight, 4000, (0.1, 0.2), (0.0, 1.0))
    points = ATLAS.points_T3[spots.texel_N]
    assert (points[:, 0] > 0).all()
    assert len(points) == 4000
    back = ATLAS.points_T3[:, 2] < 0
    share = (weight * ATLAS.area_T)[back].sum() / (weight * ATLAS.area_T).sum()
    assert abs((points[:, 2] < 0).mean() - share) < 0.03
    assert spots.radius_N.min() >= 0.1
    assert spots.radius_N.max() <= 0.2


def test_a_window_holds_every_texel_within_its_radius() -> None:
    found = set(window(ATLAS, NOSE, 0.6).tolist())
    away = np.linalg.norm(ATLAS.points_T3 - ATLAS.points_T3[NOSE], axis=1)
    assert set(np.flatnonzero(away < 0.55).tolist()) <= found


def test_dark_skin_hides_its_freckles() -> None:
    light = person(freckles=0.6)
    dark = replace(light, skin=replace(light.skin, melanin=1.0))
    lit, hid = (draw_marks(ATLAS, ZONES, p).melanin.max() for p in (light, dark))
    assert hid < 0.6 * lit
