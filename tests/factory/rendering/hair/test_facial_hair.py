"""Brows and beards as parts of a scene."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from factory.rendering.hair.facial_hair import beard_parts, brow_parts, lighter
from factory.rendering.parts import Label, StrandsPart
from factory.rendering.traits import BeardTraits, BrowTraits
from tests.factory.rendering.facial_people import model, neutral, person

COLOR = (0.05, 0.03, 0.02)


def test_brows_are_one_part_of_their_color_and_label() -> None:
    someone = person(brows=BrowTraits(COLOR))
    (part,) = brow_parts(model(), neutral(someone), someone)
    assert isinstance(part, StrandsPart)
    assert part.label == Label.BROWS
    assert part.material.color == COLOR
    assert 200 < len(part.points_SK3) < 1000
    assert np.isfinite(part.points_SK3).all()


def test_who_has_no_hairs_has_no_parts() -> None:
    someone = person(brows=BrowTraits(COLOR, density=0.0))
    head = neutral(someone)
    assert brow_parts(model(), head, someone) == []
    assert beard_parts(model(), head, someone) == []
    bare = replace(someone, beard=BeardTraits("full", COLOR, density=0.0, length=2.0))
    assert beard_parts(model(), head, bare) == []


def test_a_beard_is_two_shades_of_hair_and_stubble_is_thinner() -> None:
    someone = person(beard=BeardTraits("full", COLOR, 0.9, 2.0))
    dark, light = beard_parts(model(), neutral(someone), someone)
    assert isinstance(dark, StrandsPart)
    assert isinstance(light, StrandsPart)
    assert dark.label == light.label == Label.BEARD
    assert dark.material.color == COLOR
    assert light.material.color == lighter(COLOR)
    assert len(dark.points_SK3) > 2 * len(light.points_SK3)
    assert len(dark.points_SK3) + len(light.points_SK3) <= 4500
    stubbly = replace(someone, beard=BeardTraits("stubble", COLOR, 0.9, 0.2))
    stubble = beard_parts(model(), neutral(stubbly), stubbly)[0]
    assert isinstance(stubble, StrandsPart)
    assert stubble.radius < dark.radius


def test_parts_do_not_depend_on_what_was_made_before() -> None:
    one, other = person(1), person(2)
    first = brow_parts(model(), neutral(one), one)[0]
    brow_parts(model(), model().shaped(other.shape, (("browDown_L", 1.0),)), other)
    again = brow_parts(model(), neutral(one), one)[0]
    assert isinstance(first, StrandsPart)
    assert isinstance(again, StrandsPart)
    np.testing.assert_array_equal(first.points_SK3, again.points_SK3)


def test_dark_beards_get_hairs_that_are_lighter_and_white_ones_do_not() -> None:
    assert all(new > old for new, old in zip(lighter(COLOR), COLOR, strict=True))
    assert all(0 <= part <= 1 for part in lighter((1.0, 1.0, 1.0)))
