"""What a release teaches, as metrics/utility.json holds it: measured by studies/utility.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from factory.evaluation.metrics.values import MeanStd, NotMeasured


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


@dataclass(frozen=True)
class TrainingSetAccuracy:
    """What is learned from one set of images."""

    images: int
    identities: int
    benchmarks: dict[str, BenchmarkAccuracy]
    """Those that could be read."""
    average: MeanStd | None
    """Accuracy averaged over them; None without any."""


@dataclass(frozen=True)
class GapToReal:
    """Accuracy of the real set minus that of another, in points and in percent of the other's."""

    points: float
    percent: float


@dataclass(frozen=True)
class Utility:
    """Trainings on the source ("real"), on the release and on both, over several seeds."""

    recipe: dict[str, Any]
    """The section `recognizer` of the config."""
    runs: dict[str, list[UtilityRun]]
    sets: dict[str, TrainingSetAccuracy]
    gap_to_real: dict[str, GapToReal]
    """Of every set but the real one, where there is an average."""
