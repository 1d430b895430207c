"""How far the accuracy by folds is known: thresholds and folds again, with people resampled.

Each resampling gives every pair a weight (recognition/resampling.py). The threshold of a fold is
that which is best on the other folds by weight, and its accuracy is the mean by weight, so weights
of one give `verification.fold_accuracy`.

Shapes: N pairs, F folds, T thresholds, R resamplings.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from factory.recognition.resampling import pair_weights, people_counts
from factory.recognition.verification import correct_by_threshold, folds_of

AT_ONCE = 100
"""Resamplings that are computed together."""


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
    counts_RP = people_counts(1 + int(max(first_N.max(), second_N.max())), seed)
    correct_NT = correct_by_threshold(cosines_N, same_N)
    folds = folds_of(same_N, num_folds)[0]
    parts = [
        weighted_fold_accuracy(
            correct_NT, folds, np.stack([pair_weights(row_P, first_N, second_N) for row_P in rows])
        )
        for rows in _parts(counts_RP)
    ]
    return np.concatenate(parts)


def weighted_fold_accuracy(
    correct_NT: np.ndarray, folds: list[np.ndarray], weights_RN: np.ndarray
) -> np.ndarray:
    """Mean over folds of the accuracy at a threshold from the other folds [R], by weight.

    A fold without weight in a resampling is left out of its mean.
    """
    hits_FRT = np.stack([weights_RN[:, f] @ correct_NT[f].astype(np.float64) for f in folds])
    sizes_FR = np.stack([weights_RN[:, fold].sum(1) for fold in folds])
    others_FRT = hits_FRT.sum(0) - hits_FRT
    best_FR1 = others_FRT.argmax(2)[:, :, None]
    hits_FR = np.take_along_axis(hits_FRT, best_FR1, 2)[:, :, 0]
    rates_FR = hits_FR / np.maximum(sizes_FR, 1)
    return np.asarray(rates_FR.sum(0) / np.maximum((sizes_FR > 0).sum(0), 1))


def _parts(counts_RP: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(counts_RP), AT_ONCE):
        yield counts_RP[start : start + AT_ONCE]
