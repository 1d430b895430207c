"""How near mixes of two people (identities.mix) are to these, and whether they are their mixes.

By the vectors of the roster, which the gate compared; images are compared where faces are. Shapes:
M mixes, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.errors import IntegrityError
from factory.evaluation.metrics.separability import MixedPeople
from factory.evaluation.metrics.values import distribution, nearest_cosines
from factory.identities.mixing import mixed
from factory.identities.roster import Roster

AGREEMENT = 1e-6
"""Largest difference of a value of a mix, which is of float32, from that of its parents."""


@dataclass(frozen=True)
class Families:
    """The mixes of a roster with their parents."""

    index_M: np.ndarray
    parent_M2: np.ndarray
    """Indices."""
    weight_M: np.ndarray
    nearest_M: np.ndarray
    """Index of the nearest other identity."""
    unit_MD: np.ndarray
    first_MD: np.ndarray
    second_MD: np.ndarray

    @classmethod
    def of(cls, roster: Roster) -> Families:
        """Those of a roster, float64; raises IntegrityError for a parent who is not in it."""
        mixes_M = np.flatnonzero(roster.column("first_parent") >= 0)
        parent_M2 = np.stack(
            [roster.column(name)[mixes_M] for name in ("first_parent", "second_parent")], 1
        )
        rows = [[roster.row(int(index)) for index in parent_M] for parent_M in parent_M2.T]
        own = [roster.row(int(index)) for index in roster.column("index")[mixes_M]]
        unit_MD, first_MD, second_MD = (
            roster.unit_ND[np.array(some, np.int64)].astype(np.float64) for some in (own, *rows)
        )
        return cls(
            roster.column("index")[mixes_M],
            parent_M2,
            roster.column("mix_weight")[mixes_M],
            roster.column("nearest_other")[mixes_M],
            unit_MD,
            first_MD,
            second_MD,
        )


def mixed_people(roster: Roster) -> MixedPeople | None:
    """How near the mixes of a roster are to their parents; None where nobody is one."""
    families = Families.of(roster)
    if not len(families.index_M):
        return None
    cosine_M2 = np.stack(
        [
            (families.unit_MD * parent_MD).sum(1)
            for parent_MD in (families.first_MD, families.second_MD)
        ],
        1,
    )
    near_M = (families.parent_M2 == families.nearest_M[:, None]).any(1)
    return MixedPeople(
        weight=float(families.weight_M.mean()),
        num_nearest_to_parent=int(near_M.sum()),
        between_parents=distribution((families.first_MD * families.second_MD).sum(1)),
        nearest_parent=nearest_cosines(cosine_M2.max(1)),
    )


def refuse_other_mixes(roster: Roster) -> None:
    """Raise IntegrityError for the first mix whose vector is not that of its parents."""
    families = Families.of(roster)
    for row, index in enumerate(families.index_M.tolist()):
        part = slice(row, row + 1)
        weight = float(families.weight_M[row])
        wanted_1D = mixed(families.first_MD[part], families.second_MD[part], weight)
        if not np.abs(wanted_1D - families.unit_MD[part]).max() <= AGREEMENT:
            first, second = families.parent_M2[row]
            raise IntegrityError(
                f"identity {index}: is not the mix of {first} and {second} with weight {weight:g} "
                "that the roster says; restore roster.parquet and embeddings.npy"
            )
