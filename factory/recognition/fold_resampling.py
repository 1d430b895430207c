"""How far the accuracy by folds is known: the same pairs and thresholds, with people resampled.

Each resampling gives every pair a weight (recognition/resampling.py), and a fold's accuracy is the
mean by weight of its pairs told rightly at the fold's threshold. Thresholds stay those of all
pairs: chosen anew in every resampling they fit to fewer pairs, and on simulated scores intervals of
95 % then covered 100 % of 600 trials, 1.3 times as wide; so they cover 95 to 99 %.

Shapes: N pairs, F folds, P people, R resamplings.
"""

from __future__ import annotations

import numpy as np

from factory.recognition.resampling import pair_weights, people_counts
from factory.recognition.verification import right_by_folds


def resampled_accuracies(
    cosines_N: np.ndarray,
    same_N: np.ndarray,
    num_folds: int,
    people_NN: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> np.ndarray:
    """Accuracy by folds in each resampling of the people of the pairs [R], a fraction.

    `people_NN` are those of the first and of the second images, from 0 without gaps.
    """
    first_N, second_N = people_NN
    right_N, folds = right_by_folds(cosines_N, same_N, num_folds)
    counts_RP = people_counts(1 + int(max(first_N.max(), second_N.max())), seed)
    weights_RN = np.stack([pair_weights(counts_P, first_N, second_N) for counts_P in counts_RP])
    return weighted_accuracies(right_N, folds, weights_RN)


def weighted_accuracies(
    right_N: np.ndarray, folds: list[np.ndarray], weights_RN: np.ndarray
) -> np.ndarray:
    """Mean over folds of the fraction of pairs told rightly, by weight [R].

    Folds without weight are left out; NaN where all are.
    """
    sizes_FR = np.stack([weights_RN[:, fold].sum(1) for fold in folds])
    hits_FR = np.stack([weights_RN[:, fold] @ right_N[fold].astype(np.float64) for fold in folds])
    rates_FR = hits_FR / np.maximum(sizes_FR, 1)
    num_folds_R = (sizes_FR > 0).sum(0)
    means_R = rates_FR.sum(0) / np.maximum(num_folds_R, 1)
    return np.where(num_folds_R > 0, means_R, np.nan)
