"""Centers of people for their images: the mean embedding of all others of the same person.

Shapes: N faces, B a batch, P people, D embedding; two rows of a face, itself and its mirror.
"""

from __future__ import annotations

import numpy as np

from factory.training.rows import Rows


class LeaveOneOutCenters:
    """The center of a face's person, without the face: c_i = normalize(sum over j != i of u_j).

    u_j is the sum of the embeddings of image j and of its mirror. A center is zero where there is
    no other image.
    """

    def __init__(self, labels_N: np.ndarray, unit: Rows) -> None:
        """`unit` are embeddings of the faces, rows [V, D]; augmented copies do not count."""
        self._labels_N, self._unit = labels_N, unit
        num_people = int(labels_N.max(initial=-1)) + 1
        self._sum_PD = np.zeros((num_people, unit.shape[-1]), np.float64)
        for start in range(0, len(unit), unit.shard_rows):
            rows = np.arange(start, min(start + unit.shard_rows, len(unit)))
            np.add.at(self._sum_PD, labels_N[rows], self._both(rows))

    def of(self, rows_B: np.ndarray) -> np.ndarray:
        """Unit centers for faces, float32 [B, D]; zero where a person has no other image."""
        other_BD = self._sum_PD[self._labels_N[rows_B]] - self._both(rows_B)
        norm_B1 = np.linalg.norm(other_BD, axis=1, keepdims=True)
        alone_B1 = norm_B1 == 0  # exact: the sum of one, less the same one
        return np.where(alone_B1, 0, other_BD / np.where(alone_B1, 1, norm_B1)).astype(np.float32)

    def _both(self, rows: np.ndarray) -> np.ndarray:
        """u_j of faces, float64 [B, D]."""
        return np.asarray(self._unit[rows][:, :2].sum(1, dtype=np.float64))
