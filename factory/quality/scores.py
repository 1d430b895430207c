"""Scores of a batch of faces; the filters decide by them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from factory.quality.nearest import FixedPeople
from factory.quality.pixels import sharpness_and_brightness
from factory.records import DrawnBatch, Scores, Shot, row_of

Measure = Callable[[DrawnBatch, np.ndarray], np.ndarray]
"""Maps a batch and the unit embeddings [B, D] of all its slots to scores [B], NaN for none."""


class Scorer:
    """Measures cosines to the roster and to real people, sharpness and brightness.

    The roster's first row is the identity with the index `first_identity`. `own_real` is the row in
    the real gallery of each identity of the roster that is real;
    `measures` are further scores by name.

    Cosines are exact for the embeddings given, so they depend on no other face, batch or device.
    """

    def __init__(
        self,
        roster: np.ndarray | FixedPeople,
        real: np.ndarray | FixedPeople,
        own_real: dict[int, int],
        measures: dict[str, Measure] | None = None,
        first_identity: int = 0,
    ) -> None:
        self._measures = measures or {}
        self._roster = roster if isinstance(roster, FixedPeople) else FixedPeople(roster)
        self._real = real if isinstance(real, FixedPeople) else FixedPeople(real)
        self._own_real, self._first = own_real, first_identity

    def score(self, shots: list[Shot], batch: DrawnBatch, unit_BD: np.ndarray) -> list[Scores]:
        """Scores of the shots of a batch; `unit_BD` are the embeddings of all its slots.

        Further measures see the whole batch, padding included, because kernels round by the number
        of rows: so no score depends on how many shots are asked for. Raises FloatingPointError for
        an embedding that is not finite.
        """
        slots = [shot.slot for shot in shots]
        unit_SD, roster = np.ascontiguousarray(unit_BD[slots]), self._roster
        for shot, finite in zip(shots, np.isfinite(unit_SD).all(1), strict=True):
            if not finite:
                raise FloatingPointError(f"{shot.key}: its embedding is NaN or infinity")
        people_S = np.array([row_of(s.identity, self._first, len(roster)) for s in shots])
        real_S = np.array([self._own_real.get(shot.identity, -1) for shot in shots])
        own_S = roster.cosines(unit_SD, people_S)
        other_S, nearest_S = roster.nearest(unit_SD, people_S)
        real_cosine_S, _ = self._real.nearest(unit_SD, real_S)
        sharp, bright = sharpness_and_brightness(batch.for_networks[slots])
        measured = {name: measure(batch, unit_BD) for name, measure in self._measures.items()}
        return [
            Scores(
                own_cosine=round(float(own_S[row]), 5),
                nearest_other=-1 if nearest_S[row] < 0 else self._first + int(nearest_S[row]),
                nearest_other_cosine=round(float(other_S[row]), 5),
                nearest_real_cosine=round(float(real_cosine_S[row]), 5),
                sharpness=round(sharp[row], 3),
                brightness=round(bright[row], 3),
                **{name: _rounded(value_B[slot]) for name, value_B in measured.items()},
            )
            for row, slot in enumerate(slots)
        ]


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 5)
