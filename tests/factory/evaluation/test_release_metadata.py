"""Scores of kept faces, and shots of rejected ones, from a release's own metadata."""

from __future__ import annotations

import numpy as np

from factory.evaluation.release_metadata import KeptScores, kept_scores, rejected_shots
from factory.execution.inline import run_units
from factory.release import build
from factory.shards import layout
from factory.shards.manifest import sealed_plan


def test_identities_are_ranked_by_the_mean_cosine_of_their_faces():
    cosines = np.array([0.9, 0.7, 0.5, 0.6, 0.9, 0.1])
    kept = KeptScores(np.array([5, 5, 6, 7, 8, 9]), {"own_cosine": cosines})
    assert kept.ranking().tolist() == [8, 5, 7, 6, 9]


def test_a_release_tells_of_its_kept_and_its_rejected_faces(release_config):
    config = release_config("filters.min_own_cosine=0", "plan.max_rounds=1")
    build(config, run_units, log=lambda line: None)
    store = layout.release_store(config)
    plan = sealed_plan(store)
    kept = kept_scores(store, plan)
    rejected = rejected_shots(store, plan, 100)
    assert len(kept.identities) + sum(map(len, rejected.values())) == plan.num_shots
    assert (kept.scores["own_cosine"] >= 0).all()
    assert np.isnan(kept.scores["cr_fiqa"]).all()  # nobody wanted it
    (reason,) = rejected
    assert rejected_shots(store, plan, 1)[reason] == rejected[reason][:1]
    assert rejected_shots(store, plan, 0) == {}
