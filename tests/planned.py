"""Shots of hand-made plans."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from factory.config import SamplerConfig, as_dict
from factory.identities.roster import Roster
from factory.records import Identity, Shot
from factory.shots.plan import plan_shots

SAMPLER: dict[str, Any] = json.loads(
    json.dumps(as_dict(SamplerConfig(kind="ddim", num_steps=4, guidance=1.0)))
)


def virtual_people(*num_shots: int) -> list[Identity]:
    """An identity for each count of shots."""
    return [Identity(i, "virtual", "pca", 0, 0.1, 0.2, n) for i, n in enumerate(num_shots)]


def shots_of(plan: dict[str, Any], wanted: list[tuple[int, int]], attempt: int = 0) -> list[Shot]:
    """Shots of (identity, image) pairs, whoever these identities are."""
    count = max(identity for identity, _ in wanted) + 1
    roster = Roster(virtual_people(*[1] * count), np.eye(count, dtype=np.float32))
    return plan_shots(plan, wanted, roster, attempt)
