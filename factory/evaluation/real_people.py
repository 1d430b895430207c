"""The real people of a source in one space, as made faces are compared with them (METHODS 6)."""

from __future__ import annotations

import io
from contextlib import suppress

import numpy as np

from factory.errors import Conflict
from factory.evaluation.embeddings import RealFaces, evenly_spaced
from factory.identities.gallery import Gallery
from factory.store import Store
from factory.store.base import digest

MAX_PROBES = 50_000
"""Real images that tell how near strangers are: all of them, or so many, evenly spaced."""
MAX_LISTED = 20
"""Pairs of lookalikes that are listed."""
NOBODY = -1


class RealPeople:
    """Real images, and with `centers` the mean of everybody's, person by person, in one space."""

    def __init__(
        self, unit_GD: np.ndarray, labels: np.ndarray, indices: np.ndarray, is_center: np.ndarray
    ) -> None:
        """Vectors [G, D] by label; use `of` or `load`."""
        self.labels, self.indices, self._is_center = labels, indices, is_center
        self.images, self.centers = np.flatnonzero(~is_center), np.flatnonzero(is_center)
        self._gallery = Gallery(unit_GD.shape[1])
        self._gallery.add(unit_GD)

    @classmethod
    def of(cls, faces: RealFaces, *, centers: bool) -> RealPeople:
        people, firsts = np.unique(faces.labels, return_index=True)
        parts = [(faces.unit_ND, faces.labels, faces.indices)]
        if centers:
            unit_PD = unit_means(faces.unit_ND, np.searchsorted(people, faces.labels))
            parts.append((unit_PD, people, faces.indices[firsts]))
        unit_GD, labels, indices = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.argsort(labels, kind="stable")
        return cls(unit_GD[order], labels[order], indices[order], order >= len(faces.labels))

    def sha256(self) -> str:
        """Digest of all that they are compared by."""
        parts = (self._gallery.unit_GD, self.labels, self.indices, self._is_center)
        return digest(np.ascontiguousarray(part).tobytes() for part in parts)

    def save(self, store: Store, name: str) -> None:
        """Write them for those who measure units; they are templates of real people."""
        buffer = io.BytesIO()
        np.savez(
            buffer,
            unit_GD=self._gallery.unit_GD,
            labels=self.labels,
            indices=self.indices,
            is_center=self._is_center,
        )
        with suppress(Conflict):  # of the same people, spelled by another numpy
            store.put_once(name, buffer.getvalue())  # which sends what is large in parts

    @classmethod
    def load(cls, store: Store, name: str) -> RealPeople:
        with np.load(io.BytesIO(store.get(name)), allow_pickle=False) as file:
            return cls(*(file[name] for name in ("unit_GD", "labels", "indices", "is_center")))

    def nearest(self, unit_MD: np.ndarray, own_M: np.ndarray) -> np.ndarray:
        """Largest cosine to anybody but person `own_M` (NOBODY: to anybody), float64 [M]."""
        return self.nearest_with_index(unit_MD, own_M)[0]

    def nearest_with_index(
        self, unit_MD: np.ndarray, own_M: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same, and the index in the source of that image, int64 [M]; -1 for nobody.

        Of a center it is the index of its person's first image.
        """
        first, stop = (np.searchsorted(self.labels, own_M, side=side) for side in ("left", "right"))
        cosine_M, row_M = self._gallery.nearest_with_index(unit_MD, without=(first, stop))
        return cosine_M, np.where(row_M < 0, -1, self.indices[row_M])

    def between_strangers(self, rows: np.ndarray) -> np.ndarray:
        """Largest cosine of gallery rows to another person's, float64; at most MAX_PROBES rows."""
        rows = evenly_spaced(rows, MAX_PROBES)
        return self.nearest(self._gallery.unit_GD[rows], self.labels[rows])

    def lookalikes(self, rows: np.ndarray, cosines: np.ndarray) -> list[tuple[int, int, float]]:
        """The nearest pairs, given what `between_strangers` answers for these rows."""
        rows = evenly_spaced(rows, MAX_PROBES)
        pairs: dict[tuple[int, int], tuple[int, int, float]] = {}
        for position in np.argsort(-cosines)[: 2 * MAX_LISTED]:
            row = rows[position]
            own = self.labels[row : row + 1]
            _, (other,) = self.nearest_with_index(self._gallery.unit_GD[row : row + 1], own)
            first, second = sorted((int(self.indices[row]), int(other)))
            pairs.setdefault((first, second), (first, second, float(cosines[position])))
        return list(pairs.values())[:MAX_LISTED]


def unit_means(unit_ND: np.ndarray, rows_N: np.ndarray) -> np.ndarray:
    """Unit mean [P, D] of the vectors of each row 0..P-1."""
    sums_PD = np.zeros((rows_N.max() + 1, unit_ND.shape[1]))
    np.add.at(sums_PD, rows_N, unit_ND)
    unit_PD = sums_PD / np.linalg.norm(sums_PD, axis=1, keepdims=True)
    return np.asarray(unit_PD, np.float32)
