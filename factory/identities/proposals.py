"""Where virtual people come from: unit vectors in the recognizer's space (METHODS 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from factory.errors import PlanError
from factory.seeds import stream_seed

ROWS = 128
"""Candidates drawn at once."""


class Proposal(Protocol):
    """A generative source of candidates.

    The vector of an (identity, attempt) is always the same, in whichever batch it is drawn.
    """

    name: str

    def draw(self, identities_M: np.ndarray, attempts_M: np.ndarray) -> np.ndarray:
        """Unit vectors [M, D], float32: attempt `attempts_M[i]` for identity `identities_M[i]`."""
        ...


@dataclass(frozen=True)
class Pool:
    """A finite source of candidates: unit vectors [K, D] that are used in order, each once.

    The recognizer's virtual prototypes are one (VIGFace).
    """

    name: str
    unit_KD: np.ndarray


def colored_prototypes(unit_virtual_KD: np.ndarray, unit_centers_ND: np.ndarray) -> Pool:
    """Virtual prototypes moved onto the faces of real class centers: mean + C^(1/2) w (ours).

    The prototypes of a recognizer without the prototype stage are as good as random directions;
    scaled by sqrt(D), as those are, they have the covariance of white noise, and get that of the
    centers.
    """
    import torch

    from factory.recognition.covariance import colored, moments

    mean_D, covariance_DD = moments(torch.from_numpy(unit_centers_ND.astype(np.float64)))
    white_KD = torch.from_numpy(np.array(unit_virtual_KD)) * unit_virtual_KD.shape[1] ** 0.5
    return Pool("colored", colored(white_KD, mean_D, covariance_DD).numpy())


class PcaProposal:
    """A normal distribution in the PCA space of real class centers (Vec2Face, Arc2Face)."""

    name = "pca"

    def __init__(self, unit_centers_ND: np.ndarray, num_dims: int, seed: int) -> None:
        if len(unit_centers_ND) < 3:
            raise PlanError(
                f"identities.proposal: pca found {len(unit_centers_ND)} real identities; want at "
                "least 3, or identities.proposal=prototypes"
            )
        centers = unit_centers_ND.astype(np.float64)
        self._mean_D = centers.mean(0)
        with threadpool_limits(1):  # because BLAS sums in another order with more threads
            _, singular, basis_ND = np.linalg.svd(centers - self._mean_D, full_matrices=False)
        peaks_N = np.abs(basis_ND).argmax(1)
        basis_ND *= np.sign(basis_ND[np.arange(len(basis_ND)), peaks_N])[:, None]
        num_kept = min(num_dims, len(centers) - 1, centers.shape[1])
        spread_K = singular[:num_kept] / np.sqrt(len(centers) - 1)
        self._basis_KD = basis_ND[:num_kept] * spread_K[:, None]
        self._seed = seed

    def draw(self, identities_M: np.ndarray, attempts_M: np.ndarray) -> np.ndarray:
        parts = [np.empty((0, len(self._mean_D)), np.float32)]
        for start in range(0, len(identities_M), ROWS):  # so that sums stay in the cache
            part = slice(start, start + ROWS)
            pairs = zip(identities_M[part].tolist(), attempts_M[part].tolist(), strict=True)
            normal_MK = np.stack([self._normal(*pair) for pair in pairs])
            vector_MD = np.tile(self._mean_D, (len(normal_MK), 1))
            for normal_M, axis_D in zip(normal_MK.T, self._basis_KD, strict=True):
                vector_MD += normal_M[:, None] * axis_D  # in an order that no block size changes
            length_M1 = np.sqrt((vector_MD * vector_MD).sum(1, keepdims=True))
            parts.append((vector_MD / length_M1).astype(np.float32))
        return np.concatenate(parts)

    def _normal(self, identity: int, attempt: int) -> np.ndarray:
        key = stream_seed(self._seed, "pca", identity, attempt)
        return np.random.Generator(np.random.Philox(key)).standard_normal(len(self._basis_KD))
