"""Requests, plans and shots made by hand; every request is one that a plan can have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from factory.config import (
    FiltersConfig,
    IdentitiesConfig,
    PlanConfig,
    SamplerConfig,
    ShardsConfig,
)
from factory.identities.roster import Roster
from factory.records import Counts, Face, Failure, Identity, Shot, Timings, UnitResult
from factory.shots.plan import plan_shots
from factory.shots.request import (
    ComputeFacts,
    Environment,
    PlanRequest,
    ReleaseFacts,
    SourceFacts,
)

REQUEST = PlanRequest(
    source=SourceFacts("folder", "f" * 64, 12, 4, 32),
    weights={"recognizer": "1" * 64, "generator": "2" * 64},
    identities=IdentitiesConfig(num_virtual=2, proposal="pca", max_cosine=0.5),
    plan=PlanConfig(images_per_identity=2, identities_per_unit=2, micro_batch=3),
    sampler=SamplerConfig(kind="ddim", num_steps=4, guidance=1.0),
    filters=FiltersConfig(min_kept_fraction=None),  # which no plan holds
    shards=ShardsConfig(),
    compute=ComputeFacts("cpu", "fp32"),
    release=ReleaseFacts("tiny", "0.1.0", "diffusion", 3, False),
    environment=Environment("0" * 64, {"python": "3.11"}),
)


def request_with(**sections: dict[str, Any]) -> PlanRequest:
    """REQUEST with other fields in some of its sections: request_with(plan={"max_rounds": 1})."""
    changed = {name: replace(getattr(REQUEST, name), **new) for name, new in sections.items()}
    return replace(REQUEST, **changed)


def virtual_people(*num_shots: int) -> list[Identity]:
    """An identity for each count of shots."""
    return [Identity(i, "virtual", "pca", 0, 0.1, 0.2, n) for i, n in enumerate(num_shots)]


def shots_of(request: PlanRequest, wanted: list[tuple[int, int]], attempt: int = 0) -> list[Shot]:
    """Shots of (identity, image) pairs, whoever these identities are."""
    count = max(identity for identity, _ in wanted) + 1
    roster = Roster(virtual_people(*[1] * count), np.eye(count, dtype=np.float32))
    return plan_shots(request, wanted, roster, attempt)


def unit_result(
    unit: int,
    plan_hash: str,
    kept: list[Face],
    *,
    rejected: list[tuple[Face, str]] | None = None,
    failures: list[Failure] | None = None,
    took_s: float = 1.0,
) -> UnitResult:
    """What became of a unit without top-ups: every shot was planned."""
    rejected, failures = rejected or [], failures or []
    reasons = {reason: sum(r == reason for _, r in rejected) for _, reason in rejected}
    planned = len(kept) + len(rejected) + len(failures)
    counts = Counts(planned, 0, len(kept), len(rejected), len(failures), reasons)
    timings = Timings(0.0, 1.0, took_s / 2, took_s)
    return UnitResult(unit, plan_hash, counts, timings, kept, rejected, failures)
