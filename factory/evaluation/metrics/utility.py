"""What a release teaches, as metrics/utility.json holds it: measured by studies/utility.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from factory.evaluation.metrics.values import Interval, MeanStd, NotMeasured


@dataclass(frozen=True)
class UtilityRun:
    """One training: its seed, what it learned from, and how it does on each benchmark."""

    seed: int
    images: int
    identities: int
    benchmarks: dict[str, dict[str, Any] | NotMeasured]
    """Figures of recognition.verification.verify_pairs."""


@dataclass(frozen=True)
class BenchmarkAccuracy:
    """Accuracy on a benchmark, and TAR by FAR ("1e-3"), over seeds."""

    accuracy: MeanStd
    tar_at_far: dict[str, MeanStd]
    interval: Interval | None = None
    """Of the mean accuracy, at 95 %, over seeds and people (or pairs, where people are not known).
    None in metrics of older factories."""


@dataclass(frozen=True)
class TrainingSetAccuracy:
    """What is learned from one set of images."""

    images: int
    identities: int
    benchmarks: dict[str, BenchmarkAccuracy]
    """Those that could be read."""
    average: MeanStd | None
    """Accuracy averaged over them; None without any."""
    interval: Interval | None = None
    """Of that average; None in metrics of older factories."""


@dataclass(frozen=True)
class GapToReal:
    """Accuracy of the real set minus that of another, in points and in percent of the other's."""

    points: float
    percent: float
    interval: Interval | None = None
    """Of the points, at 95 %: at equal seeds, on the same people. None in older metrics."""
    detectable: float | None = None
    """Points that would be told from 0 with a chance of 80 %."""


@dataclass(frozen=True)
class Utility:
    """Trainings on the source ("real"), on the release and on both, over several seeds."""

    recipe: dict[str, Any]
    """The section `recognizer` of the config."""
    runs: dict[str, list[UtilityRun]]
    sets: dict[str, TrainingSetAccuracy]
    gap_to_real: dict[str, GapToReal]
    """Of every set but the real one, where there is an average."""
