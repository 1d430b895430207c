"""Scores are measured right, filters give the first reason, in order."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from factory.config import FiltersConfig
from factory.quality import filters
from factory.quality.scores import Scorer, sharpness
from factory.records import DrawnBatch, Scores
from tests.planned import REQUEST, shots_of

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
        ({"cr_fiqa": 0.6, "ser_fiq": 1.0}, {"min_cr_fiqa": 0.5, "min_ser_fiq": 1.0}, ""),
    ],
)
def test_reasons(change, limits, reason):
    got = verdict(dataclasses.replace(GOOD, **change), **limits)
    assert got.reason == reason
    assert got.keep == (reason == "")


def test_scores_of_axes():
    roster, real = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[[1, 2]]
    shots = shots_of(REQUEST, [(0, 0), (1, 0)])
    unit = np.array([[0.8, 0.6, 0.0], [0.0, 1.0, 0.0]], np.float32)
    images = np.full((2, 8, 8, 3), 77, np.uint8)
    first, second = Scorer(roster, real, {1: 0}).score(shots, DrawnBatch(images), unit)
    assert (first.own_cosine, first.nearest_other) == (pytest.approx(0.8), 1)
    assert first.nearest_real_cosine == pytest.approx(0.6)
    assert second.nearest_real_cosine == 0.0  # identity 1 is itself row 0 of the real gallery
    assert first.brightness == pytest.approx(77)
    assert first.sharpness == 0


def mean_grey(batch, slots, unit_SD):
    return batch.images_BHWC[slots].mean((1, 2, 3)) / 40


def test_further_measures_are_scores_by_their_names():
    roster = np.eye(2, dtype=np.float32)
    shots = shots_of(REQUEST, [(0, 0), (1, 0)])
    images = np.stack([np.full((8, 8, 3), grey, np.uint8) for grey in (10, 20)])
    scorer = Scorer(roster, roster, {}, {"ser_fiq": mean_grey})
    scores = scorer.score(shots, DrawnBatch(images), roster)
    assert [(s.cr_fiqa, s.ser_fiq) for s in scores] == [(None, 0.25), (None, 0.5)]


def test_a_lonely_identity_has_no_other():
    roster = np.eye(1, 3, dtype=np.float32)
    shots = shots_of(REQUEST, [(0, 0)])
    score = Scorer(roster, roster, {}).score(
        shots, DrawnBatch(np.zeros((1, 8, 8, 3), np.uint8)), roster
    )[0]
    assert (score.nearest_other, score.nearest_other_cosine) == (-1, -1.0)


def test_sharpness_of_a_checkerboard_beats_a_ramp():
    board = np.indices((16, 16)).sum(0) % 2 * 255
    ramp = np.tile(np.arange(16) * 16, (16, 1))
    as_image = [np.repeat(g[:, :, None], 3, 2).astype(np.uint8) for g in (board, ramp)]
    assert sharpness(as_image[0]) > 1000
    assert sharpness(as_image[1]) == pytest.approx(0)
