"""Brows stand over the eyes, grow as brows do, and move with the skin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.rendering.hair.brows import (
    brow_density,
    brow_places,
    coordinates,
    grow_brows,
    growth_angle,
)
from factory.rendering.traits import BrowTraits
from tests.factory.rendering.facial_people import MEAN, height_over_skin, model, neutral, person

COLOR = (0.03, 0.02, 0.01)
RAISED = (("browInnerUp_L", 1.0), ("browInnerUp_R", 1.0))


def test_brow_hairs_point_up_at_the_inner_end_outward_then_down_at_the_tail() -> None:
    inner, middle, tail = growth_angle(np.array([0.0, 0.5, 1.0]), np.zeros(3))
    assert inner > np.radians(60)
    assert np.radians(5) < middle < np.radians(40)
    assert tail < 0


def test_edges_of_a_brow_grow_toward_its_ridge() -> None:
    upper, lower = growth_angle(np.array([0.5, 0.5]), np.array([1.0, -1.0]))
    assert upper < growth_angle(np.array([0.5]), np.array([0.0]))[0] < lower


def test_density_never_falls_with_the_trait_and_fades_at_all_edges() -> None:
    u, v = (
        axis.ravel() for axis in np.meshgrid(np.linspace(-0.3, 1.3, 60), np.linspace(-3, 3, 60))
    )
    thin, thick = brow_density(u, v, 0.3), brow_density(u, v, 0.9)
    assert (thick >= thin).all()
    assert (thick >= 0).all()
    assert (thick <= 1).all()
    assert thick[(u < -0.1) | (u > 1.1) | (np.abs(v) > 2.5)].max() < 0.01
    assert brow_density(np.array([0.4]), np.zeros(1), 0.9)[0] == pytest.approx(0.9)


def test_denser_and_thicker_brows_have_more_hairs_and_keep_those_they_had() -> None:
    sparse, dense = (person(brows=BrowTraits(COLOR, density)) for density in (0.4, 0.8))
    few, many = (grow_brows(model(), neutral(one), one).roots for one in (sparse, dense))
    assert {tuple(row) for row in few.weights_N3} < {tuple(row) for row in many.weights_N3}
    assert len(many) == pytest.approx(2 * len(few), rel=0.1)
    bushy = replace(dense, brows=BrowTraits(COLOR, 0.8, 0.9))
    assert len(grow_brows(model(), neutral(bushy), bushy).roots) > len(many)
    assert len(many) < 1000


def test_a_higher_arch_raises_the_outer_half_and_a_wider_space_the_inner_ends() -> None:
    def middle(**traits: float) -> tuple[float, float]:
        someone = person(shape=MEAN, brows=BrowTraits(COLOR, **traits))
        at = grow_brows(model(), neutral(someone), someone).roots.of(model().mean_V3)
        x = np.abs(at[:, 0])
        return float(at[(x > 3.6) & (x < 4.6), 1].mean()), float(np.quantile(x, 0.01))

    assert middle(arch=0.9)[0] > middle(arch=0.1)[0] + 0.3
    assert middle(spacing=1.0)[1] > middle(spacing=0.0)[1] + 0.3


def test_brows_stand_two_centimeters_over_the_pupils_lower_in_men() -> None:
    heights = []
    for presentation in (0.0, 1.0):
        someone = person(shape=MEAN, presentation=presentation)
        head = neutral(someone)
        at = grow_brows(model(), head, someone).roots.of(head.vertices_V3)
        heights.append(at[np.abs(np.abs(at[:, 0]) - 3.1) < 0.5, 1].mean() - head.middle_3[1])
    assert heights[0] == pytest.approx(heights[1] + 0.22, abs=0.05)
    assert 1.7 < heights[1] < heights[0] < 2.6


def test_both_brows_of_a_mirrored_head_mirror_each_other_in_the_mean() -> None:
    someone = person(shape=MEAN)
    at = grow_brows(model(), neutral(someone), someone).roots.of(model().mean_V3)
    left, right = at[at[:, 0] > 0], at[at[:, 0] < 0] * [-1, 1, 1]
    assert len(left) == pytest.approx(len(right), rel=0.2)
    np.testing.assert_allclose(left.mean(0), right.mean(0), atol=0.15)
    np.testing.assert_allclose(left.std(0), right.std(0), atol=0.1)


def test_coordinates_do_not_depend_on_the_side() -> None:
    places = brow_places(model())
    u, v, _ = coordinates(places, BrowTraits(COLOR), 0.5)
    at = places.roots.of(model().mean_V3)
    for side in (0, 1):
        mine = (places.side_N == side) & (np.abs(v) < 0.5) & (u > 0) & (u < 1)
        fit = np.polyfit(np.abs(at[mine, 0]), u[mine], 1)
        assert fit[0] == pytest.approx(0.2, abs=0.03)
        assert np.std(np.polyval(fit, np.abs(at[mine, 0])) - u[mine]) < 0.03


def test_raised_brows_lift_the_hairs_by_as_much_as_the_skin_at_their_roots() -> None:
    someone = person()
    strands = grow_brows(model(), neutral(someone), someone)
    before, after = neutral(someone), model().shaped(someone.shape, RAISED)
    lifted = strands.on(after)[:, 0] - strands.on(before)[:, 0]
    moved = strands.roots.of(after.vertices_V3 - before.vertices_V3)
    np.testing.assert_allclose(lifted, moved, atol=1e-4)
    inner = np.abs(strands.on(before)[:, 0, 0]) < 2.2
    assert lifted[inner, 1].mean() > 0.3


@pytest.mark.parametrize("expression", [(), RAISED, (("browDown_L", 1.0), ("eyeBlink_R", 1.0))])
def test_no_brow_hair_goes_into_the_skin(expression: tuple[tuple[str, float], ...]) -> None:
    someone = person(3, brows=BrowTraits(COLOR, 0.9, 0.9))
    head = model().shaped(someone.shape, expression)
    points = grow_brows(model(), neutral(someone), someone).on(head)
    assert height_over_skin(points[::2].reshape(-1, 3), head).min() > -0.06


def test_brows_follow_from_the_seed_alone() -> None:
    someone = person(5)
    first, again = (grow_brows(model(), neutral(someone), someone) for _ in range(2))
    np.testing.assert_array_equal(first.local_NK3, again.local_NK3)
    other = replace(someone, seed=someone.seed + 1)
    assert len(grow_brows(model(), neutral(other), other).roots) != len(first.roots) or not (
        np.array_equal(grow_brows(model(), neutral(other), other).local_NK3, first.local_NK3)
    )
