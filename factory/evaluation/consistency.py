"""How alike the images of an identity are, and how far from other identities (METHODS 1, 7).

C_k is the mean cosine of pairs within class k. With c_k the unit mean of a class, CCS is the cosine
of a face to its own center and NNCCS its largest cosine to another class's (CR-FIQA, eqs 2-3).
C_k and CCS are of all faces. Centers are written to a file; NNCCS and a center's nearest other one
are those of at most MAX_NEIGHBORS faces and centers, against all centers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from factory.evaluation.embeddings import evenly_spaced
from factory.evaluation.metrics.similarity import Consistency
from factory.evaluation.metrics.values import distribution
from factory.evaluation.rows_on_disk import RowsOnDisk
from factory.evaluation.tallies import CosineTally
from factory.identities.gallery import Gallery, MappedGallery

EPS = 1e-9
MAX_NEIGHBORS = 10_000
"""Faces whose nearest other center is looked for, and centers whose nearest one is."""
MAPPED_CENTERS = 1 << 17
"""Centers from which on they are read from the file, not held."""
FACES_AT_ONCE = 1 << 14


@dataclass(frozen=True)
class ClassFigures:
    """Of N faces of K whole classes: each face's CCS, C_k of classes with pairs, unit centers."""

    ccs_N: np.ndarray
    within_K: np.ndarray
    center_KD: np.ndarray


def class_figures(unit_ND: np.ndarray, class_N: np.ndarray) -> ClassFigures:
    """Figures of classes 0..K-1 from unit vectors [N, D] of all their faces."""
    counts_K, wide_ND = np.bincount(class_N), unit_ND.astype(np.float64)
    sums_KD = np.zeros((len(counts_K), unit_ND.shape[1]))
    np.add.at(sums_KD, class_N, wide_ND)
    center_KD = sums_KD / np.linalg.norm(sums_KD, axis=1, keepdims=True)
    center_KD = center_KD.astype(np.float32)
    several = counts_K > 1
    own_K = np.bincount(class_N, weights=np.square(unit_ND).sum(1))
    pairs_K = np.square(sums_KD).sum(1) - own_K
    within_K = pairs_K[several] / (counts_K * (counts_K - 1))[several]
    return ClassFigures((wide_ND * center_KD[class_N]).sum(1), within_K, center_KD)


class ConsistencyTally:
    """Consistency of classes that come bit by bit, each of them whole."""

    def __init__(self, folder: Path | None, dim: int) -> None:
        """Centers are written to a nameless file in `folder`: 4*D bytes a class."""
        self._centers = RowsOnDisk(folder, dim, np.float32)
        self._ccs, self._within = CosineTally(), CosineTally()

    @property
    def num_classes(self) -> int:
        return self._centers.count

    def add(self, figures: ClassFigures) -> None:
        self._ccs.add(figures.ccs_N)
        self._within.add(figures.within_K)
        self._centers.append(figures.center_KD)

    def finish(self, unit_SD: np.ndarray, class_S: np.ndarray) -> Consistency:
        """All figures; `unit_SD` are vectors of some faces and `class_S` their classes.

        Classes are numbered in the order in which they were added.
        """
        center_KD, num_classes = self._centers.finish(), self.num_classes
        measured = Consistency(num_classes, self._ccs.distribution())
        if self._within.count:
            measured = replace(measured, within_class=self._within.distribution())
        if num_classes < 2:
            return measured
        if num_classes > MAPPED_CENTERS:
            gallery: Gallery = MappedGallery(center_KD)
        else:
            gallery = Gallery(unit_SD.shape[1])
            gallery.add(np.array(center_KD))
        nnccs_S = gallery.nearest(unit_SD, without=(class_S, class_S + 1))
        own_SD = gallery.unit_GD[class_S].astype(np.float64)
        ccs_S = (unit_SD.astype(np.float64) * own_SD).sum(1)
        some = evenly_spaced(np.arange(num_classes), MAX_NEIGHBORS)
        nearest = gallery.nearest(np.array(gallery.unit_GD[some]), without=(some, some + 1))
        return replace(
            measured,
            nnccs=distribution(nnccs_S),
            ccs_minus_nnccs=float((ccs_S - nnccs_S).mean()),
            ccs_over_nnccs=float((ccs_S / (nnccs_S + 1 + EPS)).mean()),
            nearest_center=distribution(nearest),
        )


def consistency(unit_ND: np.ndarray, labels: np.ndarray) -> Consistency:
    """C_k, CCS and NNCCS of one recognizer's unit vectors, which may lie in a mapped file."""
    tally = ConsistencyTally(None, unit_ND.shape[1])
    _, class_N = np.unique(labels, return_inverse=True)
    for rows in _whole_classes(class_N):
        _, within = np.unique(class_N[rows], return_inverse=True)
        tally.add(class_figures(np.asarray(unit_ND[rows]), within))
    some = evenly_spaced(np.arange(len(labels)), MAX_NEIGHBORS)
    return tally.finish(np.asarray(unit_ND[some]), class_N[some])


def _whole_classes(class_N: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of all faces, class by class, in parts of about FACES_AT_ONCE that split no class."""
    order = np.argsort(class_N, kind="stable")
    ends = np.flatnonzero(np.diff(class_N[order], append=-1)) + 1
    start = 0
    while start < len(order):
        full = np.searchsorted(ends, start + FACES_AT_ONCE, side="right") - 1
        first = np.searchsorted(ends, start, side="right")
        stop = int(ends[max(full, first)])
        yield order[start:stop]
        start = stop
