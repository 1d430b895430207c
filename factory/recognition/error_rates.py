"""FMR and FNMR of verification pairs over thresholds, with intervals over people (METHODS 7).

The words are those of ISO/IEC 19795-1:2021: false match rate (FMR), false non-match rate (FNMR),
failure-to-acquire rate (FTA), detection error trade-off (DET). A pair is a match when its cosine is
above the threshold. Bands are pointwise: at each FMR the FNMR of resampled people, each with the
threshold that has this FMR in it (vertical averaging: Fawcett 2006, "An introduction to ROC
analysis", section 8).

Shapes: N pairs, G genuine ones, I impostors, K thresholds or rates, P people, R resamplings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from factory.recognition.pair_scores import PairScores
from factory.recognition.resampling import (
    LEAST_PEOPLE,
    Interval,
    pair_weights,
    people_counts,
    rate_bounds,
    rule_of_three,
)
from factory.recognition.verification import cosine_at_fmr

WANTED_FMRS = tuple(10.0**-power for power in range(1, 7))
IMPOSTORS_PER_ERROR = 10
"""False matches that an FMR must stand for, so that its threshold is more than chance."""
POINTS_A_DECADE = 24
"""Points of a curve for each tenfold FMR."""
ROUNDING, DIGITS = 1e-9, 12
"""What sums of weights may be off by, and digits that are left of a difference."""


@dataclass(frozen=True)
class Threshold:
    """A cosine above which a pair is a match, and the errors at it, at 95 %."""

    wanted_fmr: float
    cosine: float
    fmr: float
    fmr_interval: Interval | None
    """None for fewer than LEAST_PEOPLE people, as are all intervals and bands."""
    fnmr: float
    fnmr_interval: Interval | None


@dataclass(frozen=True)
class ErrorCurve:
    """FNMR at each FMR, and its pointwise band at 95 %; the DET curve, or the ROC as 1 - FNMR."""

    fmr: list[float]
    fnmr: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class ErrorRates:
    """Errors of a recognizer on pairs."""

    num_genuine: int
    num_impostor: int
    num_people: int | None
    """None where nobody knows the people; then pairs are resampled."""
    num_images: int
    fta: float
    """Failure-to-acquire rate: fraction of images without an embedding. Their pairs count in no
    other rate."""
    thresholds: list[Threshold]
    curve: ErrorCurve


class SortedPairs:
    """Pairs ordered once by their cosines, whose rates are then counted under any weights."""

    def __init__(self, cosine_N: np.ndarray, same_N: np.ndarray) -> None:
        order_N = np.argsort(cosine_N, kind="stable")
        self.genuine_G = order_N[same_N[order_N]]
        self.impostor_I = order_N[~same_N[order_N]]
        """Rows of the pairs of each kind, by rising cosine."""
        self._genuine, self._impostor = cosine_N[self.genuine_G], cosine_N[self.impostor_I]
        self._not_above_I = np.searchsorted(self._impostor, self._impostor, side="right")

    def rates_at(
        self, threshold_K: np.ndarray, weight_N: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """FMR and FNMR [K] at thresholds; NaN for a kind whose pairs have no weight."""
        not_above_K = _share_at_most(threshold_K, self._impostor, weight_N[self.impostor_I])
        fnmr_K = _share_at_most(threshold_K, self._genuine, weight_N[self.genuine_G])
        return np.round(1 - not_above_K, DIGITS), fnmr_K

    def fnmr_at(self, fmr_K: np.ndarray, weight_N: np.ndarray) -> np.ndarray:
        """FNMR [K] at the smallest cosine that a share of at most `fmr_K` of impostors exceeds."""
        sums = _running(weight_N[self.impostor_I])
        if not len(self._impostor) or not sums[-1]:
            return np.full(len(fmr_K), np.nan)
        above_I = 1 - sums[self._not_above_I] / sums[-1]
        row_K = np.searchsorted(-above_I, -fmr_K - ROUNDING, side="left")
        row_K = np.minimum(row_K, len(above_I) - 1)
        return _share_at_most(self._impostor[row_K], self._genuine, weight_N[self.genuine_G])


def error_rates(scores: PairScores, seed: int = 0) -> ErrorRates:
    """All rates of pairs; there must be scored pairs of both kinds.

    Thresholds are those of WANTED_FMRS that there are impostors enough for, IMPOSTORS_PER_ERROR
    false matches at least.
    """
    scored = scores.is_scored_N
    cosine_N, same_N = scores.cosine_N[scored], scores.same_N[scored]
    pairs, impostor = SortedPairs(cosine_N, same_N), cosine_N[~same_N]
    wanted_K = np.array([fmr for fmr in WANTED_FMRS if is_measurable(fmr, len(impostor))])
    threshold_K = np.array([cosine_at_fmr(impostor, fmr) for fmr in wanted_K])
    fmr_C, independent = curve_fmrs(len(impostor)), independent_pairs(scores)
    at_thresholds, at_fmrs = [], []
    for weight_N in resampled_weights(scores, seed):
        at_thresholds.append(pairs.rates_at(threshold_K, weight_N[scored]))
        at_fmrs.append(pairs.fnmr_at(fmr_C, weight_N[scored]))
    whole = np.ones(len(cosine_N))
    rates_2K, fnmr_C = pairs.rates_at(threshold_K, whole), pairs.fnmr_at(fmr_C, whole)
    people = {name for name in scores.people if name is not None}
    return ErrorRates(
        num_genuine=int(same_N.sum()),
        num_impostor=len(impostor),
        num_people=len(people) or None,
        num_images=len(set(scores.keys)),
        fta=failure_to_acquire(scores),
        thresholds=[
            Threshold(
                wanted_fmr=float(wanted_K[row]),
                cosine=float(threshold_K[row]),
                fmr=rate[0],
                fmr_interval=spans[0],
                fnmr=rate[1],
                fnmr_interval=spans[1],
            )
            for row, (rate, spans) in enumerate(_with_spans(rates_2K, at_thresholds, independent))
        ],
        curve=_curve(fmr_C, fnmr_C, at_fmrs, independent[1]),
    )


def is_measurable(fmr: float, num_impostor: int) -> bool:
    """Whether an FMR stands for at least IMPOSTORS_PER_ERROR false matches."""
    return fmr * num_impostor >= IMPOSTORS_PER_ERROR - ROUNDING


def curve_fmrs(num_impostor: int) -> np.ndarray:
    """FMRs of a curve [K], rising: from a single false match to 1, evenly on a logarithmic axis."""
    decades = np.log10(num_impostor)
    return np.asarray(np.logspace(-decades, 0, max(2, round(POINTS_A_DECADE * decades) + 1)))


def resampled_weights(scores: PairScores, seed: int) -> Iterator[np.ndarray]:
    """The weight of every pair [N] in each resampling of people; none for too few people."""
    first_N, second_N, num_people = scores.units()
    if num_people < LEAST_PEOPLE:
        return
    for counts_P in people_counts(num_people, seed):
        yield pair_weights(counts_P, first_N, second_N)


def failure_to_acquire(scores: PairScores) -> float:
    """Fraction of the pairs' images, each counted once, that have no embedding."""
    acquired = dict(zip(scores.keys, scores.acquired_2N.tolist(), strict=True))
    return float(1 - sum(acquired.values()) / len(acquired))


def independent_pairs(scores: PairScores) -> tuple[int, int]:
    """How many impostor and how many genuine pairs share no person, at most.

    Half the people of impostor pairs (pairs, where nobody is known), and people of genuine ones.
    """
    first_N, second_N, _ = scores.units()
    impostor = scores.is_scored_N & ~scores.same_N
    genuine = scores.is_scored_N & scores.same_N
    strangers = np.union1d(first_N[impostor], second_N[impostor])
    alone = bool((first_N == second_N)[impostor].all())
    return len(strangers) // (1 if alone else 2), len(np.unique(first_N[genuine]))


def bounded(rate: float, resampled_R: np.ndarray, count: int) -> Interval:
    """The interval of a rate; the rule of three where no error, or nothing but errors, was seen.

    All resamplings are alike there. `count` is how many pairs are independent.
    """
    if rate <= ROUNDING:
        return Interval(0.0, rule_of_three(count))
    if rate >= 1 - ROUNDING:
        return Interval(1 - rule_of_three(count), 1.0)
    if count < LEAST_PEOPLE:
        return Interval(0.0, 1.0)
    return rate_bounds(rate, float(np.nanstd(resampled_R)), count)


def _with_spans(
    rates_2K: tuple[np.ndarray, np.ndarray],
    resampled: list[tuple[np.ndarray, np.ndarray]],
    independent: tuple[int, int],
) -> Iterator[tuple[tuple[float, float], list[Interval | None]]]:
    """FMR and FNMR at each threshold, with the interval of each."""
    resampled_R2K = np.array(resampled)
    for row, (fmr, fnmr) in enumerate(zip(*rates_2K, strict=True)):
        rate = (float(fmr), float(fnmr))
        yield (
            rate,
            [
                bounded(rate[kind], resampled_R2K[:, kind, row], independent[kind])
                if resampled
                else None
                for kind in (0, 1)
            ],
        )


def _curve(
    fmr_C: np.ndarray, fnmr_C: np.ndarray, resampled: list[np.ndarray], independent: int
) -> ErrorCurve:
    spans = [
        bounded(rate, values_R, independent)
        for rate, values_R in zip(fnmr_C.tolist(), np.array(resampled).T, strict=bool(resampled))
    ]
    return ErrorCurve(
        fmr=fmr_C.tolist(),
        fnmr=fnmr_C.tolist(),
        low=[span.low for span in spans],
        high=[span.high for span in spans],
    )


def _share_at_most(threshold_K: np.ndarray, ordered: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share [K] of the weights of rising cosines that are not above thresholds; NaN for none."""
    sums = _running(weights)
    if not sums[-1]:
        return np.full(len(threshold_K), np.nan)
    return np.asarray(sums[np.searchsorted(ordered, threshold_K, side="right")] / sums[-1])


def _running(weights: np.ndarray) -> np.ndarray:
    """Sums of the first 0, 1, 2, ... weights."""
    return np.concatenate([[0.0], np.cumsum(weights)])
