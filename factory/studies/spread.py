"""A figure over seeds and people, and the interval of a difference of two sides.

Trainings with other seeds and tests on other people are two sources of chance that add up:
`v = s^2/S + v_P`, `s` the deviation over S seeds (of differences at equal seeds) and `v_P` the
variance over resamplings of people (the same for both sides) of the mean over seeds. The interval
is `mean +- t*sqrt(v)` with the degrees of freedom of Satterthwaite 1946 (Biometrics Bulletin 2,
p. 110), so three seeds count as three: Student's t and no quantiles of a few values.

Shapes: S seeds, R resamplings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from factory.recognition.resampling import CONFIDENCE, POWER, Interval, student_quantile


@dataclass(frozen=True)
class Spread:
    """A mean over seeds, its 95 % interval, and what the interval is over."""

    mean: float
    interval: Interval | None
    """None where nothing varied."""
    detectable: float | None
    """Distance from 0 whose interval leaves out 0 with a chance of 80 %."""
    over: str
    """seeds, people, or both."""


def spread(
    values_S: Sequence[float], people_R: np.ndarray | None = None, num_people: int = 0
) -> Spread:
    """The mean of values at several seeds, with its interval.

    `people_R` is the mean over seeds in every resampling of `num_people`; None where not known.
    """
    num_seeds, mean = len(values_S), float(np.mean(values_S))
    of_seeds = float(np.var(values_S, ddof=1)) / num_seeds if num_seeds > 1 else 0.0
    known = people_R is not None and num_people > 1
    of_people = float(np.nanvar(people_R)) if people_R is not None and known else 0.0
    parts = [("seeds", of_seeds, num_seeds - 1)] if num_seeds > 1 else []
    parts += [("people", of_people, num_people - 1)] if known else []
    over, variance = " and ".join(name for name, _, _ in parts), of_seeds + of_people
    if variance < 1e-24:
        return Spread(mean, None, None, over)
    dof = variance**2 / sum(part**2 / own for _, part, own in parts)
    error, t = math.sqrt(variance), student_quantile((1 + CONFIDENCE) / 2, dof)
    bounds = Interval(mean - t * error, mean + t * error)
    return Spread(mean, bounds, (t + student_quantile(POWER, dof)) * error, over)
