"""Which faces stay: each filter gives a verdict, the first refusal decides."""

from __future__ import annotations

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
NO_REGION = "no_region"
UNLIKE_ORIGINAL = "unlike_original"
UNLIKE_VISIBLE = "unlike_visible"


class Filter(Protocol):
    """Scores to a verdict."""

    def __call__(self, scores: Scores) -> Verdict: ...


def build_filters(limits: FiltersConfig, *, needs_region: bool = False) -> list[Filter]:
    """The filters a plan's `filters` section switches on, in their fixed order; before them, where
    faces are edited in a region, that one could be placed."""
    first: list[Filter] = []
    if needs_region:
        first = [_rule(NO_REGION, lambda s, _: s.occluded is not None, 0.0)]
    rules: list[tuple[str, str, Any]] = [
        (LOW_OWN_COSINE, "min_own_cosine", lambda s, limit: s.own_cosine >= limit),
        (
            NEARER_TO_ANOTHER,
            "min_identity_gap",
            lambda s, limit: s.own_cosine - s.nearest_other_cosine >= limit,
        ),
        (NEAR_REAL, "max_real_cosine", lambda s, limit: s.nearest_real_cosine <= limit),
        (BLURRED, "min_sharpness", lambda s, limit: s.sharpness >= limit),
        (TOO_DARK, "min_brightness", lambda s, limit: s.brightness >= limit),
        (TOO_BRIGHT, "max_brightness", lambda s, limit: s.brightness <= limit),
        (LOW_QUALITY, "min_cr_fiqa", lambda s, limit: s.cr_fiqa >= limit),
        (UNSTABLE, "min_ser_fiq", lambda s, limit: s.ser_fiq >= limit),
        (UNLIKE_ORIGINAL, "min_original_cosine", lambda s, limit: s.original_cosine >= limit),
        (UNLIKE_VISIBLE, "min_visible_cosine", lambda s, limit: s.visible_cosine >= limit),
    ]
    return first + [
        _rule(reason, passes, limit)
        for reason, key, passes in rules
        if (limit := getattr(limits, key)) is not None
    ]


def apply_filters(scores: Scores, filters: list[Filter]) -> Verdict:
    """Keep, or the first filter's reason not to."""
    for check in filters:
        verdict = check(scores)
        if not verdict.keep:
            return verdict
    return KEEP


def _rule(reason: str, passes: Any, limit: float) -> Filter:
    def check(scores: Scores) -> Verdict:
        return KEEP if passes(scores, limit) else Verdict(False, reason)

    return check
