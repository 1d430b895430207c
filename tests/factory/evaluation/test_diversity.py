"""Deviation of scores within identities, and what a measurement of pose needs."""

from __future__ import annotations

import numpy as np
import pytest

from factory.config import SourceConfig
from factory.evaluation.diversity import diversity, within_identity
from factory.evaluation.metrics.release import ScoreDeviation
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.release_metadata import KeptScores
from factory.evaluation.similarity import SampledFaces


def scored(identities: list[int], scores: list[float]) -> KeptScores:
    unmeasured = np.full(len(scores), np.nan)
    by_name = dict.fromkeys(("brightness", "cr_fiqa", "ser_fiq"), unmeasured)
    return KeptScores(np.array(identities), {"sharpness": np.array(scores), **by_name})


def test_deviation_is_taken_within_each_identity_that_has_two_images():
    """Deviations 1 and 3 about means that are far apart; the single image counts nowhere else."""
    kept = scored([7, 7, 8, 8, 9], [1.0, 3.0, 10.0, 16.0, 50.0])
    measured = within_identity(kept, "sharpness")
    assert isinstance(measured, ScoreDeviation)
    assert measured.num_identities == 2
    assert measured.mean == pytest.approx(2.0)
    assert measured.std == pytest.approx(1.0)
    assert measured.of_all_images == pytest.approx(np.std([1, 3, 10, 16, 50]))


def test_scores_that_nobody_measured_say_so():
    kept = scored([7, 7], [1.0, 3.0])
    note = "n/a: filters.min_cr_fiqa was off, so nobody measured it"
    assert within_identity(kept, "cr_fiqa") == NotMeasured(note)
    single = within_identity(scored([7, 8], [1.0, 3.0]), "sharpness")
    assert single == NotMeasured("n/a: no identity has two images")


class Unread:
    """A source that nobody may decode."""


def test_pose_says_what_it_needs():
    faces = SampledFaces(np.zeros((1, 28, 28, 3), np.uint8), np.array([0]))
    measured = diversity(scored([7, 7], [1.0, 3.0]), faces, Unread(), SourceConfig())
    assert measured.pose == NotMeasured("n/a: set source.detector to a YuNet .onnx to measure yaw")
    assert isinstance(measured.within_identity["sharpness"], ScoreDeviation)
