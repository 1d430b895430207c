"""Errors of a recognizer by groups of people, all at one threshold (METHODS 7).

ISO/IEC 19795-10:2024 asks for error rates of each demographic group at one operating point, for
shifts of scores, and for failures to acquire. FMR is a matrix, group by group, as strangers of one
group look more alike (NISTIR 8280, Grother, Ngan & Hanaoka 2019). How far groups differ is said by
the largest rate over the geometric mean of all, and over the smallest (NISTIR 8429, Grother 2022),
and of accuracies by their standard deviation and the ratio of the largest error to the smallest
(skewed error ratio: Wang & Deng 2020, "Mitigating bias in face recognition using skewness-aware
reinforcement learning").

Shapes: N pairs, G groups, C cells (a kind of pairs of one or two groups), R resamplings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from factory.recognition.error_rates import bounded, is_measurable, resampled_weights
from factory.recognition.pair_scores import PairScores, scores_of
from factory.recognition.pairs import Pairs
from factory.recognition.resampling import Interval
from factory.recognition.verification import cosine_at_fmr, fold_accuracy

FOLDS = 10
"""Folds of a group's pairs, whose thresholds come from the other folds."""


@dataclass(frozen=True)
class Rate:
    """Errors among comparisons."""

    errors: int
    count: int
    rate: float | None
    """None without any comparison."""
    interval: Interval | None
    """At 95 %, by resampling people; None for fewer than LEAST_PEOPLE people."""


@dataclass(frozen=True)
class Ratios:
    """How far the rates of groups are apart; 1 where all are equal."""

    max_over_geometric_mean: float
    max_over_min: float
    at_least: bool
    """Whether a group without an error counts with the 95 % bound of its rate, so that the true
    ratios are larger."""


@dataclass(frozen=True)
class GroupErrors:
    """One group: its strangers among themselves, and its people's own pairs."""

    num_people: int | None
    num_images: int
    fta: float
    """Failure-to-acquire rate: fraction of its images without an embedding."""
    fmr: Rate
    fnmr: Rate
    genuine_mean: float | None
    """Mean cosine of genuine pairs."""
    genuine_shift: float | None
    """By how much it is above that of all groups."""
    impostor_mean: float | None
    impostor_shift: float | None
    accuracy: float | None
    """Over folds, with thresholds of the group's own (RFW); None for too few pairs."""


@dataclass(frozen=True)
class GroupReport:
    """Errors by group at the threshold whose FMR over all pairs is at most `stated_fmr`."""

    stated_fmr: float
    threshold: float
    counts_failures: bool
    """Whether pairs of images without an embedding count, as non-matches."""
    left_out: int
    """Pairs in which an image has no group, or genuine ones in two groups."""
    fmr: Rate
    """Over all pairs."""
    fnmr: Rate
    groups: dict[str, GroupErrors]
    fmr_matrix: dict[str, dict[str, Rate]]
    fmr_ratios: Ratios | None
    """Of FMR within groups; None unless each has a rate and some has an error."""
    fnmr_ratios: Ratios | None
    accuracy_std: float | None
    """Standard deviation (of a sample) of the groups' accuracies."""
    skewed_error_ratio: float | None
    """Largest error, 1 - accuracy, over the smallest; None where that is 0."""


def group_figures(unit_2ND: np.ndarray, pairs: Pairs) -> dict[str, Any]:
    """Errors by group as plain values, from the unit vectors of the pairs' 2N images.

    Nothing where nobody asks for groups, a note where there are none to give.
    """
    if not pairs.groups:
        return {}
    scores, failures = scores_of(unit_2ND, pairs), pairs.acquired is not None
    found = group_errors(scores, pairs.groups, pairs.group_fmr, count_failures=failures)
    return {"groups": {"note": found} if isinstance(found, str) else asdict(found)}


def group_errors(
    scores: PairScores,
    groups: Sequence[str | None],
    stated_fmr: float,
    *,
    count_failures: bool = False,
    seed: int = 0,
) -> GroupReport | str:
    """Errors by group, of the 2N images; a text says why there are none.

    There are none with fewer than two groups, or with impostor pairs too few for the stated FMR.
    """
    names = sorted({name for name in groups if name is not None})
    if len(names) < 2:
        return f"n/a: {len(names)} groups among the pairs; want two at least"
    pairs = _Pairs.of(scores, groups, names, count_failures=count_failures)
    impostor = pairs.cosine_N[pairs.counts_N & ~scores.same_N]
    if not is_measurable(stated_fmr, len(impostor)):
        return f"n/a: {len(impostor)} impostor pairs are too few for FMR {stated_fmr:g}"
    threshold = cosine_at_fmr(impostor, stated_fmr)
    rates = _rates(pairs, threshold, seed)
    found = {name: _group(pairs, index, rates) for index, name in enumerate(names)}
    std, skewed = spread([group.accuracy for group in found.values()])
    return GroupReport(
        stated_fmr=stated_fmr,
        threshold=threshold,
        counts_failures=count_failures,
        left_out=int((pairs.counts_N & (pairs.cell_N < 0)).sum()),
        fmr=rates[-2],
        fnmr=rates[-1],
        groups=found,
        fmr_matrix={
            name: {other: rates[pairs.impostor_cell(i, j)] for j, other in enumerate(names)}
            for i, name in enumerate(names)
        },
        fmr_ratios=ratios([group.fmr for group in found.values()]),
        fnmr_ratios=ratios([group.fnmr for group in found.values()]),
        accuracy_std=std,
        skewed_error_ratio=skewed,
    )


def ratios(rates: Sequence[Rate]) -> Ratios | None:
    """Largest rate over the geometric mean and over the smallest one.

    A rate of 0 counts with its 95 % bound, at most with the largest rate.
    """
    known = [rate.rate for rate in rates if rate.rate is not None]
    largest = max(known, default=0.0)
    if len(known) < len(rates) or not largest:
        return None
    values = np.array([_at_most(rate, largest) for rate in rates])
    return Ratios(
        max_over_geometric_mean=float(largest / np.exp(np.log(values).mean())),
        max_over_min=float(largest / values.min()),
        at_least=min(known) == 0,
    )


def _at_most(rate: Rate, largest: float) -> float:
    """A rate, or its bound where no error was seen."""
    if rate.rate:
        return rate.rate
    return min(rate.interval.high, largest) if rate.interval else largest


def spread(accuracies: Sequence[float | None]) -> tuple[float | None, float | None]:
    """Standard deviation (of a sample) of accuracies, and their skewed error ratio.

    None where a group has no accuracy, and for a ratio to no error.
    """
    known = np.array([accuracy for accuracy in accuracies if accuracy is not None])
    if len(known) < len(accuracies) or len(known) < 2:
        return None, None
    least = 1 - known.max()
    return float(known.std(ddof=1)), float((1 - known.min()) / least) if least > 0 else None


@dataclass(frozen=True)
class _Pairs:
    """Pairs by cell: impostors of groups i <= j in i*G + j, genuine ones of g in G*G + g."""

    scores: PairScores
    names: list[str]
    group_2N: np.ndarray
    """Number of each image's group, -1 for none."""
    cell_N: np.ndarray
    """-1 for pairs that are left out."""
    cosine_N: np.ndarray
    """-inf where an image has no embedding."""
    counts_N: np.ndarray
    """Whether a pair counts: those without an embedding only where they are asked for."""

    @classmethod
    def of(
        cls,
        scores: PairScores,
        groups: Sequence[str | None],
        names: list[str],
        *,
        count_failures: bool,
    ) -> _Pairs:
        number = {name: index for index, name in enumerate(names)}
        group_2N = np.array([-1 if name is None else number[name] for name in groups])
        low_N = np.minimum(group_2N[0::2], group_2N[1::2])
        high_N = np.maximum(group_2N[0::2], group_2N[1::2])
        count = len(names)
        genuine_N = np.where(low_N == high_N, count * count + low_N, -1)
        cell_N = np.where(scores.same_N, genuine_N, low_N * count + high_N)
        scored_N = scores.is_scored_N
        return cls(
            scores,
            names,
            group_2N,
            np.where(low_N < 0, -1, cell_N),
            np.where(scored_N, scores.cosine_N, -np.inf),
            scored_N | count_failures,
        )

    def impostor_cell(self, i: int, j: int) -> int:
        """The cell of strangers of two groups, in either order."""
        return min(i, j) * len(self.names) + max(i, j)

    def genuine_cell(self, i: int) -> int:
        """The cell of genuine pairs of a group."""
        return len(self.names) ** 2 + i

    def mean(self, rows_N: np.ndarray) -> float | None:
        """Mean cosine of those of these pairs that have one."""
        scored = self.cosine_N[rows_N & self.scores.is_scored_N]
        return float(scored.mean()) if len(scored) else None


def _rates(pairs: _Pairs, threshold: float, seed: int) -> list[Rate]:
    """The rate of every cell, then FMR and FNMR of all pairs."""
    same_N, num_cells = pairs.scores.same_N, len(pairs.names) * (len(pairs.names) + 1)
    wrong_N = (pairs.cosine_N > threshold) != same_N
    # every pair counts in its cell, and among all of its kind
    row = np.flatnonzero(pairs.counts_N)
    cell = np.concatenate([pairs.cell_N[row], num_cells + same_N[row]])
    row = np.concatenate([row, row])[cell >= 0]
    cell = cell[cell >= 0]

    def sums(weight_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = weight_N[row]
        all_C = np.bincount(cell, weights, num_cells + 2)
        return np.bincount(cell, weights * wrong_N[row], num_cells + 2), all_C

    wrong_C, all_C = sums(np.ones(len(same_N)))
    resampled = [sums(weight_N) for weight_N in resampled_weights(pairs.scores, seed)]
    first_N, second_N, _ = pairs.scores.units()
    found = []
    for index in range(num_cells + 2):
        if not all_C[index]:
            found.append(Rate(0, 0, None, None))
            continue
        rows = row[cell == index]
        people = len(np.union1d(first_N[rows], second_N[rows]))
        independent = people if same_N[rows[0]] else people // 2
        rate = float(wrong_C[index] / all_C[index])
        rates_R = np.array([w[index] / n[index] if n[index] else np.nan for w, n in resampled])
        bounds = bounded(rate, rates_R, independent) if resampled else None
        found.append(Rate(int(wrong_C[index]), int(all_C[index]), rate, bounds))
    return found


def _group(pairs: _Pairs, index: int, rates: list[Rate]) -> GroupErrors:
    scores, in_2N = pairs.scores, pairs.group_2N == index
    images = {
        key: ok for key, ok, own in zip(scores.keys, scores.acquired_2N, in_2N, strict=True) if own
    }
    people = {name for name, own in zip(scores.people, in_2N, strict=True) if own}
    strangers, own = pairs.impostor_cell(index, index), pairs.genuine_cell(index)
    genuine, impostor = pairs.mean(pairs.cell_N == own), pairs.mean(pairs.cell_N == strangers)
    return GroupErrors(
        num_people=None if None in people else len(people),
        num_images=len(images),
        fta=1 - sum(map(bool, images.values())) / len(images),
        fmr=rates[strangers],
        fnmr=rates[own],
        genuine_mean=genuine,
        genuine_shift=_shift(genuine, pairs.mean(scores.same_N)),
        impostor_mean=impostor,
        impostor_shift=_shift(impostor, pairs.mean(~scores.same_N)),
        accuracy=_accuracy(pairs, (pairs.cell_N == own) | (pairs.cell_N == strangers)),
    )


def _shift(mean: float | None, of_all: float | None) -> float | None:
    return None if mean is None or of_all is None else mean - of_all


def _accuracy(pairs: _Pairs, in_N: np.ndarray) -> float | None:
    """Accuracy over folds of a group's pairs; None where a fold would lack a kind of them."""
    in_N = in_N & pairs.counts_N
    same_N = pairs.scores.same_N[in_N]
    if min(same_N.sum(), (~same_N).sum()) < FOLDS:
        return None
    return fold_accuracy(pairs.cosine_N[in_N], same_N, FOLDS)[0]
