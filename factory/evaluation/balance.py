"""Who is in a release, group by group, and whether some group is crowded.

A gate that is fair on average can be crowded inside one group: a recognizer that saw few of its
people sees them alike.
"""

from __future__ import annotations

import numpy as np

from factory.evaluation.metrics.release import Balance, GroupBalance
from factory.evaluation.metrics.values import NotMeasured
from factory.identities.roster import Roster
from factory.shots.plan import Plan


def balance(plan: Plan, roster: Roster, accuracy: float | None) -> Balance | NotMeasured:
    """Fraction, quota and separability of each group of virtual identities.

    `accuracy` is the fraction of real people left out whose group was read correctly.
    """
    rendering = plan.request.rendering
    quotas = rendering.rendering.groups if rendering else plan.request.identities.quotas
    is_virtual_N, people = roster.virtual_N, roster.people
    count = int((is_virtual_N & ~people.where("group", "")).sum())
    if not count:
        return NotMeasured("n/a: identities.attributes names no groups")
    groups = {}
    for name in sorted(filter(None, people.texts("group").unique().to_pylist())):
        rows_M = np.flatnonzero(is_virtual_N & people.where("group", name))
        if len(rows_M):
            groups[name] = _group(roster, rows_M, len(rows_M) / count, quotas.get(name))
    return Balance(accuracy, groups)


def _group(
    roster: Roster, rows_M: np.ndarray, fraction: float, quota: float | None
) -> GroupBalance:
    return GroupBalance(
        count=len(rows_M),
        fraction=fraction,
        quota=quota,
        mean_attempts=float(roster.column("attempt")[rows_M].mean()),
        mean_cosine_within=_mean_cosine(roster.unit_ND[rows_M]),
        nearest_other_mean=float(roster.column("nearest_other_cosine")[rows_M].mean()),
        nearest_real_mean=float(roster.column("nearest_real_cosine")[rows_M].mean()),
    )


def _mean_cosine(unit_ND: np.ndarray) -> float | None:
    """Mean over all pairs of different rows: (|sum|^2 - n) / (n (n - 1))."""
    count = len(unit_ND)
    if count < 2:
        return None
    total_D = unit_ND.astype(np.float64).sum(0)
    return float((total_D @ total_D - count) / (count * (count - 1)))
