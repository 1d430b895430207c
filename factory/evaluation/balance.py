"""Who is in a release, group by group, and whether some group is crowded.

A gate that is fair on average can be crowded inside one group: a recognizer that saw few of its
people sees them alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from factory.identities.roster import Roster
from factory.shots.plan import Plan


def balance(plan: Plan, roster: Roster, accuracy: float | None) -> dict[str, Any]:
    """metrics/balance.json: share, quota and separability of each group of virtual identities.

    `accuracy` is how often the group of a real person left out was told rightly.
    """
    quotas = plan.request.identities.quotas
    virtual = [who for who in roster.identities if who.kind == "virtual" and who.group]
    if not virtual:
        return {"note": "n/a: identities.attributes names no groups"}
    groups = {}
    for name in sorted({who.group for who in virtual}):
        members = [who for who in virtual if who.group == name]
        unit_ND = roster.unit_ND[[who.index for who in members]]
        groups[name] = {
            "count": len(members),
            "share": len(members) / len(virtual),
            "quota": quotas.get(name),
            "mean_attempts": float(np.mean([who.attempt for who in members])),
            "mean_cosine_within": _mean_cosine(unit_ND),
            "nearest_other_mean": float(np.mean([who.nearest_other_cosine for who in members])),
            "nearest_real_mean": float(np.mean([who.nearest_real_cosine for who in members])),
        }
    return {"left_out_accuracy": accuracy, "groups": groups}


def _mean_cosine(unit_ND: np.ndarray) -> float | None:
    """Mean over all pairs of different rows: (|sum|^2 - n) / (n (n - 1))."""
    count = len(unit_ND)
    if count < 2:
        return None
    total_D = unit_ND.astype(np.float64).sum(0)
    return float((total_D @ total_D - count) / (count * (count - 1)))
