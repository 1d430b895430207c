"""Error versus discard: how the FNMR falls as pairs of the worst quality are left out (METHODS 7).

Grother & Tabassi 2007, "Performance of biometric quality measures" (PAMI 29(4), section 4), and
Schlett et al. 2023, "Considerations on the evaluation of biometric quality assessment algorithms"
(section III): a pair is as good as the worse of its two images, the threshold is fixed before
anything is discarded, and the curve is a step function. A smaller area under it, up to a largest
discarded fraction, means a better measure of quality. Between the bounds of section V of the
latter, the area is comparable over data: 0 is a measure that discards errors alone while there are
any, 1 one that knows nothing.

Shapes: G genuine pairs, J pairs of a quality, K fractions, R resamplings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from factory.recognition.error_rates import (
    ROUNDING,
    bounded,
    is_measurable,
    resampled_weights,
)
from factory.recognition.pair_scores import PairScores
from factory.recognition.resampling import LEAST_PEOPLE, Interval, interval
from factory.recognition.verification import cosine_at_fmr

STEPS = 100
"""Fractions at which a curve is given, besides none."""


@dataclass(frozen=True)
class DiscardCurve:
    """FNMR of the pairs that are left, by the fraction of genuine pairs that may be discarded."""

    quality: str
    """What measured it."""
    wanted_fmr: float
    cosine: float
    """Threshold: the cosine of that FMR over all impostor pairs."""
    num_not_assessed: int
    """Images whose quality could not be told; they count as the worst."""
    discarded: list[float]
    fnmr: list[float]
    low: list[float]
    high: list[float]
    """Pointwise band at 95 %, by resampling people; empty for too few of them."""
    largest_discarded: float
    """Up to which fraction the area is taken."""
    pauc: float
    """Mean FNMR up to there: the area over its width."""
    pauc_interval: Interval | None
    relative_pauc: float | None
    """The area between that of the best measure (0) and of one that knows nothing (1); None where
    there is no error that could be discarded."""


class DiscardOrder:
    """Genuine pairs from the worst quality to the best, those of one quality together."""

    def __init__(self, quality_G: np.ndarray, is_error_G: np.ndarray) -> None:
        self._order_G = np.argsort(quality_G, kind="stable")
        ordered_G = quality_G[self._order_G]
        is_new_G = np.concatenate([[True], ordered_G[1:] > ordered_G[:-1]])
        self._start_J = np.flatnonzero(is_new_G)
        """Where each quality begins: all below it can be discarded together."""
        self._is_error_G = is_error_G[self._order_G]

    def steps(self, weight_G: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Discarded fractions, rising from 0, and the FNMR of the rest from each on.

        Fractions at which nobody would be left are none of them.
        """
        weight_G = weight_G[self._order_G]
        sums = np.concatenate([[0.0], np.cumsum(weight_G)])
        errors = np.concatenate([[0.0], np.cumsum(weight_G * self._is_error_G)])
        start_J = self._start_J[sums[-1] - sums[self._start_J] > ROUNDING]
        if not len(start_J):
            return np.zeros(1), np.full(1, np.nan)
        fnmr_J = (errors[-1] - errors[start_J]) / (sums[-1] - sums[start_J])
        return sums[start_J] / sums[-1], fnmr_J


def fnmr_by_discard(
    discarded_J: np.ndarray, fnmr_J: np.ndarray, fraction_K: np.ndarray
) -> np.ndarray:
    """The step function of `DiscardOrder.steps` at some fractions [K]."""
    row_K = np.searchsorted(discarded_J, fraction_K + ROUNDING, side="right") - 1
    return np.asarray(fnmr_J[row_K])


def partial_area(discarded_J: np.ndarray, fnmr_J: np.ndarray, largest: float) -> float:
    """Area under the step function from 0 to `largest`, over that width."""
    edge_J = np.minimum(np.append(discarded_J, 1.0), largest)
    return float((np.diff(edge_J) * fnmr_J).sum() / largest)


def least_area(fnmr: float, largest: float) -> float:
    """The area of a measure that discards errors alone while there are any, over the width.

    Of FNMR `e` before anything is discarded there is `(e - r)/(1 - r)` left at a fraction `r` up to
    `e`, whose area is `r + (1 - e)*ln(1 - r)`.
    """
    until = min(fnmr, largest)
    if until >= 1:
        return 1.0  # nothing but errors: however many go, only errors are left
    return (until + (1 - fnmr) * math.log1p(-until)) / largest


def discard_curve(
    scores: PairScores, quality: str, fmr: float, largest: float, seed: int = 0
) -> DiscardCurve:
    """The curve of pairs whose images' quality is known, which must be told (`quality_N2`).

    NaN is the quality of an image that could not be assessed. There must be impostors enough for
    the FMR (`error_rates.is_measurable`).
    """
    assert scores.quality_N2 is not None, "needs the quality of images"
    impostor = scores.cosine_N[scores.is_scored_N & ~scores.same_N]
    assert is_measurable(fmr, len(impostor)), "needs impostors for that FMR"
    threshold = cosine_at_fmr(impostor, fmr)
    genuine = scores.is_scored_N & scores.same_N
    worse_N = np.nan_to_num(scores.quality_N2, nan=-np.inf).min(1)
    order = DiscardOrder(worse_N[genuine], scores.cosine_N[genuine] <= threshold)
    fraction_K = np.linspace(0, 1, STEPS + 1)
    steps = order.steps(np.ones(int(genuine.sum())))
    fnmr_K, area = fnmr_by_discard(*steps, fraction_K), partial_area(*steps, largest)
    low, high, area_interval = [], [], None
    first_N, _, num_people = scores.units()
    if num_people >= LEAST_PEOPLE:
        resampled = [order.steps(w[genuine]) for w in resampled_weights(scores, seed)]
        fnmr_RK = np.array([fnmr_by_discard(*one, fraction_K) for one in resampled])
        count = len(np.unique(first_N[genuine]))
        spans = [bounded(e, fnmr_RK[:, k], count) for k, e in enumerate(fnmr_K.tolist())]
        low, high = [span.low for span in spans], [span.high for span in spans]
        area_interval = interval(np.array([partial_area(*one, largest) for one in resampled]))
    return DiscardCurve(
        quality=quality,
        wanted_fmr=fmr,
        cosine=threshold,
        num_not_assessed=_not_assessed(scores),
        discarded=fraction_K.tolist(),
        fnmr=fnmr_K.tolist(),
        low=low,
        high=high,
        largest_discarded=largest,
        pauc=area,
        pauc_interval=area_interval,
        relative_pauc=relative_area(area, float(fnmr_K[0]), largest),
    )


def relative_area(area: float, fnmr: float, largest: float) -> float | None:
    """Where an area lies between the least (0) and that of a measure that knows nothing (1)."""
    least = least_area(fnmr, largest)
    return (area - least) / (fnmr - least) if fnmr - least > ROUNDING else None


def _not_assessed(scores: PairScores) -> int:
    """Images, each counted once, without a quality."""
    assert scores.quality_N2 is not None
    missing = np.isnan(scores.quality_N2).reshape(-1)
    return len({key for key, is_missing in zip(scores.keys, missing, strict=True) if is_missing})
