"""What the shots of mixes are drawn from: the conditions of two parents, and how they are weighed.

A batch may hold mixes and others. The prediction for the second parents is a network call of its
own, so that those for everybody else have the bytes that they have in a batch without mixes, and an
image depends on its shot and slot alone (METHODS 5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from factory.identities.roster import Roster
from factory.records import Identity, Shot

Parents = tuple[int | None, int | None, float | None]
"""Fields first_parent, second_parent and mix_weight of a shot."""
NO_PARENTS: Parents = (None, None, None)
Condition = Callable[[int, Shot], np.ndarray]
"""(identity, shot) -> its condition [D], turned as the shot says."""


def parents_of(identity: Identity) -> Parents:
    """The parents of a mix and the weight of the first; nobody's of others."""
    if not identity.is_mix:
        return NO_PARENTS
    return identity.first_parent, identity.second_parent, identity.mix_weight


def family_of(identity: Identity, roster: Roster) -> list[Identity]:
    """Everybody whose vector conditions the shots of an identity: itself, and its parents."""
    if not identity.is_mix:
        return [identity]
    parents = (identity.first_parent, identity.second_parent)
    return [identity, *map(roster.person, parents)]


def first_condition(shot: Shot) -> int:
    """Whose vector a shot is drawn from: its identity, or the first parent of a mix."""
    return shot.identity if shot.first_parent is None else shot.first_parent


@dataclass(frozen=True)
class SecondConditions:
    """Conditions of the second parents of a batch by slot; zeros where nobody is mixed."""

    identity_BD: np.ndarray
    """float32."""
    weight_B: np.ndarray
    """float32: w of the first parents; 1 where nobody is mixed."""

    @classmethod
    def of(
        cls, shots: Sequence[Shot], batch_size: int, dim: int, condition: Condition
    ) -> SecondConditions | None:
        """Those of some shots; None where none of them is of a mix."""
        identity_BD = np.zeros((batch_size, dim), np.float32)
        weight_B = np.ones(batch_size, np.float32)
        mixes = [shot for shot in shots if shot.second_parent is not None]
        for shot in mixes:
            assert shot.second_parent is not None
            assert shot.mix_weight is not None
            identity_BD[shot.slot] = condition(shot.second_parent, shot)
            weight_B[shot.slot] = shot.mix_weight
        return cls(identity_BD, weight_B) if mixes else None
