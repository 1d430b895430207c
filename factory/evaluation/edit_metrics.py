"""What became of edited faces: how much each kind of edit leaves of the original, and some of them
to look at."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.shards.reader import iterate_kept
from factory.shots.plan import Plan
from factory.sources import FaceSource
from factory.sources.base import decode_image
from factory.store import Store

SHOWN = 6
"""Edits of each kind in the report."""
MEASURED = ("occluded", "original_cosine", "visible_cosine")


@dataclass(frozen=True)
class EditPictures:
    """By kind of edit, the first faces: the original (where it may be shown) and what was made."""

    by_kind: dict[str, list[tuple[np.ndarray | None, np.ndarray]]]


def edits(
    store: Store, plan: Plan, source: FaceSource, show_real: bool
) -> tuple[dict[str, Any], EditPictures]:
    """metrics/edits.json: mean share hidden and cosines by kind and share asked for; and pictures,
    with the originals beside them where audit.show_real allows."""
    measured: dict[str, list[list[float]]] = defaultdict(list)
    shown: dict[str, list[tuple[np.ndarray | None, np.ndarray]]] = defaultdict(list)
    place = {key: number for number, key in enumerate(source.keys)}
    for row, encoded in iterate_kept(store, plan):
        asked = row["occlusion"]
        name = row["edit"] if asked is None else f"{row['edit']} {asked:g}"
        measured[name].append([np.nan if row[key] is None else row[key] for key in MEASURED])
        if len(shown[row["edit"]]) < SHOWN:
            original = source[place[row["original"]]].image_HWC if show_real else None
            made = decode_image(encoded, row["key"], 1 << 24)
            shown[row["edit"]].append((original, made))
    figures = {
        name: {"count": len(rows)}
        | {key: _mean(column) for key, column in zip(MEASURED, np.array(rows).T, strict=True)}
        for name, rows in sorted(measured.items())
    }
    return figures, EditPictures(dict(sorted(shown.items())))


def _mean(values: np.ndarray) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))
