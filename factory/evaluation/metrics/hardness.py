"""How hard the pairs of a test set are, as metrics/hardness.json of its release holds it."""

from __future__ import annotations

from dataclasses import dataclass

from factory.evaluation.metrics.values import Interval, NotMeasured


@dataclass(frozen=True)
class PairsAuc:
    """How well one recognizer tells genuine from impostor pairs."""

    auc: float
    """Chance that a genuine pair has the larger cosine."""
    interval: Interval | NotMeasured
    """At 95 %, by resampling people."""


@dataclass(frozen=True)
class SetHardness:
    """One set of pairs, by every recognizer that looked at it."""

    num_pairs: int
    num_people: int
    by: dict[str, PairsAuc]
    """By "recognizer" (which conditions) and "judge"."""
