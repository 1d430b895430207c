"""The gate: who is far enough from every real person and from everybody admitted before.

Accept in identity order if the largest cosine to every real and every accepted identity is below
`max_cosine`, else redraw with attempt+1 (METHODS 5). Identities are decided in blocks, each block
first against everybody before it, then within itself in order; the outcome is that of the loop over
single identities, whatever the block.

n accepted of n' proposals before R real people (and identities of earlier releases) cost about
n'*(R + n/2) inner products for the gate and n*(R + n) for the certificate, and 6*D*(R + n) bytes (4
without bf16), up to 2.5 times as much while the gallery grows. Real people in files cost no memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from factory.errors import PlanError
from factory.identities.gallery import FixedGallery, Gallery, exact_cosines, itself
from factory.identities.groups import Groups
from factory.identities.proposals import Pool, Proposal
from factory.identities.search import Search

BLOCK = 4096
AHEAD = 3
"""Further proposals of a row in conflict that galleries in files check at once."""


@dataclass(frozen=True)
class Admission:
    """Who was admitted, and how near everybody else is."""

    unit_ND: np.ndarray
    attempts: list[int]
    """Proposals refused before each."""
    nearest_real: np.ndarray
    """Exact largest cosine to real people, [N]."""
    nearest_other: np.ndarray
    """Exact largest cosine to others, identities of earlier releases among them, [N]."""
    nearest_index: np.ndarray
    """Which of the accepted is nearest to each, int64 [N]; -1 for one alone."""
    num_products: int
    """Inner products that the gate itself took, without the certificate."""


def admit(
    proposal: Proposal | Pool,
    unit_real_RD: np.ndarray,
    *,
    num_identities: int,
    max_cosine: float,
    max_attempts: int,
    further: Sequence[FixedGallery] = (),
    unit_earlier_ED: np.ndarray | None = None,
    groups: Groups | None = None,
    block: int = BLOCK,
    search: Search | None = None,
    num_more: int = 0,
    more: Callable[[np.ndarray], Proposal] | None = None,
) -> Admission:
    """Fill the roster through the gate; raises PlanError when the proposals cannot fill it.

    Nobody is near a row of `unit_real_RD`, somebody in a `further` gallery of real people, or an
    identity of an earlier release. With `groups` the fractions of the quotas hold in every prefix
    of a roster that is drawn, and in the whole of one that is taken from a pool. Draws are numbered
    after earlier identities, so that a release does not propose the people it extends again. After
    `num_identities` people come `num_more` of the proposal that `more` makes of their unit vectors.
    """
    check_unit(unit_real_RD, "real gallery")
    gate = Gate(unit_real_RD, max_cosine, search, further, unit_earlier_ED, groups)
    if isinstance(proposal, Pool):
        gate.take(proposal, num_identities, block)
    else:
        gate.draw_all(proposal, range(num_identities), max_attempts, block)
    if more and num_more:
        later = range(num_identities, num_identities + num_more)
        gate.draw_all(more(gate.unit_admitted), later, max_attempts, block)
    return gate.certified()


class Gate:
    """Real people, then identities of earlier releases, then everybody accepted so far."""

    def __init__(
        self,
        unit_real_RD: np.ndarray,
        max_cosine: float,
        search: Search | None = None,
        further: Sequence[FixedGallery] = (),
        unit_earlier_ED: np.ndarray | None = None,
        groups: Groups | None = None,
    ) -> None:
        self._gallery = Gallery(unit_real_RD.shape[1], search)
        self._gallery.add(unit_real_RD)
        if unit_earlier_ED is not None:
            check_unit(unit_earlier_ED, "earlier release")
            self._gallery.add(unit_earlier_ED)
        self._num_real, self._num_before = len(unit_real_RD), len(self._gallery)
        self._further, self._max_cosine, self._groups = list(further), max_cosine, groups
        self._attempts: list[int] = []

    @property
    def num_products(self) -> int:
        """Inner products so far."""
        return self._gallery.num_products + sum(part.num_products for part in self._further)

    @property
    def unit_admitted(self) -> np.ndarray:
        """A copy of the vectors of everybody accepted so far [N, D]."""
        return self._gallery.unit_GD[self._num_before :].copy()

    def draw_all(
        self, proposal: Proposal, identities: range, max_attempts: int, block: int
    ) -> None:
        """Draw for the given identities, block by block, until all are admitted."""
        for start in range(identities.start, identities.stop, block):
            wanted = np.arange(start, min(start + block, identities.stop))
            self.admit_block(proposal, wanted, max_attempts, identities.stop)

    def admit_block(
        self, proposal: Proposal, identities: np.ndarray, max_attempts: int, num_identities: int
    ) -> None:
        """Draw for the given identities until all are admitted."""

        def draw(rows: np.ndarray) -> np.ndarray:
            if attempts[rows].max() >= max_attempts:
                stuck = identities[rows[attempts[rows].argmax()]]
                raise PlanError(
                    _crowded(proposal.name, max_attempts, stuck, num_identities, self._max_cosine)
                )
            return proposal.draw(num_earlier + identities[rows], attempts[rows])

        num_earlier = self._num_before - self._num_real
        attempts = np.zeros(len(identities), dtype=np.int64)
        rows = np.arange(len(identities))
        unit_BD = draw(rows)
        while len(rows := rows[self._unfit(identities[rows], unit_BD[rows])]):
            attempts[rows] += 1
            unit_BD[rows] = draw(rows)

        conflicts = self._conflicts(unit_BD)
        decided = self._decide_ahead(draw, identities, attempts, max_attempts, sorted(conflicts))

        def again(row: int) -> np.ndarray:
            """The next proposal for a row that is far from everybody before the block."""
            while True:
                attempts[row] += 1
                unit_1D = draw(np.array([row]))
                unfit = decided.pop((row, int(attempts[row])), None)
                if unfit is None:
                    unfit = bool(self._unfit(identities[[row]], unit_1D)[0])
                if not unfit:
                    return np.asarray(unit_1D[0])

        self._settle(unit_BD, conflicts, again)
        self._accept(unit_BD, attempts)

    def take(self, pool: Pool, num_identities: int, block: int) -> None:
        """Accept candidates of a finite pool in their order; each is used once."""
        used = 0
        if not num_identities:
            return
        room_G = np.array([num_identities])
        if self._groups:
            room_G = self._groups.counts(num_identities)
        for start in range(0, len(pool.unit_KD), block):
            part_BD = pool.unit_KD[start : start + block]
            check_unit(part_BD, pool.name)
            far = np.flatnonzero(~self._too_near(part_BD))
            rows = far[self._taken(part_BD[far], room_G)]
            indices = start + rows
            self._accept(part_BD[rows], np.diff(np.concatenate([[used - 1], indices])) - 1)
            used = int(indices[-1]) + 1 if len(indices) else used
            if len(self._attempts) == num_identities:
                return
        raise PlanError(
            _exhausted(pool.name, len(self._attempts), num_identities, self._max_cosine)
        )

    def certified(self) -> Admission:
        """Everybody admitted, certified by an exact pass over all pairs."""
        gate_products = self.num_products
        unit_ND = self._gallery.unit_GD[self._num_before :]
        real, other, index = [np.empty(0)], [np.empty(0)], [np.empty(0, np.int64)]
        for start in range(0, len(unit_ND), BLOCK):
            part = unit_ND[start : start + BLOCK]
            own = itself(self._num_before + start, len(part))
            real.append(nearest_of(part, self._gallery, self._num_real, self._further))
            cosine_B, index_B = self._gallery.nearest_with_index(
                part, first=self._num_before, without=own
            )
            earlier_B = self._gallery.nearest(part, first=self._num_real, stop=self._num_before)
            other.append(np.maximum(cosine_B, earlier_B))
            index.append(np.maximum(index_B - self._num_before, -1))
        real_N, other_N = np.concatenate(real), np.concatenate(other)
        worst = max(real_N.max(initial=-1.0), other_N.max(initial=-1.0))
        assert worst < self._max_cosine, "the gate admitted somebody too near"  # the certificate
        return Admission(
            unit_ND.copy(),
            self._attempts,
            _six_decimals(real_N),
            _six_decimals(other_N),
            np.concatenate(index),
            gate_products,
        )

    def _unfit(self, identities_M: np.ndarray, unit_MD: np.ndarray) -> np.ndarray:
        """Whether each candidate is too near to somebody, or of another group than wanted."""
        unfit_M = np.zeros(len(unit_MD), bool)
        if self._groups:
            unfit_M = self._groups.predict(unit_MD) != self._groups.wanted(identities_M)
        open_M = np.flatnonzero(~unfit_M)
        unfit_M[open_M] = self._too_near(unit_MD[open_M])
        return unfit_M

    def _too_near(self, unit_MD: np.ndarray) -> np.ndarray:
        """Whether each candidate is too near to anybody in the galleries: bool [M]."""
        near_M = self._gallery.too_near(unit_MD, self._max_cosine)
        for part in self._further:
            open_M = np.flatnonzero(~near_M)
            if len(open_M):
                near_M[open_M] = part.too_near(unit_MD[open_M], self._max_cosine)
        return near_M

    def _decide_ahead(
        self,
        draw: Callable[[np.ndarray], np.ndarray],
        identities: np.ndarray,
        attempts: np.ndarray,
        max_attempts: int,
        rows: list[int],
    ) -> dict[tuple[int, int], bool]:
        """Whether the next proposals of rows that will likely be redrawn are unfit.

        The keys are (row, attempt). So a gallery in files is read once for all of them, not once
        for each.
        """
        if not self._further or not rows:
            return {}
        decided: dict[tuple[int, int], bool] = {}
        before = attempts.copy()
        for ahead in range(1, AHEAD + 1):
            attempts[rows] = before[rows] + ahead
            if attempts[rows].max() >= max_attempts:
                break
            row_R = np.array(rows)
            unfit = self._unfit(identities[row_R], draw(row_R))
            tried = [(row, int(before[row]) + ahead) for row in rows]
            decided |= dict(zip(tried, unfit.tolist(), strict=True))
        attempts[:] = before
        return decided

    def _settle(
        self,
        unit_BD: np.ndarray,
        earlier: dict[int, list[int]],
        again: Callable[[int], np.ndarray],
    ) -> None:
        """Go through a block in order; a row too near to an earlier one is redrawn, in place."""
        changed: list[int] = []
        for row in range(len(unit_BD)):
            was_near = any(i not in changed for i in earlier.get(row, ()))
            if not was_near and not self._near_any(unit_BD, row, np.array(changed, np.int64)):
                continue
            everybody = np.arange(row)
            unit_BD[row] = again(row)
            while self._near_any(unit_BD, row, everybody):
                unit_BD[row] = again(row)
            changed.append(row)

    def _taken(self, unit_BD: np.ndarray, room_G: np.ndarray) -> np.ndarray:
        """Rows to take: far from every earlier row taken, and their group has room."""
        earlier = self._conflicts(unit_BD)
        group_B = self._groups.predict(unit_BD) if self._groups else np.zeros(len(unit_BD), int)
        taken: dict[int, bool] = {}
        for row, group in enumerate(group_B):
            taken[row] = room_G[group] > 0 and not any(taken[i] for i in earlier.get(row, ()))
            room_G[group] -= taken[row]
        return np.array([row for row, one in taken.items() if one], dtype=np.int64)

    def _conflicts(self, unit_BD: np.ndarray) -> dict[int, list[int]]:
        """For each row the earlier rows of the block that it is too near to."""
        earlier: dict[int, list[int]] = {}
        row_P, column_P = self._gallery.near_pairs(unit_BD, self._max_cosine)
        for row, column in zip(row_P.tolist(), column_P.tolist(), strict=True):
            earlier.setdefault(row, []).append(column)
        return earlier

    def _near_any(self, unit_BD: np.ndarray, row: int, others: np.ndarray) -> bool:
        cosines = exact_cosines(unit_BD, np.full(len(others), row), unit_BD, others)
        return bool((cosines >= self._max_cosine).any())

    def _accept(self, unit_BD: np.ndarray, attempts: np.ndarray) -> None:
        check_unit(unit_BD, "proposals")
        self._gallery.add(unit_BD)
        self._attempts += attempts.tolist()


def nearest_of(
    unit_MD: np.ndarray, gallery: Gallery, num_real: int, further: Sequence[FixedGallery]
) -> np.ndarray:
    """Largest cosine to a real person: the gallery's first `num_real`, or one of the others."""
    parts = [gallery.nearest(unit_MD, stop=num_real), *(part.nearest(unit_MD) for part in further)]
    return np.asarray(np.max(parts, axis=0))


def _six_decimals(cosine_N: np.ndarray) -> np.ndarray:
    """Cosines cut off, not rounded: one below the gate must not be written as the gate itself."""
    return np.asarray((np.floor(cosine_N * 1e6) / 1e6).round(6))


def check_unit(unit_ND: np.ndarray, name: str) -> None:
    """Raise PlanError unless all rows are finite and of unit length within 1e-3."""
    norms = np.linalg.norm(unit_ND.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.abs(norms - 1) < 1e-3))  # NaN is bad too
    if len(bad):
        raise PlanError(
            f"identities: row {bad[0]} of the {name} has length {norms[bad[0]]:.4f}; want 1"
        )


def _crowded(name: str, max_attempts: int, identity: int, wanted: int, max_cosine: float) -> str:
    remedy = {"mix": "a smaller identities.mix.fraction"}.get(name, "other identities.quotas")
    return (
        f"identities.max_attempts: {max_attempts} proposals for identity {identity} of {wanted} "
        f"are all nearer than {max_cosine:.3f} to somebody, or not of the group wanted; raise "
        f"identities.max_cosine, want fewer identities, or {remedy}"
    )


def _exhausted(name: str, reached: int, wanted: int, max_cosine: float) -> str:
    remedy = {
        "packing": "more identities.packing_surplus or identities.packing_rounds",
        "rendered": "another rendering.seed",
    }.get(name, "identities.proposal=pca")
    return (
        f"identities.num_virtual: {name} gave {reached} identities of {wanted} that stay below "
        f"cosine {max_cosine:.3f} to real and accepted ones, then ran out; want fewer, a larger "
        f"identities.max_cosine, or {remedy}"
    )
