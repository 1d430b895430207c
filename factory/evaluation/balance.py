"""Who is in a release, group by group, and whether some group is crowded.

A gate that is fair on average can be crowded inside one group: a recognizer that saw few of its
people sees them alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from factory.evaluation.metrics.release import Balance, GroupBalance
from factory.evaluation.metrics.values import NotMeasured
from factory.identities.roster import Roster
from factory.records import Identity
from factory.shots.plan import Plan


def balance(plan: Plan, roster: Roster, accuracy: float | None) -> Balance | NotMeasured:
    """Fraction, quota and separability of each group of virtual identities.

    `accuracy` is the fraction of real people left out whose group was read correctly.
    """
    quotas = plan.request.identities.quotas
    virtual = [person for person in roster.identities if person.kind == "virtual" and person.group]
    if not virtual:
        return NotMeasured("n/a: identities.attributes names no groups")
    groups = {}
    for name in sorted({person.group for person in virtual}):
        members = [person for person in virtual if person.group == name]
        unit_ND = roster.unit_ND[[roster.row(person.index) for person in members]]
        groups[name] = _group(members, unit_ND, len(members) / len(virtual), quotas.get(name))
    return Balance(accuracy, groups)


def _group(
    members: Sequence[Identity], unit_ND: np.ndarray, fraction: float, quota: float | None
) -> GroupBalance:
    return GroupBalance(
        count=len(members),
        fraction=fraction,
        quota=quota,
        mean_attempts=float(np.mean([person.attempt for person in members])),
        mean_cosine_within=_mean_cosine(unit_ND),
        nearest_other_mean=float(np.mean([person.nearest_other_cosine for person in members])),
        nearest_real_mean=float(np.mean([person.nearest_real_cosine for person in members])),
    )


def _mean_cosine(unit_ND: np.ndarray) -> float | None:
    """Mean over all pairs of different rows: (|sum|^2 - n) / (n (n - 1))."""
    count = len(unit_ND)
    if count < 2:
        return None
    total_D = unit_ND.astype(np.float64).sum(0)
    return float((total_D @ total_D - count) / (count * (count - 1)))
