"""Tails of cosines where they are known in closed form: on spheres."""

from __future__ import annotations

import numpy as np
import pytest

from factory.identities.cosine_tail import GROUPS, CosineTail, Fit, fit_tail
from tests.vectors import unit_rows


def sphere_rate(cosine: float, dim: int) -> float:
    """P(cosine > c) of independent directions, by the plain integral over the angle."""
    angle = np.linspace(0, np.pi, 200_001)
    density = np.sin(angle) ** (dim - 2)
    return float(density[angle < np.arccos(cosine)].sum() / density.sum())


def fitted(seed: int, count: int, dim: int, fraction: float) -> CosineTail:
    unit_ND = unit_rows(seed, count, dim)
    row_P, column_P = np.triu_indices(count, 1)
    cosine_P = (unit_ND @ unit_ND.T)[row_P, column_P]
    top_P = np.argsort(-cosine_P)[: int(fraction * len(cosine_P))]
    groups = np.arange(count) * GROUPS // count
    return fit_tail(cosine_P[top_P], len(cosine_P), groups[row_P[top_P]], groups[column_P[top_P]])


@pytest.mark.parametrize("threshold", [0.3, 0.8])
def test_on_a_sphere_of_three_dimensions_cosines_are_uniform(threshold):
    """Archimedes: P(cosine > c) = (1 - c) / 2, so above c0 it falls as 1 - c."""
    tail = Fit(threshold, 1e-3, 3.0)
    for cosine in (0.85, 0.99, 1 - 1e-6):
        expected = 1e-3 * (1 - cosine) / (1 - threshold)
        assert np.exp(tail.log_rate(cosine)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("dim", [8, 64, 512])
def test_a_fit_of_the_true_dimension_is_the_law_of_the_sphere(dim):
    """Far below any number of pairs, without underflow."""
    low, high = 0.35, 0.6
    tail = Fit(low, sphere_rate(low, dim), dim)
    assert np.exp(tail.log_rate(high)) == pytest.approx(sphere_rate(high, dim), rel=2e-3)
    assert Fit(low, 1e-9, 5000.0).log_rate(0.9) < -1000


def test_the_dimension_of_a_sphere_is_found_and_its_rate_within_the_stated_error():
    """16 samples of 1,200 people, extrapolated from 1e-3 to 1e-5.

    The distances in standard errors have about the unit variance that they claim.
    """
    dim, cosine = 24, 0.745
    tails = [fitted(seed, 1200, dim, 1e-3) for seed in range(16)]
    assert np.mean([tail.fit.num_dims for tail in tails]) == pytest.approx(dim, rel=0.03)
    true = sphere_rate(cosine, dim)
    assert 5e-6 < true < 2e-5
    away = [np.log(tail.rate(cosine) / true) / tail.error(cosine) for tail in tails]
    assert 0.6 < np.sqrt(np.mean(np.square(away))) < 1.5
    assert abs(np.mean(away)) < 0.75  # three standard errors of a mean of 16
    assert np.mean([tail.error(cosine) for tail in tails]) < 0.35


def test_the_cosine_of_a_rate_has_that_rate():
    tail = fitted(0, 800, 16, 1e-3)
    for rate in (1e-4, 1e-7, 1e-12):
        assert tail.rate(tail.cosine(rate)) == pytest.approx(rate, rel=1e-6)
    assert tail.cosine(0.5) == pytest.approx(tail.fit.threshold)


def test_without_a_pair_nothing_is_claimed():
    nobody = np.empty(0)
    tail = fit_tail(nobody, 100, nobody)
    assert tail.rate(0.5) == 0.0
    assert tail.error(0.5) == np.inf


def test_a_group_is_left_out_with_all_of_its_pairs():
    """The first or the second person may be of it: (15/16)^2 of all pairs stay, else 15/16."""
    cosine_P, first = np.array([0.5, 0.6, 0.7, 0.8]), np.array([0, 1, 2, 3])
    second = np.array([1, 1, 2, 0])
    both = fit_tail(cosine_P, 1000, first, second)
    without_0 = fit_tail(cosine_P[1:3], 1000, first[1:3]).fit
    assert both.left_out[0].rate == pytest.approx(2 / (1000 * (15 / 16) ** 2))
    assert both.left_out[1].rate == pytest.approx(2 / (1000 * (15 / 16) ** 2))
    assert both.left_out[5].rate == pytest.approx(4 / (1000 * (15 / 16) ** 2))
    assert both.left_out[0].num_dims != without_0.num_dims  # the threshold stays that of all
    one = fit_tail(cosine_P, 1000, first)
    assert one.left_out[1].rate == pytest.approx(3 / (1000 * 15 / 16))


def test_cosines_below_zero_are_no_tail():
    some = np.array([-0.5, -0.1, 0.2, 0.3, 0.4])
    tail = fit_tail(some, 100, np.arange(5), np.arange(5))
    assert tail.fit == fit_tail(some[2:], 100, np.arange(3)).fit
    assert (tail.fit.threshold, tail.fit.rate) == (0.2, 0.03)
    assert fit_tail(some[:2], 100, np.arange(2)).rate(0.5) == 0


def test_pairs_that_share_a_person_are_no_independent_evidence():
    """Every top pair holds one of 20 people of a single group: without it nothing is left."""
    cosine_P = np.linspace(0.5, 0.9, 100)
    spread = fit_tail(cosine_P, 10_000, np.arange(100) % GROUPS)
    shared = fit_tail(cosine_P, 10_000, np.where(np.arange(100) < 90, 3, np.arange(100) % GROUPS))
    assert shared.error(0.7) > 5 * spread.error(0.7)
