"""Do made faces look like real ones, as sets? FID, CMMD, improved precision and recall (METHODS 7).

All work on features of any network; the network is part of the figure's name. Shapes: N and M
features of two sets, D their length.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from factory.evaluation.embeddings import evenly_spaced
from factory.evaluation.metrics.similarity import Fidelity, OneEach
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.tallies import Moments

BLOCK = 256
SIGMA = 10.0
"""Width of CMMD's kernel (Jayasumana et al. 2024)."""
NEIGHBORS = 3
"""k of improved precision and recall (Kynkaanniemi et al. 2019)."""
MAX_FEATURES = 10_000
"""Features of each set that are compared by CMMD, precision and recall."""


def fidelity(
    made_SD: np.ndarray,
    real_TD: np.ndarray,
    made: Moments | None = None,
    real: Moments | None = None,
    labels: tuple[np.ndarray, np.ndarray] | None = None,
) -> Fidelity | NotMeasured:
    """FID, CMMD, precision and recall of two sets of features, unless one is too small.

    CMMD, precision and recall compare samples; FID has `made` and `real`, the moments of all
    features, where these are given, else those of the samples. The counts are of FID's, which is
    refused for fewer images than dimensions: such a covariance has no full rank, and the distance
    is mostly that of the numbers of images (Chong & Forsyth 2020, "Effectively unbiased FID").
    `labels` [S] and [T] say who is on the images, for figures of one image a person.
    """
    each = one_each(made_SD, labels[0], real_TD, labels[1]) if labels else None
    made_SD = evenly_spaced(made_SD, MAX_FEATURES)
    real_TD = evenly_spaced(real_TD, MAX_FEATURES)
    least = NEIGHBORS + 1
    if min(len(made_SD), len(real_TD)) < least:
        return NotMeasured(f"n/a: needs {least} images in both sets")
    precision, recall = precision_recall(made_SD, real_TD)
    made, real = made or Moments.of(made_SD), real or Moments.of(real_TD)
    too_few = _too_few_for_fid(min(made.count, real.count), len(made.mean_D))
    return Fidelity(
        num_made=made.count,
        num_real=real.count,
        fid=None if too_few else fid(made, real),
        cmmd=cmmd(made_SD, real_TD),
        precision=precision,
        recall=recall,
        fid_note=too_few,
        one_each=each,
    )


def one_each(
    made_SD: np.ndarray, labels_S: np.ndarray, real_TD: np.ndarray, labels_T: np.ndarray
) -> OneEach | NotMeasured:
    """CMMD, precision and recall of one image a person, and the same of other real people.

    Made people are compared with every second real person, and so are the real people between:
    three sets of one size, because all three figures depend on it.
    """
    made, real = _first_images(labels_S), _first_images(labels_T)
    size, least = min(len(made), len(real) // 2, MAX_FEATURES), NEIGHBORS + 1
    if size < least:
        return NotMeasured(f"n/a: needs {least} made people and {2 * least} real ones")
    made_PD = made_SD[evenly_spaced(made, size)]
    other_PD, real_PD = (real_TD[evenly_spaced(real[side::2], size)] for side in (0, 1))
    precision, recall = precision_recall(made_PD, real_PD)
    floor_precision, floor_recall = precision_recall(other_PD, real_PD)
    return OneEach(
        num_people=size,
        precision=precision,
        recall=recall,
        cmmd=cmmd(made_PD, real_PD),
        floor_precision=floor_precision,
        floor_recall=floor_recall,
        floor_cmmd=cmmd(other_PD, real_PD),
    )


def _first_images(labels: np.ndarray) -> np.ndarray:
    """The first row of each person, in the order of rows."""
    return np.sort(np.unique(labels, return_index=True)[1])


def _too_few_for_fid(num_images: int, num_dims: int) -> str:
    """Why there is no FID; empty where the smaller set has more images than dimensions."""
    if num_images > num_dims:
        return ""
    return f"n/a: {num_images} images in {num_dims} dimensions"


def fid(a: Moments, b: Moments) -> float:
    """Frechet distance of two Gaussians (Heusel et al. 2017), float64.

    |m_a - m_b|^2 + tr(S_a) + tr(S_b) - 2*tr((S_a^1/2 S_b S_a^1/2)^1/2)."""
    mean, cov_a, cov_b = a.mean_D - b.mean_D, a.covariance(), b.covariance()
    root_a = _root(cov_a)
    shared = np.sqrt(np.linalg.eigvalsh(root_a @ cov_b @ root_a).clip(min=0)).sum()
    return float(mean @ mean + np.trace(cov_a) + np.trace(cov_b) - 2 * shared)


def cmmd(a_ND: np.ndarray, b_MD: np.ndarray) -> float:
    """1000*MMD^2 with the kernel exp(-|x-y|^2/(2*SIGMA^2)), all pairs counted."""
    within = _mean_kernel(a_ND, a_ND) + _mean_kernel(b_MD, b_MD)
    return 1000 * (within - 2 * _mean_kernel(a_ND, b_MD))


def precision_recall(made_ND: np.ndarray, real_MD: np.ndarray) -> tuple[float, float]:
    """Fractions of made features near the real set, and of real ones near the made set.

    A feature is near a set inside the neighborhood of one of its features, which reaches to the
    k-th neighbor in the own set (Kynkaanniemi et al. 2019).
    """
    return _inside(made_ND, real_MD), _inside(real_MD, made_ND)


def _inside(a_ND: np.ndarray, b_MD: np.ndarray) -> float:
    radius_M = np.concatenate(
        list(_blocks(b_MD, b_MD, lambda d: np.partition(d, NEIGHBORS, axis=1)[:, NEIGHBORS].copy()))
    )
    inside = _blocks(a_ND, b_MD, lambda d: np.any(d <= radius_M, axis=1))
    return float(np.concatenate(list(inside)).mean())


def _mean_kernel(a_ND: np.ndarray, b_MD: np.ndarray) -> float:
    sums = _blocks(a_ND, b_MD, lambda d: np.exp(-d / (2 * SIGMA**2)).sum(1))
    return float(np.concatenate(list(sums)).sum() / (len(a_ND) * len(b_MD)))


def _blocks(
    a_ND: np.ndarray, b_MD: np.ndarray, reduce: Callable[[np.ndarray], np.ndarray]
) -> list[np.ndarray]:
    """`reduce` of squared distances [BLOCK, M] of each block of rows."""
    same = a_ND.shape == b_MD.shape and np.array_equal(a_ND, b_MD)
    a_ND, b_MD = a_ND.astype(np.float64), b_MD.astype(np.float64)
    norm_M = np.square(b_MD).sum(1)
    reduced = []
    for start in range(0, len(a_ND), BLOCK):
        part = a_ND[start : start + BLOCK]
        squared = np.square(part).sum(1)[:, None] + norm_M - 2 * part @ b_MD.T
        if same:
            rows = np.arange(len(part))
            squared[rows, start + rows] = 0.0  # exactly, where the expansion cancels
        reduced.append(reduce(squared.clip(min=0)))
    return reduced


def _root(cov_DD: np.ndarray) -> np.ndarray:
    """Symmetric square root of a covariance."""
    values, vectors = np.linalg.eigh(cov_DD)
    return np.asarray((vectors * np.sqrt(values.clip(min=0))) @ vectors.T)
