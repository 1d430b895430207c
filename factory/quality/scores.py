"""Scores of a batch of faces; the filters decide by them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from factory.records import DrawnBatch, Scores, Shot, row_of

GRAY = np.array([0.299, 0.587, 0.114], dtype=np.float64)
"""Rec. 601 luma of RGB."""

Measure = Callable[[DrawnBatch, np.ndarray, np.ndarray], np.ndarray]
"""Maps a batch, the slots [S] of shots in it and their unit embeddings [S, D] to scores [S], NaN
for none."""


class Scorer:
    """Measures cosines to the roster and to real people, sharpness and brightness.

    The roster's first row is the identity with the index `first_identity`. `own_real` is the row in
    the real gallery of each identity of the roster that is real;
    `measures` are further scores by name.
    """

    def __init__(
        self,
        unit_roster_ND: np.ndarray,
        unit_real_MD: np.ndarray,
        own_real: dict[int, int],
        measures: dict[str, Measure] | None = None,
        first_identity: int = 0,
    ) -> None:
        self._measures = measures or {}
        self._roster_ND = torch.from_numpy(unit_roster_ND)
        self._real_MD = torch.from_numpy(unit_real_MD)
        self._own_real, self._first = own_real, first_identity

    def score(self, shots: list[Shot], batch: DrawnBatch, unit_BD: np.ndarray) -> list[Scores]:
        """Scores of the shots of a batch; `unit_BD` are the embeddings of all its slots."""
        slots = np.array([shot.slot for shot in shots])
        images_SHWC, unit_SD = batch.images_BHWC[slots], unit_BD[slots]
        unit = torch.from_numpy(unit_SD)
        to_roster_BN, to_real_BM = unit @ self._roster_ND.T, unit @ self._real_MD.T
        first, num_people = self._first, len(self._roster_ND)
        rows = torch.arange(len(shots))
        identities = torch.tensor([row_of(s.identity, first, num_people) for s in shots])
        own_B = to_roster_BN[rows, identities]
        to_roster_BN[rows, identities] = -2.0
        other_B, nearest_B = to_roster_BN.max(1)
        for row, shot in enumerate(shots):
            if shot.identity in self._own_real:
                to_real_BM[row, self._own_real[shot.identity]] = -1.0
        real_B = to_real_BM.max(1).values
        measured = {
            name: measure(batch, slots, unit_SD) for name, measure in self._measures.items()
        }
        alone = len(self._roster_ND) == 1
        scores = []
        for row in range(len(shots)):
            scores.append(
                Scores(
                    own_cosine=round(float(own_B[row]), 5),
                    nearest_other=-1 if alone else first + int(nearest_B[row]),
                    nearest_other_cosine=-1.0 if alone else round(float(other_B[row]), 5),
                    nearest_real_cosine=round(float(real_B[row]), 5),
                    sharpness=round(sharpness(images_SHWC[row]), 3),
                    brightness=round(float((images_SHWC[row] @ GRAY).mean()), 3),
                    **{name: _rounded(value[row]) for name, value in measured.items()},
                )
            )
        return scores


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 5)


def sharpness(image_HWC: np.ndarray) -> float:
    """Variance of the 4-neighbor Laplacian of the gray image (0-255 scale)."""
    gray = image_HWC @ GRAY
    laplacian = (
        gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * gray[1:-1, 1:-1]
    )
    return float(laplacian.var())
