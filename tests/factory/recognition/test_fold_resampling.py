"""Accuracy by folds of weighted pairs: ones give the plain one, twos are pairs given twice."""

from __future__ import annotations

import math

import numpy as np
import pytest

from factory.recognition.fold_resampling import resampled_accuracies, weighted_accuracies
from factory.recognition.resampling import RESAMPLINGS, interval, pair_weights, people_counts
from factory.recognition.verification import fold_accuracy, right_by_folds


def scores(num_people: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Cosines, kinds and people of a genuine and an impostor pair of each person."""
    rng = np.random.default_rng(seed)
    same, first = np.arange(2 * num_people) % 2 == 0, np.arange(2 * num_people) // 2
    second = np.where(same, first, (first + 1) % num_people)
    return np.clip(rng.normal(0.3 * same, 0.2), -1, 1), same, first, second


def test_weights_of_one_give_the_plain_accuracy():
    cosines, same, _, _ = scores(100)
    right, folds = right_by_folds(cosines, same, 10)
    found = weighted_accuracies(right, folds, np.ones((2, 200)))
    assert found == pytest.approx([fold_accuracy(cosines, same, 10)[0]] * 2, abs=1e-12)


def test_each_pair_is_told_at_the_threshold_that_is_best_on_the_other_folds():
    """In plain Python; the folds are five pairs of pairs in order."""
    cosines, same, _, _ = scores(10)
    right, folds = right_by_folds(cosines, same, 5)
    assert [fold.tolist() for fold in folds] == [list(range(i, i + 4)) for i in range(0, 20, 4)]

    def is_right(pair: int, step: int) -> bool:
        return bool((2 - 2 * cosines[pair] < step * 0.01) == same[pair])

    for fold in range(0, 20, 4):
        others = [pair for pair in range(20) if not fold <= pair < fold + 4]
        hits = [sum(is_right(pair, step) for pair in others) for step in range(400)]
        best = hits.index(max(hits))
        assert right[fold : fold + 4].tolist() == [is_right(p, best) for p in range(fold, fold + 4)]


def test_a_pair_of_weight_two_counts_as_two_and_an_empty_fold_not():
    right, folds = np.array([1, 0, 1, 1, 0, 0], bool), [np.arange(3), np.arange(3, 6)]
    weights = np.array([[1, 2, 1, 1, 0, 3], [1, 2, 1, 0, 0, 0], [0] * 6], float)
    found = weighted_accuracies(right, folds, weights)
    assert found[:2].tolist() == [(2 / 4 + 1 / 4) / 2, 2 / 4]
    assert math.isnan(found[2])


def test_resamplings_are_those_of_people_and_the_same_for_the_same_seed():
    cosines, same, first, second = scores(200)
    found = resampled_accuracies(cosines, same, 10, (first, second), seed=3)
    assert found.shape == (RESAMPLINGS,)
    right, folds = right_by_folds(cosines, same, 10)
    weights = pair_weights(people_counts(200, 3)[7], first, second)
    assert found[7] == pytest.approx(weighted_accuracies(right, folds, weights[None])[0])
    assert np.array_equal(found, resampled_accuracies(cosines, same, 10, (first, second), seed=3))
    other = resampled_accuracies(cosines, same, 10, (first, second), seed=4)
    assert not np.array_equal(found, other)


def test_a_95_percent_interval_has_the_coverage_that_it_states():
    """100 simulated benchmarks; a pair of two people makes it wide rather than narrow."""
    trials = [scores(100, seed) for seed in range(100)]
    truth = float(np.mean([fold_accuracy(cosines, same, 10)[0] for cosines, same, _, _ in trials]))
    inside = []
    for seed, (cosines, same, first, second) in enumerate(trials):
        right, folds = right_by_folds(cosines, same, 10)
        weights = [pair_weights(row, first, second) for row in people_counts(100, seed, 200)]
        bounds = interval(weighted_accuracies(right, folds, np.stack(weights)))
        inside.append(bounds.low <= truth <= bounds.high)
    assert 0.93 <= np.mean(inside) <= 1
