"""The real people of a source in one space, as made faces are compared with them (METHODS 6)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from factory.errors import Conflict
from factory.evaluation.embeddings import RealFaces, evenly_spaced
from factory.identities.gallery import Gallery
from factory.quality.real_limits import unit_means
from factory.store import Store
from factory.store.base import digest

MAX_PROBES = 50_000
"""Real images that tell how near strangers are: all of them, or so many, evenly spaced."""
MAX_LISTED = 20
"""Pairs of lookalikes that are listed."""
NOBODY = -1


@dataclass(frozen=True)
class Strangers:
    """Images of real people, and the nearest image or center of another person to each."""

    rows: np.ndarray
    """Of the gallery, int64 [M]."""
    cosine_M: np.ndarray
    other_M: np.ndarray
    """Row of the nearest, int64 [M]; -1 where there is nobody else."""


class RealPeople:
    """Real images, and with `centers` the mean of everybody's, person by person, in one space.

    A person whom the source names twice is one person here; a question by either label means the
    same person.
    """

    def __init__(
        self,
        unit_GD: np.ndarray,
        labels: np.ndarray,
        indices: np.ndarray,
        is_center: np.ndarray,
        alias_A2: np.ndarray,
        is_alias: np.ndarray | None = None,
    ) -> None:
        """Vectors [G, D] by label; use `of` or `load`.

        `alias_A2` are the labels, in rising order, that name a person once more, and the labels
        that these people go under; `is_alias` [G] tells which images came by one of the former.
        """
        self.labels, self.indices, self._is_center = labels, indices, is_center
        self.images, self.centers = np.flatnonzero(~is_center), np.flatnonzero(is_center)
        self._alias_A2 = alias_A2
        self._probes = self.images if is_alias is None else np.flatnonzero(~is_center & ~is_alias)
        self._gallery = Gallery(unit_GD.shape[1])
        self._gallery.add(unit_GD)

    @classmethod
    def of(
        cls, faces: RealFaces, *, centers: bool, aliases: Mapping[int, int] | None = None
    ) -> RealPeople:
        """All people of some faces; `aliases` are second labels of people, by the first ones."""
        alias_A2 = np.array(sorted((aliases or {}).items()), np.int64).reshape(-1, 2)
        label_N = same_person(faces.labels, alias_A2)
        is_alias_N = label_N != faces.labels
        people, firsts = np.unique(label_N, return_index=True)
        parts = [(faces.unit_ND, label_N, faces.indices, is_alias_N)]
        if centers:
            unit_PD = unit_means(faces.unit_ND, np.searchsorted(people, label_N))
            parts.append((unit_PD, people, faces.indices[firsts], np.zeros(len(people), bool)))
        unit_GD, labels, indices, is_alias = (
            np.concatenate(columns) for columns in zip(*parts, strict=True)
        )
        order = np.argsort(labels, kind="stable")
        is_center = order >= len(label_N)
        rows = (unit_GD[order], labels[order], indices[order], is_center)
        return cls(*rows, alias_A2, is_alias[order])

    @property
    def unit_GD(self) -> np.ndarray:
        """Vectors of all images and centers, float32 [G, D]."""
        return self._gallery.unit_GD

    def sha256(self) -> str:
        """Digest of all that they are compared by."""
        parts = (self._gallery.unit_GD, self.labels, self.indices, self._is_center, self._alias_A2)
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
            alias_A2=self._alias_A2,
        )
        with suppress(Conflict):  # of the same people, spelled by another numpy
            store.put_once(name, buffer.getvalue())  # which sends what is large in parts

    @classmethod
    def load(cls, store: Store, name: str) -> RealPeople:
        parts = ("unit_GD", "labels", "indices", "is_center", "alias_A2")
        with np.load(io.BytesIO(store.get(name)), allow_pickle=False) as file:
            return cls(*(file[part] for part in parts))

    def nearest(self, unit_MD: np.ndarray, own_M: np.ndarray) -> np.ndarray:
        """Largest cosine to anybody but person `own_M` (NOBODY: to anybody), float64 [M]."""
        return self.nearest_with_index(unit_MD, own_M)[0]

    def nearest_with_index(
        self, unit_MD: np.ndarray, own_M: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same, and the index in the source of that image, int64 [M]; -1 for nobody.

        Of a center it is the index of its person's first image.
        """
        cosine_M, row_M = self._nearest(unit_MD, same_person(own_M, self._alias_A2))
        return cosine_M, np.where(row_M < 0, -1, self.indices[row_M])

    @cached_property
    def strangers(self) -> Strangers:
        """How near images are to other people: one label a person, at most MAX_PROBES images."""
        rows = evenly_spaced(self._probes, MAX_PROBES)
        return Strangers(rows, *self._nearest(self._gallery.unit_GD[rows], self.labels[rows]))

    def some_images(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Vectors and labels of all images of evenly spaced people, about `count` at most."""
        labels = self.labels[self._probes]
        rows = self._probes[labels % -(-len(labels) // count) == 0]
        return self._gallery.unit_GD[rows], self.labels[rows]

    def between_centers(self) -> np.ndarray:
        """Largest cosine of centers to another person, float64; at most MAX_PROBES centers."""
        rows = evenly_spaced(self.centers, MAX_PROBES)
        return self._nearest(self._gallery.unit_GD[rows], self.labels[rows])[0]

    def lookalikes(self) -> list[tuple[int, int, float]]:
        """The nearest pairs of two people's images: indices in the source, and the cosine."""
        found, pairs = self.strangers, dict[tuple[int, int], float]()
        for at in np.argsort(-found.cosine_M, kind="stable")[: 2 * MAX_LISTED]:
            one, other = self.indices[found.rows[at]], self.indices[found.other_M[at]]
            first, second = sorted((int(one), int(other)))
            pairs.setdefault((first, second), float(found.cosine_M[at]))
        return [(*pair, cosine) for pair, cosine in pairs.items()][:MAX_LISTED]

    def _nearest(self, unit_MD: np.ndarray, own_M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Largest cosine to anybody but the people of these labels, and its row of the gallery."""
        first, stop = (np.searchsorted(self.labels, own_M, side=side) for side in ("left", "right"))
        return self._gallery.nearest_with_index(unit_MD, without=(first, stop))


def same_person(label_N: np.ndarray, alias_A2: np.ndarray) -> np.ndarray:
    """Labels with one for each person: those among the first ones of `alias_A2` replaced."""
    if not len(alias_A2):
        return np.asarray(label_N)
    at_N = np.minimum(np.searchsorted(alias_A2[:, 0], label_N), len(alias_A2) - 1)
    return np.where(alias_A2[at_N, 0] == label_N, alias_A2[at_N, 1], label_N)
