"""Scores of kept faces, and shots of rejected ones, from a release's own metadata."""

from __future__ import annotations

import numpy as np
import pytest

from factory.evaluation.metrics.release import ScoreDeviation
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.release_metadata import ScoreTally, first_rejects, unit_scores
from factory.evaluation.unit_record import UnitFaces
from factory.execution.inline import run_units
from factory.release import build
from factory.shards import layout
from factory.shards.manifest import sealed_plan
from factory.shards.reader import metadata_rows

NONE = np.zeros(0, int)


def tally_of(*units: tuple[list[int], list[dict]]) -> ScoreTally:
    """Units of identities and rows, in their order."""
    tally = ScoreTally()
    for identities, rows in units:
        found, class_N = np.unique(identities, return_inverse=True)
        faces = UnitFaces(np.array(identities), class_N, found, *[NONE] * 3, NONE, NONE)
        tally.add(found, unit_scores(rows, faces))
    return tally


def rows(scores: list[float], name: str = "sharpness") -> list[dict]:
    return [{"own_cosine": 0.5, name: score} for score in scores]


def test_identities_are_ranked_by_the_mean_cosine_of_their_faces():
    first = [{"own_cosine": cosine} for cosine in (0.6, 0.9, 0.1)]
    second = [{"own_cosine": cosine} for cosine in (0.9, 0.7, 0.5)]
    tally = tally_of(([7, 8, 9], first), ([5, 5, 6], second))
    assert tally.ranking().tolist() == [8, 5, 7, 6, 9]


def test_deviation_is_taken_within_each_identity_that_has_two_images():
    """Deviations 1 and 3 about means that are far apart; the single image counts nowhere else."""
    scores = [1.0, 3.0, 10.0, 16.0, 50.0]
    tally = tally_of(([7, 7], rows(scores[:2])), ([8, 8, 9], rows(scores[2:])))
    measured = tally.within_identity()["sharpness"]
    assert isinstance(measured, ScoreDeviation)
    assert measured.num_identities == 2
    assert measured.mean == pytest.approx(2.0)
    assert measured.std == pytest.approx(1.0)
    assert measured.of_all_images == pytest.approx(np.std(scores))


def test_scores_that_nobody_measured_say_so():
    note = "n/a: filters.min_cr_fiqa was off, so nobody measured it"
    tally = tally_of(([7, 7], rows([1.0, 3.0])))
    assert tally.within_identity()["cr_fiqa"] == NotMeasured(note)
    some = tally_of(([7, 7], rows([1.0, 3.0], "cr_fiqa")), ([8, 8], rows([1.0, None], "cr_fiqa")))
    assert some.within_identity()["cr_fiqa"] == NotMeasured(note)
    single = tally_of(([7, 8], rows([1.0, 3.0]))).within_identity()["sharpness"]
    assert single == NotMeasured("n/a: no identity has two images")


def test_a_release_tells_of_its_kept_and_its_rejected_faces(release_config):
    config = release_config("filters.min_own_cosine=0", "plan.max_rounds=1")
    build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)
    plan = sealed_plan(store)
    num_kept = sum(len(metadata_rows(store, unit.index)) for unit in plan.units)
    rejects = [first_rejects(store, unit.index, 100) for unit in plan.units]
    assert num_kept + sum(map(len, rejects)) == plan.num_shots
    fullest = max(range(len(rejects)), key=lambda unit: len(rejects[unit]))
    assert first_rejects(store, plan.units[fullest].index, 1) == rejects[fullest][:1] != []
    assert first_rejects(store, 0, 0) == []
