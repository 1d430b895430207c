"""What metrics are made of: distributions, means, and the reason why there are none."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from factory.records import Interval

__all__ = [
    "BINS",
    "Distribution",
    "Interval",
    "MeanStd",
    "NearestCosines",
    "NotMeasured",
    "distribution",
    "nearest_cosines",
]

BINS = np.linspace(-1.0, 1.0, 81)
"""Edges of all histograms of cosines."""


@dataclass(frozen=True)
class NotMeasured:
    """Stands in the place of metrics that there are none of, and says why ("n/a: ...")."""

    note: str


@dataclass(frozen=True)
class MeanStd:
    """Mean and standard deviation of some values."""

    mean: float
    std: float


@dataclass(frozen=True)
class Distribution:
    """Cosines in short: their moments, quantiles, and the fraction in each of BINS."""

    count: int
    mean: float
    std: float
    p01: float
    p99: float
    histogram: list[float]


@dataclass(frozen=True)
class NearestCosines(Distribution):
    """Largest cosines of identities, and the largest of them all."""

    max: float


def distribution(values: np.ndarray) -> Distribution:
    """Moments, quantiles and histogram of some cosines, at least one."""
    counts, _ = np.histogram(values, BINS)
    return Distribution(
        count=len(values),
        mean=float(values.mean()),
        std=float(values.std()),
        p01=float(np.quantile(values, 0.01)),
        p99=float(np.quantile(values, 0.99)),
        histogram=(counts / max(counts.sum(), 1)).round(6).tolist(),
    )


def nearest_cosines(values: np.ndarray) -> NearestCosines:
    """The distribution of largest cosines, at least one, with its maximum."""
    return NearestCosines(**asdict(distribution(values)), max=float(values.max()))
