"""Packing spreads points, stays on the manifold, and fills a crowded space further."""

from __future__ import annotations

import numpy as np
import pytest

from factory.identities import search as search_module
from factory.identities.gallery import Gallery, itself
from factory.identities.packing import Packing, nearest_of_random, pack, smallest_possible_cosine
from factory.identities.search import DeviceFacts
from tests.factory.identities.test_gate import naive
from tests.vectors import unit_rows

SETTINGS = Packing()
NOBODY = 2.0
"""A gate that no cosine reaches."""


def largest_cosines(unit: np.ndarray) -> np.ndarray:
    gallery = Gallery(unit.shape[1])
    gallery.add(unit)
    return gallery.nearest(unit, without=itself(0, len(unit)))


def test_random_directions_are_as_near_as_simulated():
    rows = np.random.default_rng(5).normal(size=(400, 12))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = nearest_of_random(399, 12, num_probes=400)
    assert cosines.mean() == pytest.approx(
        (rows @ rows.T - 2 * np.eye(400)).max(1).mean(), abs=0.02
    )


def test_one_random_direction_has_a_mean_squared_cosine_of_one_over_the_dimensions():
    cosines = nearest_of_random(1, 12, num_probes=20_000)
    assert np.square(cosines).mean() == pytest.approx(1 / 12, abs=0.003)


def test_points_on_a_circle_end_evenly_spaced():
    start = unit_rows(0, 6, 2)
    packed = pack(start, start[:1], NOBODY, Packing(rounds=60, pull=0.0, num_neighbors=5))
    np.testing.assert_allclose(np.linalg.norm(packed, axis=1), 1, atol=1e-5)
    assert largest_cosines(packed).max() == pytest.approx(np.cos(np.pi / 3), abs=0.03)


def test_the_nearest_neighbors_of_all_go_further_away():
    start = unit_rows(1, 500, 12)
    packed = pack(start, unit_rows(2, 50, 12), NOBODY, SETTINGS)
    before, after = largest_cosines(start), largest_cosines(packed)
    assert after.max() < before.max() - 0.1
    assert after.mean() < before.mean() - 0.05
    assert after.max() > smallest_possible_cosine(500, 12)
    assert np.array_equal(packed, pack(start, unit_rows(2, 50, 12), NOBODY, SETTINGS))


def plainly_packed(start: np.ndarray, real: np.ndarray, limit: float, s: Packing) -> np.ndarray:
    """METHODS 5 point by point in float64, for points that span the space."""
    x = start.astype(np.float64)
    for turn in range(s.rounds):
        near = np.argsort(-(x @ x.T) + 9 * np.eye(len(x)), axis=1)[:, : s.num_neighbors]
        nearest = real[(x @ real.T).argmax(1)].astype(np.float64)
        size = s.step_size * (1 - turn / s.rounds)
        for _ in range(s.steps):
            moved = x.copy()
            for i, point in enumerate(x):
                weight = np.exp(s.sharpness * (x[near[i]] @ point))
                push = (weight / weight.sum()) @ x[near[i]]
                push += (1.0 if point @ nearest[i] >= limit - size else -s.pull) * nearest[i]
                push -= (push @ point) * point
                moved[i] = np.cos(size) * point - np.sin(size) * push / np.linalg.norm(push)
            x = moved
    return x


@pytest.mark.parametrize("limit", [0.5, NOBODY])
def test_packing_is_that_of_a_plain_loop(limit):
    start, real = unit_rows(11, 40, 6), unit_rows(12, 5, 6)
    settings = Packing(rounds=2, num_neighbors=7)
    wanted = plainly_packed(start, real, limit, settings)
    np.testing.assert_allclose(pack(start, real, limit, settings), wanted, atol=2e-5)


def test_a_step_turns_every_point_by_its_size():
    start = unit_rows(13, 40, 6)
    for size in (0.05, 0.2):
        moved = pack(start, start[:1], NOBODY, Packing(rounds=1, steps=1, step_size=size))
        np.testing.assert_allclose(np.arccos((moved * start).sum(1)), size, atol=1e-3)


def test_the_constants_are_those_of_methods():
    """Five steps a round, 16 neighbors, a softmax of 30, .05 radians, a pull of .1."""
    assert Packing() == Packing(20, 5, 16, 30.0, 0.05, 0.1)


def test_points_stay_in_the_span_they_came_from():
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 5)))[0]
    start = unit_rows(3, 100, 5) @ basis.T.astype(np.float32)
    packed = pack(start, unit_rows(4, 30, 20), NOBODY, SETTINGS)
    np.testing.assert_allclose(packed @ basis @ basis.T, packed, atol=1e-4)


def test_real_people_are_kept_at_a_distance_and_in_sight():
    start, real = unit_rows(5, 200, 10), unit_rows(6, 40, 10)
    near = Gallery(10)
    near.add(real)
    packed = near.nearest(pack(start, real, 0.6, SETTINGS))
    assert (packed >= 0.6).mean() < (near.nearest(start) >= 0.6).mean() / 2
    pulled = near.nearest(pack(start, real, NOBODY, Packing(pull=2.0)))
    assert pulled.mean() > near.nearest(start).mean() + 0.1


def test_a_packed_pool_fills_a_crowded_space_further_than_a_random_one():
    start, real = unit_rows(7, 150, 8), unit_rows(8, 10, 8)
    packed = pack(start, real, 0.6, SETTINGS)
    admitted = [len(naive(pool, real, 150, 0.6)) for pool in (start, packed)]
    assert admitted[1] > 1.3 * admitted[0]


def test_packing_asks_the_search_that_the_facts_name(monkeypatch):
    asked = []

    def gpu_neighbors(query, unit, count):
        asked.append((len(query), len(unit), count))
        return search_module.cpu_neighbors(query, unit, count)

    monkeypatch.setattr(search_module, "gpu_neighbors", gpu_neighbors)
    start, real, settings = unit_rows(1, 30, 6), unit_rows(2, 5, 6), Packing(rounds=2)
    on_gpu = pack(start, real, NOBODY, settings, DeviceFacts(False, False, faiss_gpus=1))
    assert asked == [(30, 30, 17), (30, 5, 1)] * 2
    on_cpu = pack(start, real, NOBODY, settings, DeviceFacts(False, False, faiss_gpus=0))
    assert len(asked) == 4
    assert np.array_equal(on_gpu, on_cpu)


def test_few_points_and_doubles_are_left_in_peace():
    one = unit_rows(0, 1, 4)
    assert np.array_equal(pack(one, one, 0.5, SETTINGS), one)
    doubles = np.repeat(unit_rows(1, 3, 4), 2, axis=0)
    packed = pack(doubles, one, NOBODY, SETTINGS)
    assert np.isfinite(packed).all()


def test_the_bound_is_the_simplex_for_few_and_rises_with_many():
    assert smallest_possible_cosine(3, 2) == pytest.approx(-0.5)
    assert smallest_possible_cosine(12, 2) == pytest.approx(np.cos(2 * np.pi / 12), abs=1e-2)
    assert smallest_possible_cosine(5, 4) == pytest.approx(-0.25)
    assert smallest_possible_cosine(8, 4) == 0.0  # the axes, both ways
    many = [smallest_possible_cosine(n, 64) for n in (100, 10_000, 1_000_000, 10**12, 10**18)]
    assert many == sorted(many)
    assert many[-1] > many[0] == 0.0
