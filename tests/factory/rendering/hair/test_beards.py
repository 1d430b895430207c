"""Beards grow where beards grow, down and outward, and leave lips and nose free."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.rendering.hair.beards import (
    LIP_MARGIN,
    NUM_HAIRS,
    STYLES,
    beard_places,
    direction_field,
    grow_beard,
    lip_distance,
    region_density,
)
from factory.rendering.traits import BeardTraits, Person
from tests.factory.rendering.facial_people import MEAN, height_over_skin, model, neutral, person

COLOR = (0.05, 0.03, 0.02)
GROWN = sorted(set(STYLES) - {"none"})
LENGTHS = {"stubble": 0.2, "moustache": 0.8, "goatee": 1.0, "short_full": 0.8, "full": 2.5}


def _bearded(
    style: str, density: float = 0.9, length: float | None = None, index: int = 2
) -> Person:
    wanted = LENGTHS[style] if length is None else length
    return person(index, shape=MEAN, beard=BeardTraits(style, COLOR, density, wanted))


def test_the_distance_to_the_lips_is_that_to_their_outline_and_negative_within() -> None:
    points = np.zeros((68, 3))
    angle = 2 * np.pi * np.arange(12) / 12
    points[48:60, :2] = np.stack([2 * np.cos(angle), np.sin(angle)], 1)
    at = np.array([[0.0, 0, 0], [3, 0, 0], [0, 2, 5]])
    np.testing.assert_allclose(lip_distance(points, at), [-0.99, 1.0, 1.0], atol=0.02)


@pytest.mark.parametrize("style", GROWN)
def test_no_hair_stands_on_the_lips_the_nose_or_over_the_eyes(style: str) -> None:
    places = beard_places(model())
    grows = region_density(STYLES[style], places) > 0
    x, y = places.at_N3[:, 0], places.at_N3[:, 1]
    assert grows.any()
    assert places.lips_N[grows].min() >= LIP_MARGIN
    under_nose = model().mean_V3[model().landmarks_68[33], 1] - model().mean_V3[
        model().landmarks_68[36:48], 1
    ].mean()  # fmt: skip
    assert not grows[(np.abs(x) < 1.5) & (y > under_nose)].any()
    assert y[grows].max() < 0.9


def test_hairs_over_the_mouth_end_before_the_lips_however_long_the_beard() -> None:
    someone = _bearded("full", length=4.0)
    head = neutral(someone)
    strands, _ = grow_beard(model(), head, someone)
    root = strands.roots.of(head.vertices_V3)
    over = (root[:, 1] > head.landmarks_68x3[48, 1]) & (np.abs(root[:, 0]) < 2.6) & (root[:, 2] > 8)
    assert over.sum() > 100
    inside = lip_distance(head.landmarks_68x3, strands.on(head)[over][:, -1]) < -0.1
    assert inside.mean() < 0.04


def test_each_style_grows_where_its_name_says() -> None:
    places = beard_places(model())
    x, y, z = np.abs(places.at_N3[:, 0]), places.at_N3[:, 1], places.at_N3[:, 2]
    spots = {
        "moustache": (x > 0.5) & (x < 2) & (y < -5.1) & (y > -5.5) & (z > 0),
        "chin": (x < 1.5) & (y < -9.6) & (y > -10.5) & (z > 0),
        "cheek": (x > 5.2) & (x < 6) & (y < -6.2) & (y > -7),
        "temple": (x > 6.8) & (y > -2) & (y < -1) & (z > -6.5) & (z < -5.5),
    }
    want = {
        "none": "", "stubble": "moustache chin cheek temple", "moustache": "moustache",
        "goatee": "moustache chin", "short_full": "moustache chin cheek temple",
        "full": "moustache chin cheek temple",
    }  # fmt: skip
    for style, named in want.items():
        density = region_density(STYLES[style], places)
        for spot, here in spots.items():
            grown = density[here].mean()
            assert grown > 0.4 if spot in named.split() else grown < 0.02, (style, spot, grown)


def test_denser_beards_have_more_hairs_and_keep_those_they_had() -> None:
    counts = []
    before: set[tuple[float, ...]] = set()
    for density in (0.2, 0.4, 0.6):
        someone = _bearded("goatee", density)
        roots = grow_beard(model(), neutral(someone), someone)[0].roots
        now = {tuple(row) for row in roots.weights_N3}
        assert before < now
        counts.append(len(roots))
        before = now
    assert counts[2] == pytest.approx(3 * counts[0], rel=0.15)
    full = _bearded("full", 1.0)
    assert len(grow_beard(model(), neutral(full), full)[0].roots) == NUM_HAIRS


@pytest.mark.parametrize("style", GROWN)
def test_lengths_follow_the_trait_and_chins_have_the_longest(style: str) -> None:
    def lengths(wanted: float) -> tuple[np.ndarray, np.ndarray]:
        someone = _bearded(style, length=wanted)
        strands, _ = grow_beard(model(), neutral(someone), someone)
        steps = np.diff(strands.on(neutral(someone)), axis=1)
        at = strands.roots.of(model().mean_V3) - neutral(someone).middle_3
        return np.linalg.norm(steps, axis=-1).sum(1), at

    low, high = STYLES[style].length
    (short, _), (long, at) = lengths(low), lengths(high)
    assert (long >= short - 1e-4).all()
    assert long.mean() > 1.2 * short.mean()
    # a length beyond the style's own is that of its longest
    np.testing.assert_allclose(lengths(99.0)[0], long, atol=1e-4)
    chin = (at[:, 1] < -9.5) & (np.abs(at[:, 0]) < 1) & (at[:, 2] > 0)
    if chin.any():
        assert np.median(long[chin]) == pytest.approx(high, rel=0.15)
        assert np.median(long[chin]) >= np.median(long) - 0.01


def test_hair_grows_down_and_from_the_lip_outward() -> None:
    places = beard_places(model())
    field = direction_field(places, np.arange(len(places.roots)))
    assert (field[:, 1] == -1).all()
    x, y = places.at_N3[:, 0], places.at_N3[:, 1]
    lip = (y > -6) & (np.abs(x) > 0.3) & (np.abs(x) < 2.5) & (y < -4.8)
    assert (np.sign(field[lip, 0]) == np.sign(x[lip])).all()
    assert (np.abs(field[lip, 0]) > 0.3).mean() > 0.9
    someone = _bearded("short_full")
    points = grow_beard(model(), neutral(someone), someone)[0].on(neutral(someone))
    assert (points[:, -1, 1] < points[:, 0, 1]).mean() > 0.97


@pytest.mark.parametrize("style", GROWN)
def test_beards_do_not_grow_into_the_skin(style: str) -> None:
    someone = replace(person(4), beard=BeardTraits(style, COLOR, 0.9, LENGTHS[style]))
    head = neutral(someone)
    points = grow_beard(model(), head, someone)[0].on(head)
    height = height_over_skin(points[::8].reshape(-1, 3), head)
    assert (height < -0.1).mean() < 0.005


def test_beards_are_symmetric_in_the_mean_and_follow_from_the_seed() -> None:
    someone = _bearded("short_full")
    strands, light = grow_beard(model(), neutral(someone), someone)
    again, _ = grow_beard(model(), neutral(someone), someone)
    np.testing.assert_array_equal(strands.local_NK3, again.local_NK3)
    at = strands.roots.of(model().mean_V3)
    left, right = at[at[:, 0] > 0], at[at[:, 0] < 0] * [-1, 1, 1]
    assert len(left) == pytest.approx(len(right), rel=0.1)
    np.testing.assert_allclose(left.mean(0), right.mean(0), atol=0.25)
    assert light.mean() == pytest.approx(0.22, abs=0.03)


def test_an_open_jaw_takes_the_hairs_of_the_chin_along() -> None:
    someone = _bearded("goatee")
    before, after = neutral(someone), model().shaped(someone.shape, (("jawOpen", 1.0),))
    strands, _ = grow_beard(model(), before, someone)
    moved = strands.on(after)[:, 0] - strands.on(before)[:, 0]
    np.testing.assert_allclose(
        moved, strands.roots.of(after.vertices_V3 - before.vertices_V3), atol=1e-4
    )
    chin = strands.roots.of(before.vertices_V3)[:, 1] < before.landmarks_68x3[57, 1] - 1
    assert moved[chin, 1].mean() < -0.5
