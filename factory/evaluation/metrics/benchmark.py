"""A recognizer on the pairs that papers average over, as benchmark.json holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from factory.evaluation.metrics.values import Interval, NotMeasured


@dataclass(frozen=True)
class SetAccuracy:
    """Accuracy by folds on one set of pairs; accuracies are fractions."""

    num_pairs: int
    num_people: int
    """People that the file tells apart (recognition/pair_people.py); they are resampled."""
    num_folds: int
    accuracy: float
    std: float
    """Over folds, as papers print it; folds share their thresholds, so it gives no interval."""
    interval: Interval | NotMeasured
    """Of the accuracy, at 95 %, by resampling people."""


@dataclass(frozen=True)
class AverageAccuracy:
    """Mean accuracy over all sets, as a fraction."""

    accuracy: float
    interval: Interval | NotMeasured
    """At 95 %, each set resampled for itself."""


@dataclass(frozen=True)
class Benchmark:
    """One recognizer on all sets, and published rows beside it."""

    recognizer: str
    """sha256 of its weights."""
    mirror_sum: str
    """What of an image and its mirror image is summed: unit vectors or raw features."""
    seed: int
    sets: dict[str, SetAccuracy | NotMeasured]
    """By name; a set that is missing says why."""
    average: AverageAccuracy | NotMeasured
    """Only where no set is missing."""
    published: list[dict[str, Any]]
    """Rows of the table of published results, accuracies in %."""
