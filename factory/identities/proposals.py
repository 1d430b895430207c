"""Where virtual people come from: unit vectors in the recognizer's space (METHODS 5)."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from factory.errors import PlanError
from factory.optimization import stream_seed


class Proposal(Protocol):
    """A source of candidates. `draw(i, a)` is attempt `a` for identity `i`.

    A generative source gives the same vector for the same (i, a) whenever it is asked. A finite
    one gives its next unused candidate, in order, and None when none is left.
    """

    name: str

    def draw(self, identity: int, attempt: int) -> np.ndarray | None:
        """Unit vector [D], float32."""
        ...


class PrototypePool:
    """The recognizer's virtual prototypes, in their order (VIGFace)."""

    name = "prototypes"

    def __init__(self, unit_virtual_KD: np.ndarray) -> None:
        self._left = iter(unit_virtual_KD)

    def draw(self, identity: int, attempt: int) -> np.ndarray | None:
        return next(self._left, None)


class PcaProposal:
    """A normal law in the PCA space of real class centres (Vec2Face, Arc2Face)."""

    name = "pca"

    def __init__(self, unit_centres_ND: np.ndarray, num_dims: int, seed: int) -> None:
        if len(unit_centres_ND) < 3:
            raise PlanError(
                f"identities.proposal: pca found {len(unit_centres_ND)} real identities; want at "
                "least 3, or identities.proposal=prototypes"
            )
        centres = unit_centres_ND.astype(np.float64)
        self._mean_D = centres.mean(0)
        with threadpool_limits(1):  # because BLAS sums in another order with more threads
            _, singular, basis_ND = np.linalg.svd(centres - self._mean_D, full_matrices=False)
        peaks_N = np.abs(basis_ND).argmax(1)
        basis_ND *= np.sign(basis_ND[np.arange(len(basis_ND)), peaks_N])[:, None]
        keep = min(num_dims, len(centres) - 1, centres.shape[1])
        spread_K = singular[:keep] / np.sqrt(len(centres) - 1)
        self._basis_KD = basis_ND[:keep] * spread_K[:, None]
        self._seed = seed

    def draw(self, identity: int, attempt: int) -> np.ndarray:
        key = stream_seed(self._seed, "pca", identity, attempt)
        draw_K = np.random.Generator(np.random.Philox(key)).standard_normal(len(self._basis_KD))
        vector_D = self._mean_D + (draw_K[:, None] * self._basis_KD).sum(0)
        return np.asarray(vector_D / np.linalg.norm(vector_D), dtype=np.float32)
