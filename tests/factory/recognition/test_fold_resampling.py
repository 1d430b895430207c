"""Accuracy by folds of weighted pairs: ones give the plain one, twos are pairs given twice."""

from __future__ import annotations

import numpy as np
import pytest

from factory.recognition.fold_resampling import resampled_accuracies, weighted_fold_accuracy
from factory.recognition.resampling import RESAMPLINGS, interval
from factory.recognition.verification import correct_by_threshold, fold_accuracy, folds_of


def scores(num_pairs: int, gap: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    same = np.arange(num_pairs) % 2 == 0
    return np.clip(rng.normal(np.where(same, gap, 0), 0.2), -1, 1), same


def looped(cosines: np.ndarray, same: np.ndarray, folds: list[list[int]], weights) -> float:
    """The same in plain Python, pair by pair."""
    rates = []
    for fold in folds:
        if not sum(weights[i] for i in fold):
            continue
        others = [i for other in folds if other is not fold for i in other]
        best, most = 0, -1.0
        for step in range(400):
            right = sum(weights[i] for i in others if (2 - 2 * cosines[i] < step * 0.01) == same[i])
            if right > most:
                best, most = step, right
        hits = sum(weights[i] for i in fold if (2 - 2 * cosines[i] < best * 0.01) == same[i])
        rates.append(hits / sum(weights[i] for i in fold))
    return sum(rates) / len(rates)


def test_weights_of_one_give_the_plain_accuracy():
    cosines, same = scores(200, 0.4)
    correct, folds = correct_by_threshold(cosines, same), folds_of(same, 10)[0]
    assert weighted_fold_accuracy(correct, folds, np.ones((3, 200))) == pytest.approx(
        [fold_accuracy(cosines, same, 10)[0]] * 3, abs=1e-12
    )


def test_weights_agree_with_a_plain_loop_also_where_a_fold_has_none():
    cosines, same = scores(24, 0.3)
    folds = [list(range(start, start + 6)) for start in range(0, 24, 6)]
    weights = np.random.default_rng(1).integers(0, 3, (5, 24)).astype(float)
    weights[0, 6:12] = 0
    found = weighted_fold_accuracy(
        correct_by_threshold(cosines, same), list(map(np.array, folds)), weights
    )
    wanted = [looped(cosines.tolist(), same.tolist(), folds, row.tolist()) for row in weights]
    assert found == pytest.approx(wanted, abs=1e-12)


def test_an_interval_holds_the_accuracy_and_is_the_same_for_the_same_seed():
    cosines, same = scores(400, 0.4)
    first = np.arange(400) // 2
    people = first, np.where(same, first, (first + 1) % 200)
    found = resampled_accuracies(cosines, same, 10, people, seed=3)
    assert found.shape == (RESAMPLINGS,)
    assert np.array_equal(found, resampled_accuracies(cosines, same, 10, people, seed=3))
    assert not np.array_equal(found, resampled_accuracies(cosines, same, 10, people, seed=4))
    bounds = interval(found)
    assert bounds.low < fold_accuracy(cosines, same, 10)[0] < bounds.high


def test_pairs_of_few_people_tell_less():
    """400 pairs of 20 people instead of 200: errors come in lumps, so the interval is wider."""
    _, same = scores(400, 0.4)
    widths = []
    for num_people in (20, 200):
        first = np.arange(400) // 2 % num_people
        people = first, np.where(same, first, (first + 1) % num_people)
        rng = np.random.default_rng(5)
        shift = rng.normal(0, 0.3, num_people)[first]
        cosines = np.clip(np.where(same, 0.5 + shift, 0) + rng.normal(0, 0.1, 400), -1, 1)
        bounds = interval(resampled_accuracies(cosines, same, 10, people, seed=0))
        widths.append(bounds.high - bounds.low)
    assert widths[0] > 1.5 * widths[1]
