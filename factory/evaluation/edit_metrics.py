"""How much each kind of edit leaves of the original, and some edited faces to look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.evaluation.embeddings import MAX_PIXELS
from factory.evaluation.metrics.release import EditMetrics
from factory.identities.roster import Roster
from factory.shards.reader import metadata_rows, read_face
from factory.sources import FaceSource
from factory.sources.decoding import decode_image
from factory.store import Store

SHOWN = 6
"""Edits of each kind in the report."""
SCORES = ("occluded", "original_cosine", "visible_cosine")
"""Columns of the metadata whose means are given."""


@dataclass(frozen=True)
class EditSums:
    """Edits of one kind and fraction: how many, and count and sum of each score."""

    count: int
    scores: dict[str, tuple[int, float]]

    def plus(self, other: EditSums) -> EditSums:
        scores = {
            name: (count + other.scores[name][0], total + other.scores[name][1])
            for name, (count, total) in self.scores.items()
        }
        return EditSums(self.count + other.count, scores)

    def mean(self, score: str) -> float | None:
        """Mean of a score where it was measured."""
        count, total = self.scores[score]
        return total / count if count else None


@dataclass(frozen=True)
class EditPictures:
    """By kind of edit, the first faces: the original (where it may be shown) and the edit of it."""

    by_kind: dict[str, list[tuple[np.ndarray | None, np.ndarray]]]


def edits_of_unit(
    rows: Sequence[dict[str, Any]],
) -> tuple[dict[str, EditSums], dict[str, list[int]]]:
    """Sums by kind of edit and fraction that it was to hide ("mask 0.2"), and rows to be shown.

    `rows` are a unit's metadata; there is nothing where nobody was edited.
    """
    values: dict[str, list[list[float]]] = defaultdict(list)
    shown: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        kind, fraction = row.get("edit"), row.get("occlusion")
        if not kind:
            continue
        name = kind if fraction is None else f"{kind} {fraction:g}"
        values[name].append([np.nan if row[key] is None else row[key] for key in SCORES])
        if len(shown[kind]) < SHOWN:
            shown[kind].append(index)
    sums = {name: _sums(np.array(some)) for name, some in values.items()}
    return sums, dict(shown)


class EditTally:
    """Edits of units that come in their order, bit by bit."""

    def __init__(self) -> None:
        self._sums: dict[str, EditSums] = {}
        self.shown: dict[str, list[tuple[int, int]]] = {}
        """By kind, (unit, row) of the first SHOWN faces."""

    def add(self, unit: int, sums: dict[str, EditSums], shown: dict[str, list[int]]) -> None:
        for name, more in sums.items():
            before = self._sums.get(name)
            self._sums[name] = before.plus(more) if before else more
        for kind, rows in shown.items():
            some = [*self.shown.get(kind, []), *((unit, row) for row in rows)]
            self.shown[kind] = some[:SHOWN]

    def metrics(self) -> dict[str, EditMetrics]:
        """Means by kind and fraction."""
        return {
            name: EditMetrics(sums.count, *(sums.mean(score) for score in SCORES))
            for name, sums in sorted(self._sums.items())
        }


def edit_pictures(
    shown: dict[str, list[tuple[int, int]]],
    store: Store,
    roster: Roster,
    source: FaceSource,
    show_real: bool,
) -> EditPictures:
    """The faces to be shown; originals are among them where audit.show_real allows."""
    index_of = {key: index for index, key in enumerate(source.keys)} if show_real else {}
    key_of = roster.source_keys() if show_real else {}
    by_kind: dict[str, list[tuple[np.ndarray | None, np.ndarray]]] = {}
    for kind, places in sorted(shown.items()):
        by_kind[kind] = []
        for unit, number in places:
            row = metadata_rows(store, unit)[number]
            original = source[index_of[key_of[row["original"]]]].image_HWC if show_real else None
            edited = decode_image(read_face(store, unit, row), row["key"], MAX_PIXELS)
            by_kind[kind].append((original, edited))
    return EditPictures(by_kind)


def _sums(values_NS: np.ndarray) -> EditSums:
    counts, sums = (~np.isnan(values_NS)).sum(0), np.nansum(values_NS, axis=0)
    pairs = zip(SCORES, counts.tolist(), sums.tolist(), strict=True)
    return EditSums(len(values_NS), {score: (count, total) for score, count, total in pairs})
