"""Identities with too few images: who they are, and who is drawn in their place.

plan.min_images and plan.on_shortfall say what a release promises of each identity. Reserves are
drawn in rounds that count attempts on, plan.max_rounds for each group of them, so that (attempt,
batch, slot) names one place in a unit, whichever machine draws it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from factory.records import Identity
from factory.shots.request import PlanRequest

Pair = tuple[int, int]
"""(identity, image)."""
DROPPING = ("drop", "replace")
"""plan.on_shortfall under which nobody with too few images stays."""


def planned_images(request: PlanRequest, identity: Identity) -> int:
    """Images that an identity has when nothing failed, once it is drawn."""
    return identity.num_shots or request.plan.images_per_identity


def least_images(request: PlanRequest, identity: Identity) -> int:
    """Kept images that an identity must have: plan.min_images, less what the source has of it."""
    least, fill_to = request.plan.min_images, request.plan.fill_to
    if identity.kind == "real" and fill_to:
        least -= fill_to - identity.num_shots
    return max(least, 1)


def too_few(
    request: PlanRequest, people: Sequence[Identity], kept: Iterable[Pair]
) -> list[Identity]:
    """Those of whom fewer images are kept than they must have, in their order."""
    count = Counter(identity for identity, _ in kept)
    return [one for one in people if count[one.index] < least_images(request, one)]


def with_images(
    request: PlanRequest, people: Sequence[Identity], kept: Iterable[Pair]
) -> tuple[int, int]:
    """(identities with a kept image, those of them with fewer than were planned)."""
    count = Counter(identity for identity, _ in kept)
    short = sum(0 < count[one.index] < planned_images(request, one) for one in people)
    return sum(count[one.index] > 0 for one in people), short


def rounds(request: PlanRequest, group: int) -> range:
    """Attempts of a group that is drawn: 0 is that of those planned, later ones are reserves."""
    first = group * request.plan.max_rounds
    return range(first, first + request.plan.max_rounds)
