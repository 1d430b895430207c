"""Scores against hand-made numbers."""

from __future__ import annotations

import numpy as np
import pytest

from factory.quality.scores import Scorer, sharpness
from factory.records import DrawnBatch
from tests.planned import REQUEST, shots_of


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


def mean_gray(batch, unit_BD):
    return batch.images_BHWC.mean((1, 2, 3)) / 40


def test_further_measures_are_scores_by_their_names():
    roster = np.eye(2, dtype=np.float32)
    shots = shots_of(REQUEST, [(0, 0), (1, 0)])
    images = np.stack([np.full((8, 8, 3), gray, np.uint8) for gray in (10, 20)])
    scorer = Scorer(roster, roster, {}, {"ser_fiq": mean_gray})
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
