"""Proposals spread over the sphere: nearest neighbors as far as possible (METHODS 5).

They stay on the manifold of real faces, after HyperFace (Shahreza & Marcel 2025). HyperFace
compares all with all at every step. Here a point is pushed by its nearest neighbors only, which
FAISS finds once a round: n points cost n^2*D products a round and n*K*D a step, without any n x n
matrix.

Shapes: N points, R real people, K neighbors, B points at once, D embedding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from factory.identities.search import DeviceFacts, pick_neighbors

ROWS = 2048
"""Points that are moved at once: 4*ROWS*K*D bytes."""


@dataclass(frozen=True)
class Packing:
    """How points are moved: in `rounds` of `steps`, the neighbors searched anew each round."""

    rounds: int = 20
    steps: int = 5
    num_neighbors: int = 16
    sharpness: float = 30.0
    """Factor of neighbors' cosines in their softmax: a large one pushes from the nearest alone."""
    step_size: float = 0.05
    """Radians of a step in the first round; it falls to 0 over the rounds."""
    pull: float = 0.1
    """Pull toward the nearest real person, as a fraction of the push from the neighbors."""


def pack(
    start_ND: np.ndarray,
    real_RD: np.ndarray,
    max_cosine: float,
    settings: Packing,
    facts: DeviceFacts | None = None,
) -> np.ndarray:
    """Unit vectors [N, D], float32, moved apart from `start_ND` within its span.

    Those nearer than `max_cosine` to a real person are pushed from it instead of pulled. `facts`
    say what it is computed with; None: what this process has.
    """
    facts = facts or DeviceFacts.here()
    neighbors, device = pick_neighbors(facts), "cuda" if facts.torch_gpu else "cpu"
    real_RD = np.ascontiguousarray(real_RD, np.float32)
    real = torch.from_numpy(real_RD).to(device)
    x_ND = torch.from_numpy(np.ascontiguousarray(start_ND, np.float32)).clone()
    span_DS = _span(x_ND).to(device)
    num_neighbors = min(settings.num_neighbors, len(x_ND) - 1)
    if num_neighbors < 1:
        return x_ND.numpy()
    x_ND = x_ND.to(device)
    for turn in range(settings.rounds):
        points = x_ND.cpu().numpy()
        near_NK = neighbors(points, points, num_neighbors + 1)
        others_NK = torch.from_numpy(_without_self(near_NK)).to(device)
        real_N1 = neighbors(points, real_RD, 1)
        nearest_ND = real[torch.from_numpy(real_N1[:, 0]).to(device)]
        size = settings.step_size * (1 - turn / settings.rounds)
        for _ in range(settings.steps):
            x_ND = torch.cat(
                [
                    _moved(x_ND, part, others_NK, nearest_ND, max_cosine, size, settings)
                    for part in torch.arange(len(x_ND), device=device).split(ROWS)
                ]
            )
            x_ND = F.normalize(x_ND @ span_DS @ span_DS.T)  # outside is room, so it must be left
    return x_ND.cpu().numpy()


def _moved(
    x_ND: torch.Tensor,
    part_B: torch.Tensor,
    near_NK: torch.Tensor,
    nearest_ND: torch.Tensor,
    max_cosine: float,
    size: float,
    settings: Packing,
) -> torch.Tensor:
    """The points of a part, turned by at most `size` radians on the sphere."""
    x_BD, real_BD = x_ND[part_B], nearest_ND[part_B]
    near_BKD = x_ND[near_NK[part_B]]
    weight_BK = (settings.sharpness * (near_BKD @ x_BD.unsqueeze(2)).squeeze(2)).softmax(1)
    push_BD = (weight_BK.unsqueeze(1) @ near_BKD).squeeze(1)
    is_near_B1 = (x_BD * real_BD).sum(1, keepdim=True) >= max_cosine - size
    push_BD = push_BD + torch.where(is_near_B1, 1.0, -settings.pull) * real_BD
    push_BD = push_BD - (push_BD * x_BD).sum(1, keepdim=True) * x_BD  # along the sphere
    moved_BD: torch.Tensor = F.normalize(x_BD - math.tan(size) * F.normalize(push_BD))
    return moved_BD


def _span(x_ND: torch.Tensor) -> torch.Tensor:
    """Orthonormal basis [D, S] of the points' span, up to the rounding of float32."""
    square_DD = x_ND.double().T @ x_ND.double() / len(x_ND)
    length_D, basis_DD = torch.linalg.eigh(square_DD)
    span_DS: torch.Tensor = basis_DD[:, length_D > 1e-9].float()
    return span_DS


def _without_self(near_NK: np.ndarray) -> np.ndarray:
    """Neighbors [N, K] out of K+1, without the point itself.

    Where a duplicate stands in the point's place the last one is dropped.
    """
    is_self = near_NK == np.arange(len(near_NK))[:, None]
    is_self[~is_self.any(1), -1] = True
    return np.asarray(near_NK[~is_self].reshape(len(near_NK), -1))


def smallest_possible_cosine(num_points: int, dim: int) -> float:
    """A lower bound on the largest cosine between `num_points` unit vectors.

    For at most dim+1 points it is the simplex's -1/(n-1), which is reached; for more 0 (Rankin
    1955), which is reached up to 2*dim; for many the cap-area bound: caps of half the smallest
    angle round each point are disjoint, so num_points times the area fraction of one is at most 1.
    """
    if num_points <= dim + 1:
        return -1.0 / max(num_points - 1, 1)
    angle = np.linspace(0.0, math.pi, 20_001)
    logarithm = (dim - 2) * np.log(np.maximum(np.sin(angle), 1e-300))
    density = np.exp(logarithm - logarithm.max())
    fraction = np.cumsum(density) / density.sum()
    half = angle[np.searchsorted(fraction, 1.0 / num_points)]
    return max(0.0, math.cos(2 * half))


def nearest_of_random(num_points: int, dim: int, num_probes: int = 100) -> np.ndarray:
    """Largest cosines of probes to `num_points` uniform directions, float64 [num_probes].

    It is the baseline without any packing. A cosine is z / sqrt(z^2 + chi^2 of dim-1).
    """
    rng = np.random.default_rng(0)
    largest = np.empty(num_probes)
    for probe in range(num_probes):
        z_N = rng.standard_normal(num_points)
        largest[probe] = (z_N / np.sqrt(z_N**2 + rng.chisquare(dim - 1, num_points))).max()
    return largest
