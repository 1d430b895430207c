"""What a release's own metadata says of its faces: scores of kept ones, shots of rejected ones."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields

import numpy as np
import pyarrow.parquet as pq

from factory.records import Shot
from factory.shards import layout
from factory.shots.older_plans import column_names
from factory.shots.plan import Plan
from factory.store import Store

SCORES = ("own_cosine", "sharpness", "brightness", "cr_fiqa", "ser_fiq")


@dataclass(frozen=True)
class KeptScores:
    """Identities [N] of kept faces and their scores [N] by name, NaN where not measured."""

    identities: np.ndarray
    scores: dict[str, np.ndarray]

    def ranking(self) -> np.ndarray:
        """Identities from the one whose faces are most like it on average to the least."""
        owners_K, class_N, counts_K = np.unique(
            self.identities, return_inverse=True, return_counts=True
        )
        mean_K = np.bincount(class_N, weights=self.scores["own_cosine"]) / counts_K
        return np.asarray(owners_K[np.argsort(-mean_K, kind="stable")])


def kept_scores(store: Store, plan: Plan) -> KeptScores:
    """Scores of all kept faces; 48 bytes a face."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("identity", *SCORES)}
    for unit in plan.units:
        content = io.BytesIO(store.get(layout.metadata_name(unit.index)))
        table = pq.read_table(content, columns=list(columns))
        for name, parts in columns.items():
            parts.append(table[name].to_numpy())
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    scores = {name: joined[name].astype(np.float64) for name in SCORES}
    return KeptScores(joined["identity"].astype(np.int64), scores)


def rejected_shots(store: Store, plan: Plan, num_each: int) -> dict[str, list[Shot]]:
    """The first `num_each` rejected shots of each reason, reasons in the order they occur."""
    names = [field.name for field in fields(Shot)]
    by_reason: dict[str, list[Shot]] = {}
    for unit in plan.units if num_each else []:
        content = io.BytesIO(store.get(layout.rejects_name(unit.index)))
        for row in map(column_names, pq.read_table(content).to_pylist()):
            shots = by_reason.setdefault(row["reason"], [])
            if len(shots) < num_each:
                shots.append(Shot(**{name: row[name] for name in names if name in row}))
    return by_reason
