"""FMR and FNMR against plain counting, and their bands against plain resampling."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.recognition.error_rates import (
    SortedPairs,
    bounded,
    curve_fmrs,
    error_rates,
    failure_to_acquire,
    independent_pairs,
    is_measurable,
    resampled_weights,
)
from factory.recognition.pair_scores import PairScores
from factory.recognition.resampling import (
    Interval,
    pair_weights,
    people_counts,
    rate_bounds,
)
from factory.recognition.verification import cosine_at_fmr, tar_at_far


def scores(seed: int = 0, num_people: int = 15, num_pairs: int = 200) -> PairScores:
    """Pairs of people; cosines are rounded, so that there are ties."""
    rng = np.random.default_rng(seed)
    same = rng.random(num_pairs) < 0.5
    first = rng.integers(num_people, size=num_pairs)
    other = (first + rng.integers(1, num_people, size=num_pairs)) % num_people
    second = np.where(same, first, other)
    cosines = np.round(rng.normal(0.4 * same, 0.2), 2)
    people = np.stack([first, second], 1).reshape(-1)
    keys = tuple(f"{p}/{i}" for i, p in enumerate(people))
    names = tuple(str(p) for p in people)
    return PairScores(cosines, same, keys, names, np.ones(2 * num_pairs, bool))


def counted(cosines: np.ndarray, weights: np.ndarray, threshold: float) -> float:
    """Share of weights above a threshold, in a loop."""
    above = sum(w for c, w in zip(cosines, weights, strict=True) if c > threshold)
    return above / sum(weights)


def fnmr_at(one: PairScores, weights: np.ndarray, fmr: float) -> float:
    """FNMR at the smallest impostor cosine with at most such an FMR, by trying all."""
    impostor, genuine = one.cosine_N[~one.same_N], one.cosine_N[one.same_N]
    w_impostor, w_genuine = weights[~one.same_N], weights[one.same_N]
    allowed = [t for t in impostor if counted(impostor, w_impostor, t) <= fmr + 1e-9]
    return 1 - counted(genuine, w_genuine, min(allowed))


def test_rates_at_thresholds_are_counts():
    one, rng = scores(), np.random.default_rng(1)
    pairs = SortedPairs(one.cosine_N, one.same_N)
    thresholds = np.array([-1.0, -0.2, 0.11, 0.4, 1.0])
    for weights in (np.ones(200), rng.integers(0, 4, 200).astype(float)):
        fmr, fnmr = pairs.rates_at(thresholds, weights)
        for row, t in enumerate(thresholds):
            kinds = [(one.cosine_N[k], weights[k]) for k in (~one.same_N, one.same_N)]
            assert fmr[row] == pytest.approx(counted(*kinds[0], t))
            assert fnmr[row] == pytest.approx(1 - counted(*kinds[1], t))


def test_fnmr_at_a_rate_is_that_of_the_lowest_threshold_that_keeps_it():
    one, rng = scores(2), np.random.default_rng(1)
    pairs, fmrs = SortedPairs(one.cosine_N, one.same_N), np.array([0, 0.01, 0.1, 0.37, 1.0])
    for weights in (np.ones(200), rng.integers(0, 3, 200).astype(float)):
        expected = [fnmr_at(one, weights, fmr) for fmr in fmrs]
        np.testing.assert_allclose(pairs.fnmr_at(fmrs, weights), expected)


def test_unweighted_rates_agree_with_tar_at_far():
    one = scores(3)
    genuine, impostor = one.cosine_N[one.same_N], one.cosine_N[~one.same_N]
    pairs = SortedPairs(one.cosine_N, one.same_N)
    for far in (0.1, 0.01, 0.25):
        found = pairs.fnmr_at(np.array([far]), np.ones(200))[0]
        assert found == pytest.approx(1 - tar_at_far(genuine, impostor, far))


def test_kinds_without_weight_have_no_rate():
    one = scores()
    pairs = SortedPairs(one.cosine_N, one.same_N)
    assert np.isnan(pairs.fnmr_at(np.array([0.1]), one.same_N.astype(float)))
    fmr, fnmr = pairs.rates_at(np.array([0.1]), (~one.same_N).astype(float))
    assert np.isfinite(fmr)
    assert np.isnan(fnmr)


def test_intervals_and_bands_are_of_the_deviation_over_resampled_people():
    """A plain loop over 1,000 resamplings of people."""
    one = scores(4, num_people=30, num_pairs=300)
    found = error_rates(one, seed=7)
    (at,) = found.thresholds
    first, second, num_people = one.units()
    pairs, near = SortedPairs(one.cosine_N, one.same_N), len(found.curve.fmr) - 8
    rates, at_fmr = [], []
    for counts in people_counts(num_people, 7):
        weights = pair_weights(counts, first, second)
        kinds = [(one.cosine_N[k], weights[k]) for k in (~one.same_N, one.same_N)]
        rates.append([counted(*kinds[0], at.cosine), 1 - counted(*kinds[1], at.cosine)])
        at_fmr.append(pairs.fnmr_at(np.array([found.curve.fmr[near]]), weights)[0])
    strangers = len(np.union1d(first[~one.same_N], second[~one.same_N])) // 2
    units = (strangers, len(np.unique(first[one.same_N])))
    assert units == independent_pairs(one)
    spread = np.array(rates).std(0)
    found_at = [(at.fmr, at.fmr_interval), (at.fnmr, at.fnmr_interval)]
    for (rate, span), error, count in zip(found_at, spread, units, strict=True):
        expected = rate_bounds(rate, error, count)
        assert span is not None
        assert (span.low, span.high) == pytest.approx((expected.low, expected.high))
    curve = pairs.fnmr_at(np.array(found.curve.fmr), np.ones(300))
    np.testing.assert_allclose(found.curve.fnmr, curve)
    expected = rate_bounds(found.curve.fnmr[near], float(np.std(at_fmr)), units[1])
    assert found.curve.low[near] == pytest.approx(expected.low)
    assert found.curve.high[near] == pytest.approx(expected.high)


def test_a_threshold_needs_ten_false_matches():
    assert is_measurable(0.01, 1000)
    assert not is_measurable(0.01, 999)
    impostor = np.linspace(-1, 1, 1000)
    names = tuple(f"{i}" for i in range(2000))
    people = tuple(str(i % 40) for i in range(2000))
    same = np.arange(1000) < 0
    cosines, same = np.append(impostor, [0.9, 0.99]), np.append(same, [True, True])
    more = ("a", "b", "c", "d"), ("1", "1", "2", "2")
    one = PairScores(cosines, same, names + more[0], people + more[1], np.ones(2004, bool))
    found = error_rates(one).thresholds
    assert [t.wanted_fmr for t in found] == [0.1, 0.01]
    assert [t.fmr for t in found] == [0.1, 0.01]
    assert [t.cosine for t in found] == [
        cosine_at_fmr(impostor, 0.1),
        cosine_at_fmr(impostor, 0.01),
    ]
    assert [t.fnmr for t in found] == [0.0, 0.5]


def test_a_rate_at_its_end_has_the_bound_of_the_rule_of_three():
    values = np.zeros(9)
    assert bounded(0.0, values, 60) == Interval(0.0, 0.05)
    assert bounded(1.0, values, 60) == Interval(0.95, 1.0)
    inside, expected = bounded(0.5, np.array([0.4, 0.6, np.nan]), 60), rate_bounds(0.5, 0.1, 60)
    assert (inside.low, inside.high) == pytest.approx((expected.low, expected.high))
    assert bounded(0.5, values, 9) == Interval(0.0, 1.0)
    one = replace(scores(), people=tuple("abcc" * 100))
    assert independent_pairs(replace(one, same_N=np.tile([False, True], 100))) == (1, 1)


def test_few_people_have_no_interval():
    few = scores(num_people=9)
    assert list(resampled_weights(few, 0)) == []
    found = error_rates(few)
    assert found.num_people == 9
    assert (found.curve.low, found.curve.high) == ([], [])
    assert found.curve.fnmr
    assert len(list(resampled_weights(scores(num_people=10), 0))) == 1000


def test_unknown_people_are_pairs_by_themselves():
    unknown = replace(scores(), people=(None,) * 400)
    found = error_rates(unknown)
    assert independent_pairs(unknown) == (found.num_impostor, found.num_genuine)
    assert found.num_people is None
    assert found.curve.low


def test_failures_to_acquire_are_images_and_count_in_no_other_rate():
    one = scores()
    keys = (*one.keys[:398], one.keys[0], one.keys[399])
    acquired = np.ones(400, bool)
    acquired[[0, 398, 5]] = False  # one of them twice
    lost = replace(one, keys=keys, acquired_2N=acquired, cosine_N=one.cosine_N.copy())
    assert failure_to_acquire(lost) == pytest.approx(2 / 399)
    lost.cosine_N[~lost.is_scored_N] = np.nan
    found = error_rates(lost)
    assert found.fta == pytest.approx(2 / 399)
    assert found.num_images == 399
    assert found.num_genuine + found.num_impostor == 197
    assert failure_to_acquire(one) == 0


def test_a_curve_goes_from_one_false_match_to_all():
    fmrs = curve_fmrs(1000)
    assert fmrs[0] == pytest.approx(1e-3)
    assert fmrs[-1] == 1
    assert len(fmrs) == 73
    np.testing.assert_allclose(np.diff(np.log10(fmrs)), 1 / 24)
    assert len(curve_fmrs(1)) == 2
