"""What a release's own metadata says of its faces: scores of kept ones, shots of rejected ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from factory.evaluation.metrics.release import ScoreDeviation
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.tallies import Moments
from factory.evaluation.unit_record import UnitFaces, UnitScores
from factory.records import Shot
from factory.shards import layout
from factory.shots.older_plans import column_names
from factory.store import Store
from factory.store.parquet import read_table

SCORES = ("sharpness", "brightness", "cr_fiqa", "ser_fiq", "fiqa")
"""Those whose deviation within identities is given."""


def unit_scores(rows: Sequence[dict[str, Any]], faces: UnitFaces) -> UnitScores:
    """Scores of a unit's kept faces by identity, from its metadata."""
    own_N = np.array([row["own_cosine"] for row in rows], np.float64)
    count_K = np.bincount(faces.class_N)
    deviation_K, moments = {}, {}
    for name in SCORES:
        values_N = np.array([row.get(name) for row in rows], np.float64)  # None becomes NaN
        if np.isnan(values_N).any():
            continue
        deviation_K[name] = _deviations(values_N, faces.class_N, count_K)
        moments[name] = Moments.of(values_N[:, None])
    mean_K = np.bincount(faces.class_N, weights=own_N) / count_K
    return UnitScores(mean_K, count_K, deviation_K, moments)


class ScoreTally:
    """Scores of units that come bit by bit; two numbers an identity are kept."""

    def __init__(self) -> None:
        self._identities: list[np.ndarray] = []
        self._own_cosines: list[np.ndarray] = []
        self._deviations: dict[str, list[np.ndarray]] = {name: [] for name in SCORES}
        self._moments = {name: Moments.none(1) for name in SCORES}

    def add(self, identity_K: np.ndarray, scores: UnitScores) -> None:
        self._identities.append(identity_K)
        self._own_cosines.append(scores.own_cosine_K)
        for name in list(self._deviations):
            if name not in scores.deviation_K:
                del self._deviations[name]  # somebody was not measured
                continue
            self._deviations[name].append(scores.deviation_K[name][scores.count_K > 1])
            self._moments[name] = self._moments[name].plus(scores.moments[name])

    def ranking(self) -> np.ndarray:
        """Identities from the one whose faces are most like it on average to the least."""
        owners_K, mean_K = np.concatenate(self._identities), np.concatenate(self._own_cosines)
        order = np.argsort(owners_K)
        return np.asarray(owners_K[order][np.argsort(-mean_K[order], kind="stable")])

    def within_identity(self) -> dict[str, ScoreDeviation | NotMeasured]:
        """Mean and deviation of D_k over identities with two images or more, by score (METHODS 1).

        D_k is the standard deviation of a score within identity k; the paper has it of SER-FIQ and
        CR-FIQA.
        """
        return {name: self._deviation(name) for name in SCORES}

    def _deviation(self, name: str) -> ScoreDeviation | NotMeasured:
        if not self._deviations.get(name):
            return NotMeasured(f"n/a: filters.min_{name} was off, so nobody measured it")
        deviation_K, moments = np.concatenate(self._deviations[name]), self._moments[name]
        if not len(deviation_K):
            return NotMeasured("n/a: no identity has two images")
        return ScoreDeviation(
            num_identities=len(deviation_K),
            mean=float(deviation_K.mean()),
            std=float(deviation_K.std()),
            of_all_images=float(np.sqrt(moments.scatter_DD[0, 0] / moments.count)),
        )


def first_rejects(store: Store, unit: int, num_each: int) -> list[tuple[str, dict[str, Any]]]:
    """(reason, shot) of the first `num_each` rejected shots of each reason in a unit."""
    if not num_each:
        return []
    names, seen = [field.name for field in fields(Shot)], Counter[str]()
    rejects, found = read_table(store.get(layout.rejects_name(unit))), []
    for row in map(column_names, rejects.to_pylist()):
        seen[row["reason"]] += 1
        if seen[row["reason"]] <= num_each:
            found.append((row["reason"], {name: row[name] for name in names if name in row}))
    return found


def _deviations(values_N: np.ndarray, class_N: np.ndarray, count_K: np.ndarray) -> np.ndarray:
    mean_K = np.bincount(class_N, weights=values_N) / count_K
    squared_K = np.bincount(class_N, weights=np.square(values_N - mean_K[class_N]))
    return np.asarray(np.sqrt(squared_K / count_K))
