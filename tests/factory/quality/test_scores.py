"""Scores against hand-made numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.quality.scores import Scorer
from factory.records import DrawnBatch
from tests.planned import REQUEST, shots_of
from tests.vectors import unit_rows


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


def test_the_own_cosine_is_that_to_the_shots_identity_where_another_is_nearer():
    roster = np.eye(2, dtype=np.float32)
    unit, images = np.array([[0.6, 0.8]], np.float32), np.zeros((1, 8, 8, 3), np.uint8)
    (score,) = Scorer(roster, roster[1:], {}).score(
        shots_of(REQUEST, [(0, 0)]), DrawnBatch(images), unit
    )
    assert (score.own_cosine, score.nearest_other_cosine) == (0.6, 0.8)


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


def test_an_embedding_that_is_not_finite_is_an_error_of_its_shot_and_padding_is_none():
    roster, shots = np.eye(3, dtype=np.float32), shots_of(REQUEST, [(0, 0), (1, 0)])
    batch, unit = DrawnBatch(np.zeros((3, 8, 8, 3), np.uint8)), np.eye(3, dtype=np.float32)
    unit[2] = np.nan  # no shot is there
    scorer = Scorer(roster, roster, {})
    assert [s.own_cosine for s in scorer.score(shots, batch, unit)] == [1.0, 1.0]
    unit[1, 0] = np.inf
    with pytest.raises(FloatingPointError, match="000001_0000: its embedding is NaN or infinity"):
        scorer.score(shots, batch, unit)


def test_padding_changes_no_score():
    """A slot without a shot may hold a face that is nearer to everybody than the others are."""
    roster = unit_rows(1, 40, 16)
    shots = shots_of(REQUEST, [(0, 0), (1, 0)])
    unit = np.concatenate([unit_rows(2, 2, 16), roster[:1]])
    scorer = Scorer(roster, roster, {0: 0})
    images = np.zeros((3, 8, 8, 3), np.uint8)
    images[2] = 200
    padded = scorer.score(shots, DrawnBatch(images), unit)
    assert padded == scorer.score(shots, DrawnBatch(images[:2]), unit[:2])


def test_numbers_of_people_go_on_after_those_of_an_earlier_version():
    roster = unit_rows(3, 5, 8)
    shots = [replace(shot, identity=102) for shot in shots_of(REQUEST, [(0, 0)])]
    (score,) = Scorer(roster, roster[:1], {102: 0}, first_identity=100).score(
        shots, DrawnBatch(np.zeros((1, 8, 8, 3), np.uint8)), roster[2:3]
    )
    exact = roster.astype(np.float64) @ roster[2].astype(np.float64)
    exact[2] = -2
    assert score.own_cosine == 1.0
    assert score.nearest_other == 100 + int(exact.argmax())
    assert score.nearest_other_cosine == round(float(exact.max()), 5)
    assert score.nearest_real_cosine == -1.0  # the only real person is this one
