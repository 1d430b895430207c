"""Resampling of people in closed form: counts, weights of pairs, bounds of rates."""

from __future__ import annotations

import numpy as np
import pytest

from factory.recognition.resampling import (
    Interval,
    detectable_difference,
    interval,
    pair_weights,
    people_counts,
    rate_interval,
    rule_of_three,
    wilson,
)


def test_people_are_drawn_as_often_as_there_are_people():
    counts_RP = people_counts(50, seed=0)
    assert counts_RP.shape == (1000, 50)
    assert (counts_RP.sum(1) == 50).all()
    assert counts_RP.mean() == 1.0
    assert counts_RP.var() == pytest.approx(1 - 1 / 50, abs=0.02)  # multinomial
    assert np.array_equal(counts_RP, people_counts(50, seed=0))
    assert not np.array_equal(counts_RP, people_counts(50, seed=1))


def test_a_pair_comes_as_often_as_its_people():
    """Two people's images, repeated as often as they are drawn: the pairs that there are then."""
    counts_P = np.array([2.0, 0.0, 3.0])
    first, second = np.array([0, 0, 0, 2, 1]), np.array([0, 1, 2, 2, 1])
    assert pair_weights(counts_P, first, second).tolist() == [2, 0, 6, 3, 0]


def test_an_interval_is_made_of_central_quantiles():
    found = interval(np.arange(101) / 100, 0.9)
    assert (found.low, found.high) == pytest.approx((0.05, 0.95))
    assert interval(np.array([1.0, np.nan, 1.0])) == Interval(1.0, 1.0)
    assert interval(np.arange(1001) / 1000).low == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("fraction", "count", "low", "high"),
    [
        (0.5, 100, 0.4038, 0.5962),  # p = 1/2: 1/2 +- z/2 / sqrt(n + z^2)
        (0.0, 100, 0.0, 0.0370),  # none of n: z^2 / (n + z^2), the rule of three's order
        (1.0, 102, 0.9637, 1.0),
        (0.2, 10, 0.0567, 0.5098),  # Brown, Cai and DasGupta 2001
    ],
)
def test_bounds_of_a_fraction_are_wilsons(fraction, count, low, high):
    assert wilson(fraction, count) == pytest.approx((low, high), abs=1e-4)


def test_a_rate_without_events_is_bounded_by_the_rule_of_three():
    """With a true rate of 3/n nothing is seen in n trials one time in twenty."""
    assert rule_of_three(300) == 0.01
    assert (1 - rule_of_three(3000)) ** 3000 == pytest.approx(0.05, abs=4e-4)
    assert rate_interval(0, 300) == Interval(0.0, 0.01)
    assert rate_interval(400, 400) == Interval(1 - 3 / 400, 1.0)
    assert rate_interval(0, 2) == rate_interval(0, 0) == Interval(0.0, 1.0)
    assert rate_interval(50, 100) == Interval(*wilson(0.5, 100))


def test_a_difference_of_2_80_errors_is_seen_four_times_of_five():
    assert detectable_difference(0.01) == pytest.approx(0.0280158, abs=1e-6)
