"""Filters give the first reason, in their fixed order."""

from __future__ import annotations

import dataclasses

import pytest

from factory.config import FiltersConfig
from factory.quality import filters
from factory.records import Scores

GOOD = Scores(0.9, 1, 0.2, 0.3, 100.0, 120.0)


def verdict(scores: Scores, **limits):
    return filters.apply_filters(scores, filters.build_filters(FiltersConfig(**limits)))


@pytest.mark.parametrize(
    ("change", "limits", "reason"),
    [
        ({}, {}, ""),
        ({"own_cosine": 0.39}, {}, filters.LOW_OWN_COSINE),
        ({"nearest_other_cosine": 0.95}, {}, filters.NEARER_TO_ANOTHER),
        ({"nearest_real_cosine": 0.8}, {"max_real_cosine": 0.7}, filters.NEAR_REAL),
        ({"sharpness": 5.0}, {"min_sharpness": 6.0}, filters.BLURRED),
        ({"brightness": 10.0}, {}, filters.TOO_DARK),
        ({"brightness": 250.0}, {}, filters.TOO_BRIGHT),
        ({"brightness": 250.0, "own_cosine": 0.0}, {}, filters.LOW_OWN_COSINE),
        ({"own_cosine": 0.0}, {"min_own_cosine": None, "min_identity_gap": None}, ""),
        ({"cr_fiqa": 0.4}, {"min_cr_fiqa": 0.5}, filters.LOW_QUALITY),
        ({"ser_fiq": 0.9}, {"min_ser_fiq": 0.95}, filters.UNSTABLE),
        ({"fiqa": -0.5}, {"min_fiqa": 0.0}, filters.LOW_FIQA),
        ({"fiqa": None}, {"min_fiqa": -9.0}, filters.LOW_FIQA),
        ({"fiqa": 0.0}, {"min_fiqa": 0.0}, ""),
        ({"cr_fiqa": 0.6, "ser_fiq": 1.0}, {"min_cr_fiqa": 0.5, "min_ser_fiq": 1.0}, ""),
    ],
)
def test_reasons(change, limits, reason):
    got = verdict(dataclasses.replace(GOOD, **change), **limits)
    assert got.reason == reason
    assert got.keep == (reason == "")


def test_the_gap_is_between_the_own_cosine_and_the_nearest_other():
    near = dataclasses.replace(GOOD, own_cosine=0.7, nearest_other_cosine=0.5)
    assert verdict(near, min_identity_gap=0.1999).keep
    assert verdict(near, min_identity_gap=0.2001).reason == filters.NEARER_TO_ANOTHER


@pytest.mark.parametrize(
    ("field", "limit", "reason"),
    [
        ("own_cosine", "min_own_cosine", filters.LOW_OWN_COSINE),
        ("nearest_real_cosine", "max_real_cosine", filters.NEAR_REAL),
        ("sharpness", "min_sharpness", filters.BLURRED),
        ("brightness", "min_brightness", filters.TOO_DARK),
        ("brightness", "max_brightness", filters.TOO_BRIGHT),
        ("original_cosine", "min_original_cosine", filters.UNLIKE_ORIGINAL),
        ("visible_cosine", "min_visible_cosine", filters.UNLIKE_VISIBLE),
        ("occluded", "max_occluded", filters.OCCLUDED),
    ],
)
def test_a_score_at_its_limit_passes_and_one_beyond_does_not(field, limit, reason):
    off = {key: None for key in dataclasses.asdict(FiltersConfig()) if key.startswith("m")}
    beyond = -1e-6 if limit.startswith("min") else 1e-6
    at_limit = dataclasses.replace(GOOD, **{field: 0.5})
    assert verdict(at_limit, **(off | {limit: 0.5})).keep
    outside = dataclasses.replace(GOOD, **{field: 0.5 + beyond})
    assert verdict(outside, **(off | {limit: 0.5})).reason == reason


def test_an_edit_without_a_region_is_refused_before_all_else():
    checks = filters.build_filters(FiltersConfig(), needs_region=True)
    unlike = dataclasses.replace(GOOD, own_cosine=0.0)
    assert filters.apply_filters(unlike, checks).reason == filters.NO_REGION
    placed = dataclasses.replace(GOOD, occluded=0.0)  # a region that spares the face
    assert filters.apply_filters(placed, checks).keep
