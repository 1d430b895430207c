"""The gate: who is far enough from every real person and from everybody admitted before.

Accept in identity order if the largest cosine to every real and every accepted identity is below
`max_cosine`, else redraw with attempt+1 (METHODS 5). FAISS finds candidates near the threshold;
within its rounding band the decision is made in float64, so it depends on no block size, index or
thread count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.errors import PlanError
from factory.identities.proposals import Proposal

ROUNDING = 1.01 * 2.0**-24
"""Bound a dimension on the float32 error of an inner product of unit vectors: whatever the order
of summation, the error is at most n*u*sum|a_i*b_i| <= n*u (Higham 2002, eq 3.5)."""


@dataclass(frozen=True)
class Admission:
    """Accepted vectors [N, D], the attempts each took, and exact nearest cosines [N]."""

    unit_ND: np.ndarray
    attempts: list[int]
    nearest_real: np.ndarray
    nearest_other: np.ndarray


class Gallery:
    """Unit vectors that may be asked exactly whether any of them is too near."""

    def __init__(self, dim: int) -> None:
        import faiss

        self._index = faiss.IndexFlatIP(dim)
        self._band = ROUNDING * dim

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def add(self, unit_ND: np.ndarray) -> None:
        if len(unit_ND):
            self._index.add(np.ascontiguousarray(unit_ND, dtype=np.float32))

    def too_near(self, unit_D: np.ndarray, max_cosine: float) -> bool:
        """Whether the largest cosine is at or above `max_cosine`."""
        if not len(self):
            return False
        query_1D = unit_D[None].astype(np.float32)
        found, _ = self._index.search(query_1D, 1)
        if abs(found[0, 0] - max_cosine) > self._band:
            return bool(found[0, 0] > max_cosine)
        _, _, near = self._index.range_search(query_1D, max_cosine - self._band)
        return any(exact_cosine(unit_D, self._vector(i)) >= max_cosine for i in near)

    def nearest(self, unit_ND: np.ndarray, *, skip_self: bool = False) -> np.ndarray:
        """Largest cosine [N] to the gallery, each to 6 decimals; -1 where there is nobody.

        With `skip_self` row i of the query is row i of the gallery and does not count.
        """
        num_wanted = min(4, len(self))
        result = np.full(len(unit_ND), -1.0)
        if num_wanted == 0:
            return result
        _, found = self._index.search(np.ascontiguousarray(unit_ND, np.float32), num_wanted)
        for row, columns in enumerate(found):
            others = [c for c in columns if not (skip_self and c == row)]
            cosines = [exact_cosine(unit_ND[row], self._vector(c)) for c in others]
            result[row] = round(max(cosines, default=-1.0), 6)
        return result

    def _vector(self, index: int) -> np.ndarray:
        return np.asarray(self._index.reconstruct(int(index)))


def exact_cosine(a_D: np.ndarray, b_D: np.ndarray) -> float:
    """Inner product in float64, in a fixed order of summation."""
    return float((a_D.astype(np.float64) * b_D.astype(np.float64)).sum())


def admit(
    proposal: Proposal,
    unit_real_ND: np.ndarray,
    *,
    num_identities: int,
    max_cosine: float,
    max_attempts: int,
) -> Admission:
    """Fill the roster through the gate; raises PlanError when the proposals cannot fill it."""
    check_unit(unit_real_ND, "real gallery")
    dim = unit_real_ND.shape[1]
    real, accepted = Gallery(dim), Gallery(dim)
    real.add(unit_real_ND)
    vectors: list[np.ndarray] = []
    attempts: list[int] = []
    for identity in range(num_identities):
        for attempt in range(max_attempts):
            vector = proposal.draw(identity, attempt)
            if vector is None:
                raise PlanError(_exhausted(proposal.name, identity, num_identities, max_cosine))
            near = real.too_near(vector, max_cosine) or accepted.too_near(vector, max_cosine)
            if not near:
                break
        else:
            raise PlanError(
                f"identities.max_attempts: {max_attempts} proposals for identity {identity} of "
                f"{num_identities} are all nearer than {max_cosine:.3f} to somebody; raise "
                "identities.max_cosine, or want fewer identities"
            )
        accepted.add(vector[None])
        vectors.append(vector)
        attempts.append(attempt)
    unit_ND = np.stack(vectors) if vectors else np.zeros((0, dim), np.float32)
    check_unit(unit_ND, "proposals")
    nearest_real, nearest_other = real.nearest(unit_ND), accepted.nearest(unit_ND, skip_self=True)
    worst = max([*nearest_real, *nearest_other], default=-1.0)
    assert worst <= round(max_cosine, 6), "the gate admitted somebody too near"  # the certificate
    return Admission(unit_ND, attempts, nearest_real, nearest_other)


def check_unit(unit_ND: np.ndarray, what: str) -> None:
    """Raise PlanError unless all rows are finite and of unit length within 1e-3."""
    norms = np.linalg.norm(unit_ND.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.abs(norms - 1) < 1e-3))  # NaN is bad too
    if len(bad):
        raise PlanError(
            f"identities: row {bad[0]} of the {what} has length {norms[bad[0]]:.4f}; want 1"
        )


def _exhausted(name: str, reached: int, wanted: int, max_cosine: float) -> str:
    return (
        f"identities.num_virtual: {name} gave {reached} identities of {wanted} that stay below "
        f"cosine {max_cosine:.3f} to real and accepted ones, then ran out; want fewer, a larger "
        "identities.max_cosine, or identities.proposal=pca"
    )
