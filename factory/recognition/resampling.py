"""What a figure is worth: intervals by resampling people, and bounds where nothing was counted.

A person is the unit, because pairs that share somebody depend on each other. People are drawn with
replacement, and all pairs of whoever is drawn come along: subsets of one finger in Bolle, Ratha &
Pankanti 2004 ("Error analysis of pattern recognition systems: the subsets bootstrap", CVIU 93), the
vertices of a network in Snijders & Borgatti 1999 ("Non-parametric standard errors and tests for
network statistics", Connections 22(2)). A pair of one person counts as often as the person was
drawn, a pair of two as often as the product says (Owen 2007, "The pigeonhole bootstrap"). Snijders
& Borgatti fill pairs of a person drawn twice with random other pairs; here they stay empty.

Where pairs of two people share little beyond chance such an interval is too wide, at most
sqrt(3) times, and never too narrow (Owen 2007, section 4).

Shapes: N pairs, P people, R resamplings.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from factory.records import Interval
from factory.seeds import stream_seed

__all__ = [
    "CONFIDENCE",
    "LEAST_PEOPLE",
    "POWER",
    "RESAMPLINGS",
    "Interval",
    "detectable_difference",
    "interval",
    "pair_weights",
    "people_counts",
    "rate_interval",
    "rule_of_three",
    "wilson",
]

RESAMPLINGS = 1000
CONFIDENCE = 0.95
POWER = 0.8
"""Chance with which a difference shall be seen."""
LEAST_PEOPLE = 10
"""Fewer people than these are not resampled: their few combinations are no distribution."""
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def people_counts(num_people: int, seed: int, count: int = RESAMPLINGS) -> np.ndarray:
    """How often each person comes in every resampling, float64 [R, P]; a row sums to P.

    The same for the same seed, by Philox.
    """
    rng = np.random.Generator(np.random.Philox(stream_seed("people", seed)))
    counts_RP = rng.multinomial(num_people, np.full(num_people, 1 / num_people), count)
    return np.asarray(counts_RP, np.float64)


def pair_weights(counts_P: np.ndarray, first_N: np.ndarray, second_N: np.ndarray) -> np.ndarray:
    """How often each pair comes in a resampling [N], from the people (by number) in it.

    As often as its person where it is of one, else the product of both counts.
    """
    first, second = counts_P[first_N], counts_P[second_N]
    return np.where(first_N == second_N, first, first * second)


def interval(values_R: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Central quantiles of resampled figures; resamplings without a figure (NaN) are left out."""
    outside = (1 - confidence) / 2
    low, high = np.quantile(values_R[~np.isnan(values_R)], [outside, 1 - outside])
    return Interval(float(low), float(high))


def rule_of_three(count: int) -> float:
    """Upper 95 % bound of a rate of which `count` independent trials saw nothing: 3/count.

    At most 1. Hanley & Lippman-Hand 1983, JAMA 249; ISO/IEC 19795-1, annex B.
    """
    return min(3 / count, 1.0) if count else 1.0


def rate_interval(events: float, count: int) -> Interval:
    """95 % interval of a rate of independent trials: Wilson's, and the rule of three at 0 and 1."""
    if events <= 0 or not count:
        return Interval(0.0, rule_of_three(count))
    if events >= count:
        return Interval(1 - rule_of_three(count), 1.0)
    return Interval(*wilson(events / count, count))


def wilson(fraction: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a fraction of `count` (Wilson 1927, JASA 22, p. 209)."""
    spread = Z * math.sqrt(fraction * (1 - fraction) / count + (Z / count) ** 2 / 4)
    center, scale = fraction + Z**2 / (2 * count), 1 + Z**2 / count
    return max(0.0, (center - spread) / scale), min(1.0, (center + spread) / scale)


def detectable_difference(standard_error: float) -> float:
    """The difference whose 95 % interval leaves out 0 with a chance of 80 %: 2.80 errors."""
    return (Z + NormalDist().inv_cdf(POWER)) * standard_error
