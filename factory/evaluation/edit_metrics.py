"""How much each kind of edit leaves of the original, and some edited faces to look at."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from factory.evaluation.metrics.release import EditMetrics
from factory.shards.reader import iterate_kept
from factory.shots.plan import Plan
from factory.sources import FaceSource
from factory.sources.base import decode_image
from factory.store import Store

SHOWN = 6
"""Edits of each kind in the report."""
SCORES = ("occluded", "original_cosine", "visible_cosine")
"""Columns of the metadata whose means are given."""


@dataclass(frozen=True)
class EditPictures:
    """By kind of edit, the first faces: the original (where it may be shown) and the edit of it."""

    by_kind: dict[str, list[tuple[np.ndarray | None, np.ndarray]]]


def edits(
    store: Store, plan: Plan, source: FaceSource, show_real: bool
) -> tuple[dict[str, EditMetrics], EditPictures]:
    """Means by kind of edit and fraction that it was to hide ("mask 0.2"), and pictures.

    The originals are among the pictures where audit.show_real allows.
    """
    scores: dict[str, list[list[float]]] = defaultdict(list)
    shown: dict[str, list[tuple[np.ndarray | None, np.ndarray]]] = defaultdict(list)
    index_of = {key: index for index, key in enumerate(source.keys)}
    for row, encoded in iterate_kept(store, plan):
        kind, fraction = row["edit"], row["occlusion"]
        name = kind if fraction is None else f"{kind} {fraction:g}"
        scores[name].append([np.nan if row[key] is None else row[key] for key in SCORES])
        if len(shown[kind]) < SHOWN:
            original = source[index_of[row["original"]]].image_HWC if show_real else None
            edited = decode_image(encoded, row["key"], 1 << 24)
            shown[kind].append((original, edited))
    metrics = {
        name: EditMetrics(len(rows), *map(_mean, np.array(rows).T))
        for name, rows in sorted(scores.items())
    }
    return metrics, EditPictures(dict(sorted(shown.items())))


def _mean(values: np.ndarray) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))
