"""Cosines of pairs in every resampling of their people, as counts of genuine and impostor pairs.

All figures of verification follow from how many pairs of each kind have which cosine, so a
resampling is two histograms, and resamplings are rows of two matrices:

- `ListedPairs`: pairs as a protocol lists them, exactly. Bins are the distinct cosines (at most
  MAX_BINS, else equal ones); a pair of two people has the product of both counts as its weight.
- `AllPairs`: all pairs of a set, up to some 10^7, in BINS equal bins. Each person keeps two rows,
  the pairs of the own images and those with others, so a resampling is a product of matrices:
  `genuine_RB = C_RP G_PB`, and to first order in `C - 1` (Hoeffding's projection)
  `impostor_RB = sum_P M_PB/2 + (C_RP - 1) M_PB`: weight `c_p + c_q - 1` for `c_p*c_q`. What is left
  out, `(c_p - 1)*(c_q - 1)`, is noise of single pairs that the product counts too often. Memory
  2*P*BINS*4 bytes, time P*BINS*R, whatever the number of pairs.

Shapes: N images or pairs, P people, B bins, R resamplings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from factory.recognition.resampling import RESAMPLINGS, pair_weights, people_counts

BINS = 2048
"""Bins of all pairs of a set: .001 of cosine each."""
MAX_BINS = 20000
"""Most distinct cosines of listed pairs that are bins of their own."""
AT_ONCE = 50
"""Resamplings that are computed together."""
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class ScoreCounts:
    """How often genuine and impostor pairs have each of the cosines, resampling by resampling."""

    cosine_B: np.ndarray
    """Ascending."""
    genuine_RB: np.ndarray
    impostor_RB: np.ndarray


@dataclass(frozen=True)
class ListedPairs:
    """Cosines [N] of pairs, whether each is of one person, and who is in it (numbers from 0)."""

    cosines_N: np.ndarray
    same_N: np.ndarray
    first_N: np.ndarray
    second_N: np.ndarray

    @property
    def num_people(self) -> int:
        """How many people there are, or pairs where people are not known."""
        return int(max(self.first_N.max(), self.second_N.max())) + 1

    @property
    def num_units(self) -> int:
        """Independent trials at least: people with a genuine pair, or half those with others."""
        genuine = len(np.unique(self.first_N[self.same_N]))
        first, second = self.first_N[~self.same_N], self.second_N[~self.same_N]
        alone = bool((first == second).all())  # pairs stand for people that are not known
        return min(genuine, len(np.union1d(first, second)) // (1 if alone else 2))

    def weights(self, counts_RP: np.ndarray) -> np.ndarray:
        """How often each pair comes in each resampling [R, N]."""
        return pair_weights(counts_RP, self.first_N, self.second_N)

    def resampled(self, seed: int, count: int = RESAMPLINGS) -> Iterator[ScoreCounts]:
        """The pairs in each resampling, AT_ONCE at a time."""
        value_B, bin_N = np.unique(self.cosines_N, return_inverse=True)
        if len(value_B) > MAX_BINS:
            value_B = (np.arange(MAX_BINS) + 0.5) * 2 / MAX_BINS - 1
            bin_N = _bins(self.cosines_N, MAX_BINS)
        order_N = np.argsort(bin_N, kind="stable")
        genuine_N, bin_N = self.same_N[order_N], bin_N[order_N]
        starts = np.flatnonzero(np.diff(bin_N, prepend=-1))
        counts_RP = people_counts(self.num_people, seed, count)
        for start in range(0, count, AT_ONCE):
            weight_RN = self.weights(counts_RP[start : start + AT_ONCE])[:, order_N]
            yield ScoreCounts(
                value_B[bin_N[starts]],
                np.add.reduceat(weight_RN * genuine_N, starts, axis=1),
                np.add.reduceat(weight_RN * ~genuine_N, starts, axis=1),
            )


@dataclass(frozen=True)
class AllPairs:
    """Pairs of a set by bin of their cosine: each person's own, and those with others."""

    genuine_PB: np.ndarray
    impostor_PB: np.ndarray
    """A pair of two people counts for both."""

    @classmethod
    def of(cls, unit_ND: np.ndarray, labels_N: np.ndarray) -> AllPairs:
        """All pairs of a set of unit vectors, once each."""
        person_N = np.unique(labels_N, return_inverse=True)[1]
        num_people = int(person_N.max(initial=-1)) + 1
        genuine, impostor = _tables(unit_ND, person_N, unit_ND, person_N, num_people)
        itself_N = np.einsum("nd,nd->n", unit_ND, unit_ND)
        np.subtract.at(genuine, (person_N, _bins(itself_N, BINS)), 1)
        return cls(genuine / 2, impostor)

    @classmethod
    def between(
        cls, unit_ND: np.ndarray, labels_N: np.ndarray, unit_MD: np.ndarray, labels_M: np.ndarray
    ) -> AllPairs:
        """Each vector of one set with each of another, by labels that both share."""
        both = np.unique(np.concatenate([labels_N, labels_M]), return_inverse=True)[1]
        one, two, num_people = both[: len(labels_N)], both[len(labels_N) :], int(both.max()) + 1
        genuine, of_one = _tables(unit_ND, one, unit_MD, two, num_people)
        _, of_two = _tables(unit_MD, two, unit_ND, one, num_people)
        return cls(genuine, of_one + of_two)

    @property
    def num_people(self) -> int:
        """How many people there are."""
        return len(self.genuine_PB)

    @cached_property
    def num_units(self) -> int:
        """Independent trials at least: people with a genuine pair, or half those with others."""
        return min(int(self.genuine_PB.any(1).sum()), self.num_strangers // 2)

    @cached_property
    def num_strangers(self) -> int:
        """People who are in a pair of two."""
        return int(self.impostor_PB.any(1).sum())

    def resampled(self, seed: int, count: int = RESAMPLINGS) -> Iterator[ScoreCounts]:
        """The pairs in each resampling, AT_ONCE at a time."""
        value_B = (np.arange(BINS) + 0.5) * 2 / BINS - 1
        all_B = self.impostor_PB.sum(0, dtype=np.float64) / 2
        counts_RP = people_counts(self.num_people, seed, count).astype(np.float32)
        for start in range(0, count, AT_ONCE):
            counts = counts_RP[start : start + AT_ONCE]
            impostor_RB = all_B + (counts - 1) @ self.impostor_PB
            yield ScoreCounts(value_B, counts @ self.genuine_PB, impostor_RB)


def _tables(
    unit_ND: np.ndarray,
    person_N: np.ndarray,
    unit_MD: np.ndarray,
    person_M: np.ndarray,
    num_people: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of all rows and columns by the row's person, of one person and of two, [P, B] each."""
    order_N = np.argsort(person_N, kind="stable")
    genuine = np.zeros((num_people, BINS), np.float32)
    impostor = np.zeros((num_people, BINS), np.float32)
    for start in range(0, len(order_N), ROWS_AT_ONCE):
        rows = order_N[start : start + ROWS_AT_ONCE]
        own_B, bin_BM = person_N[rows], _bins(unit_ND[rows] @ unit_MD.T, BINS)
        first, last = int(own_B[0]), int(own_B[-1]) + 1
        place_BM = (own_B - first)[:, None] * BINS + bin_BM
        same_BM = own_B[:, None] == person_M
        for table, chosen in ((genuine, same_BM), (impostor, ~same_BM)):
            counts = np.bincount(place_BM[chosen], minlength=(last - first) * BINS)
            table[first:last] += counts.reshape(last - first, BINS)
    return genuine, impostor


def _bins(cosines: np.ndarray, num_bins: int) -> np.ndarray:
    """The bin of each cosine among equal ones from -1 to 1."""
    return np.clip(((cosines + 1) * (num_bins / 2)).astype(np.int64), 0, num_bins - 1)
