"""How alike the images of an identity are, and how far from other identities (METHODS 1, 7).

C_k is the mean cosine of pairs within class k. With c_k the unit mean of a class, CCS is the cosine
of a face to its own center and NNCCS its largest cosine to another class's (CR-FIQA, eqs 2-3).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from factory.evaluation.leakage import unit_means
from factory.evaluation.metrics.similarity import Consistency, Duplicates
from factory.evaluation.metrics.values import distribution
from factory.identities.gallery import Gallery, itself

EPS = 1e-9


def consistency(unit_ND: np.ndarray, labels: np.ndarray) -> Consistency:
    """C_k, CCS and NNCCS of one recognizer's unit vectors; exact, in one pass over the faces."""
    _, class_N, counts_K = np.unique(labels, return_inverse=True, return_counts=True)
    center_KD = unit_means(unit_ND, class_N)
    ccs_N = (unit_ND.astype(np.float64) * center_KD[class_N]).sum(1)
    measured = Consistency(len(counts_K), distribution(ccs_N))
    several = counts_K > 1
    if several.any():
        sums_KD = np.zeros((len(counts_K), unit_ND.shape[1]))
        np.add.at(sums_KD, class_N, unit_ND.astype(np.float64))
        squared_K = np.square(sums_KD).sum(1) - _by_class(np.square(unit_ND).sum(1), class_N)
        pairs_K = counts_K * (counts_K - 1)
        mean_K = squared_K[several] / pairs_K[several]
        measured = replace(measured, within_class=distribution(mean_K))
    if len(counts_K) > 1:
        centers = Gallery(unit_ND.shape[1])
        centers.add(center_KD)
        nnccs_N = centers.nearest(unit_ND, without=(class_N, class_N + 1))
        nearest_K = centers.nearest(center_KD, without=itself(0, len(center_KD)))
        measured = replace(
            measured,
            nnccs=distribution(nnccs_N),
            ccs_minus_nnccs=float((ccs_N - nnccs_N).mean()),
            ccs_over_nnccs=float((ccs_N / (nnccs_N + 1 + EPS)).mean()),
            nearest_center=distribution(nearest_K),
        )
    return measured


def duplicates(hash_NB: np.ndarray, labels: np.ndarray, min_cosine: float = 0.9) -> Duplicates:
    """Fractions of faces whose pixel hash is that of another face, in an identity or across."""
    order = np.argsort(labels, kind="stable")
    hash_NB, labels = hash_NB[order], labels[order]
    gallery = Gallery(hash_NB.shape[1])
    gallery.add(hash_NB)
    first_N, stop_N = (np.searchsorted(labels, labels, side=side) for side in ("left", "right"))
    across_N = gallery.nearest(hash_NB, without=(first_N, stop_N)) >= min_cosine
    within_N = gallery.nearest(hash_NB, without=itself(0, len(labels))) >= min_cosine
    return Duplicates(
        min_cosine=min_cosine,
        within_identity=float((within_N & ~across_N).mean()),
        across_identities=float(across_N.mean()),
    )


def _by_class(values_N: np.ndarray, class_N: np.ndarray) -> np.ndarray:
    return np.bincount(class_N, weights=values_N)
