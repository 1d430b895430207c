"""Filters of faces: each gives a verdict, and the first refusal decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from factory.config import FiltersConfig
from factory.records import Scores, Verdict

KEEP = Verdict(keep=True)
LOW_OWN_COSINE = "low_own_cosine"
NEARER_TO_ANOTHER = "nearer_to_another"
NEAR_REAL = "near_real"
BLURRED = "blurred"
TOO_DARK = "too_dark"
TOO_BRIGHT = "too_bright"
LOW_QUALITY = "low_quality"
UNSTABLE = "unstable"
LOW_FIQA = "low_fiqa"
NO_REGION = "no_region"
UNLIKE_ORIGINAL = "unlike_original"
UNLIKE_VISIBLE = "unlike_visible"
OCCLUDED = "occluded"
NEAR_REAL_PERSON = "near_real_person"
"""No filter's: a face that passed all, or an identity's mean face, is somebody real to the judge
(filters.spare_real_people)."""
TOO_FEW_IMAGES = "too_few_images"
"""No filter's: a face that passed all, of an identity that plan.on_shortfall drops."""


class Filter(Protocol):
    """Decides from a face's scores whether it is kept."""

    def __call__(self, scores: Scores) -> Verdict: ...


Rule = Callable[[Any, float], bool]
"""Whether scores pass a limit (Any: a score that is optional is there when its limit is)."""


def build_filters(limits: FiltersConfig, *, needs_region: bool = False) -> list[Filter]:
    """The filters that a plan's `filters` section switches on, in their fixed order.

    With `needs_region`, for faces that are edited in a region, the first one asks that the region
    could be placed.
    """
    rules: list[tuple[str, float | None, Rule]] = [
        (LOW_OWN_COSINE, limits.min_own_cosine, lambda s, limit: s.own_cosine >= limit),
        (
            NEARER_TO_ANOTHER,
            limits.min_identity_gap,
            lambda s, limit: s.own_cosine - s.nearest_other_cosine >= limit,
        ),
        (NEAR_REAL, limits.max_real_cosine, lambda s, limit: s.nearest_real_cosine <= limit),
        (BLURRED, limits.min_sharpness, lambda s, limit: s.sharpness >= limit),
        (TOO_DARK, limits.min_brightness, lambda s, limit: s.brightness >= limit),
        (TOO_BRIGHT, limits.max_brightness, lambda s, limit: s.brightness <= limit),
        (LOW_QUALITY, limits.min_cr_fiqa, lambda s, limit: s.cr_fiqa >= limit),
        (UNSTABLE, limits.min_ser_fiq, lambda s, limit: s.ser_fiq >= limit),
        (LOW_FIQA, limits.min_fiqa, lambda s, limit: s.fiqa is not None and s.fiqa >= limit),
        (UNLIKE_ORIGINAL, limits.min_original_cosine, lambda s, limit: s.original_cosine >= limit),
        (UNLIKE_VISIBLE, limits.min_visible_cosine, lambda s, limit: s.visible_cosine >= limit),
        (OCCLUDED, limits.max_occluded, lambda s, limit: s.occluded <= limit),
    ]
    filters = [_filter(reason, rule, limit) for reason, limit, rule in rules if limit is not None]
    if needs_region:
        filters.insert(0, _filter(NO_REGION, lambda s, _: s.occluded is not None, 0.0))
    return filters


def apply_filters(scores: Scores, filters: list[Filter]) -> Verdict:
    """Keep, or the first filter's reason not to."""
    for check in filters:
        verdict = check(scores)
        if not verdict.keep:
            return verdict
    return KEEP


def _filter(reason: str, passes: Rule, limit: float) -> Filter:
    def check(scores: Scores) -> Verdict:
        return KEEP if passes(scores, limit) else Verdict(False, reason)

    return check
