"""How full the batches of a unit are: slots that hold a shot, of all that are drawn.

The last batch of each round is padded to its planned shape, and top-ups of different units cannot
share one: a shot's slot is its position among those of its unit, it is part of the shot and may
decide its bytes, so two units ask for the same slots. Larger units have fuller batches.
"""

from __future__ import annotations

import math

from factory.config import PlanConfig

FULL = 0.85
"""Fraction of the slots above which no advice is given."""
LARGEST_FACTOR = 64
"""Times that the advised unit may be larger."""


def used_fraction(shots: int, plan: PlanConfig, kept: float) -> float:
    """Expected fraction of the slots drawn for a unit that hold a shot.

    `kept` is the fraction of shots that pass the filters; plan.micro_batch is given.
    """
    assert plan.micro_batch is not None
    used, slots, missing = 0.0, 0, float(shots)
    for attempt in range(plan.max_rounds):
        size = (plan.topup_batch or plan.micro_batch) if attempt else plan.micro_batch
        if missing < 0.5:
            break
        used += missing
        slots += math.ceil(missing / size) * size
        missing *= 1 - kept
    return used / slots if slots else 1.0


def advised_unit(shots: int, plan: PlanConfig, kept: float) -> int | None:
    """The least multiple of plan.identities_per_unit whose batches are FULL; None for none."""
    for factor in range(2, LARGEST_FACTOR + 1):
        if used_fraction(factor * shots, plan, kept) >= FULL:
            return factor * plan.identities_per_unit
    return None


def describe_batches(shots: int, plan: PlanConfig, kept: float, *, on_gpu: bool) -> list[str]:
    """Lines for a person on a unit of so many shots, with advice where slots are wasted."""
    used = used_fraction(shots, plan, kept)
    lines = [f"batches      {used:.0%} of the slots hold a shot, top-ups included"]
    advised = None if used >= FULL else advised_unit(shots, plan, kept)
    if advised:
        lines.append(f"             plan.identities_per_unit={advised} would fill {FULL:.0%}")
    if on_gpu and plan.topup_batch and plan.topup_batch < (plan.micro_batch or 0):
        lines.append(
            f"             plan.topup_batch={plan.topup_batch}: a small batch takes a GPU about as "
            "long as a large one; want null and larger units"
        )
    return lines
