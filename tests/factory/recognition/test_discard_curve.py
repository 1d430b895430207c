"""Error versus discard: closed forms, plain counting, and the bounds of its area."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.recognition.discard_curve import (
    DiscardOrder,
    discard_curve,
    fnmr_by_discard,
    least_area,
    partial_area,
    relative_area,
)
from factory.recognition.pair_scores import PairScores
from factory.recognition.resampling import pair_weights, people_counts, rate_bounds


def scores(quality_N2: np.ndarray, is_error_N: np.ndarray, num_people: int = 20) -> PairScores:
    """Genuine pairs below and above 40 impostor pairs, so that the errors are those below."""
    num = len(is_error_N)
    cosines = np.concatenate([np.where(is_error_N, 0.4, 0.9), np.linspace(0.5, 0.8, 40)])
    people = [str(i % num_people) for i in range(num) for _ in range(2)]
    people += [str((i + offset) % num_people) for i in range(40) for offset in range(2)]
    return PairScores(
        cosines,
        np.arange(num + 40) < num,
        tuple(f"{i}" for i in range(2 * num + 80)),
        tuple(people),
        np.ones(2 * num + 80, bool),
        None,
        np.concatenate([quality_N2, np.zeros((40, 2))]),
    )


def test_steps_are_counts_and_equal_qualities_go_together():
    quality = np.array([3.0, 1, 2, 2, 1, 5])
    is_error = np.array([False, True, True, False, False, False])
    discarded, fnmr = DiscardOrder(quality, is_error).steps(np.ones(6))
    np.testing.assert_allclose(discarded, [0, 2 / 6, 4 / 6, 5 / 6])
    np.testing.assert_allclose(fnmr, [2 / 6, 1 / 4, 0, 0])
    at = fnmr_by_discard(discarded, fnmr, np.array([0, 0.3, 2 / 6, 0.5, 0.99, 1]))
    np.testing.assert_allclose(at, [2 / 6, 2 / 6, 1 / 4, 1 / 4, 0, 0])


def test_weights_count_pairs_more_than_once():
    rng = np.random.default_rng(0)
    quality, is_error = rng.integers(0, 9, 40).astype(float), rng.random(40) < 0.4
    weights = rng.integers(0, 3, 40)
    repeated = DiscardOrder(np.repeat(quality, weights), np.repeat(is_error, weights))
    fractions = np.linspace(0, 1, 30)
    found = DiscardOrder(quality, is_error).steps(weights.astype(float))
    plain = repeated.steps(np.ones(int(weights.sum())))
    np.testing.assert_allclose(
        fnmr_by_discard(*found, fractions), fnmr_by_discard(*plain, fractions)
    )
    assert partial_area(*found, 0.4) == pytest.approx(partial_area(*plain, 0.4))
    assert np.isnan(DiscardOrder(quality, is_error).steps(np.zeros(40))[1]).all()


def test_the_area_is_that_under_the_steps():
    discarded, fnmr = np.array([0, 0.25, 0.5]), np.array([0.4, 0.2, 0.1])
    assert partial_area(discarded, fnmr, 0.2) == pytest.approx(0.4)
    assert partial_area(discarded, fnmr, 0.5) == pytest.approx(0.3)
    assert partial_area(discarded, fnmr, 1.0) == pytest.approx(0.1 + 0.05 + 0.05)


@pytest.mark.parametrize(("fnmr", "largest"), [(0.1, 0.3), (0.4, 0.2), (0.25, 1.0), (0.0, 0.3)])
def test_the_least_area_is_that_of_a_measure_that_knows_all_errors(fnmr, largest):
    """The integral of max(0, (e - r)/(1 - r)), by its midpoints."""
    r = (np.arange(200_000) + 0.5) / 200_000 * largest
    assert least_area(fnmr, largest) == pytest.approx(
        np.maximum(0, (fnmr - r) / (1 - r)).mean(), abs=1e-5
    )
    num = 2000
    errors = np.arange(num) < round(fnmr * num)
    steps = DiscardOrder(np.arange(num, dtype=float), errors).steps(np.ones(num))
    assert partial_area(*steps, largest) == pytest.approx(least_area(fnmr, largest), abs=2e-3)


def test_nothing_but_errors_stays_nothing_but_errors():
    assert least_area(1.0, 0.5) == pytest.approx(1.0)
    assert least_area(1.0, 1.0) == 1.0
    assert relative_area(1.0, 1.0, 0.5) is None
    assert relative_area(0.0, 0.0, 0.5) is None


def test_a_measure_that_knows_all_is_0_and_one_that_knows_nothing_is_1():
    errors = np.arange(400) < 80
    knows = np.repeat(np.where(errors, 0.0, 1.0)[:, None], 2, 1) + np.arange(400)[:, None] / 1e4
    best = discard_curve(scores(knows, errors), "all", 0.3, 0.3)
    assert best.fnmr[0] == pytest.approx(0.2)
    assert best.relative_pauc == pytest.approx(0, abs=0.01)
    assert best.fnmr[20] == 0
    blind = discard_curve(scores(np.ones((400, 2)), errors), "none", 0.3, 0.3)
    assert blind.relative_pauc == pytest.approx(1)
    assert set(blind.fnmr) == {blind.fnmr[0]}
    assert blind.pauc == pytest.approx(0.2)


def test_a_pair_is_as_good_as_its_worse_image_and_the_threshold_stays():
    errors = np.array([True, False, False, False] * 10)
    quality = np.full((40, 2), 9.0)
    quality[0::4, 1] = 1  # the second image of each error
    found = discard_curve(scores(quality, errors), "worse", 0.25, 0.5)
    assert found.fnmr[24] == pytest.approx(0.25)
    assert found.fnmr[25] == 0
    one = scores(quality, errors)
    impostor = np.sort(one.cosine_N[~one.same_N])
    assert found.cosine == impostor[29]  # 10 of 40 are above
    assert found.discarded[25] == pytest.approx(0.25)


def test_images_that_cannot_be_assessed_are_the_worst_and_counted():
    errors = np.array([True] + [False] * 19)
    quality = np.full((20, 2), -5.0)
    quality[0, 0] = np.nan
    found = discard_curve(scores(quality, errors), "q", 0.25, 0.5)
    assert found.num_not_assessed == 1
    assert (found.fnmr[4], found.fnmr[5]) == (pytest.approx(0.05), 0)


def test_the_band_is_of_resampled_people():
    rng = np.random.default_rng(1)
    errors = rng.random(120) < 0.3
    quality = rng.normal(size=(120, 2)) - errors[:, None]
    one = scores(quality, errors)
    found = discard_curve(one, "q", 0.25, 0.4, seed=3)
    first, second, num_people = one.units()
    order = DiscardOrder(quality.min(1), errors)
    steps = [
        order.steps(pair_weights(counts, first, second)[:120])
        for counts in people_counts(num_people, 3)
    ]
    at = [fnmr_by_discard(*s, np.array([0.2]))[0] for s in steps]
    areas = [partial_area(*s, 0.4) for s in steps]
    expected = rate_bounds(found.fnmr[20], float(np.std(at)), 20)
    assert (found.low[20], found.high[20]) == pytest.approx((expected.low, expected.high))
    assert found.pauc_interval is not None
    np.testing.assert_allclose(
        [found.pauc_interval.low, found.pauc_interval.high], np.quantile(areas, [0.025, 0.975])
    )
    few = discard_curve(replace(one, people=("a",) * len(one.people)), "q", 0.25, 0.4)
    assert (few.low, few.high, few.pauc_interval) == ([], [], None)
    assert few.pauc == found.pauc
