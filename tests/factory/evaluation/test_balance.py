"""Fractions and crowding of groups."""

from __future__ import annotations

import numpy as np
import pytest

from factory.evaluation.balance import balance
from factory.evaluation.metrics.values import NotMeasured
from factory.identities.roster import Roster
from factory.records import Identity
from factory.shots.plan import Plan
from tests.planned import request_with

PLAN = Plan(request_with(identities={"quotas": {"a": 0.5, "b": 0.5}}), {}, [])


def test_crowded_groups_are_seen():
    """Two people at right angles, and two who are the same."""
    groups = ["a", "a", "b", "b", "c"]
    people = [
        Identity(index, "virtual", "pca", index, 0.1 * index, 0.2, 1, group=group)
        for index, group in enumerate(groups)
    ]
    unit_ND = np.array([[1, 0], [0, 1], [1, 0], [1, 0], [0, 1]], np.float32)
    measured = balance(PLAN, Roster(people, unit_ND), 0.9)
    assert measured.left_out_accuracy == 0.9
    apart, crowded, single = (measured.groups[name] for name in "abc")
    assert apart.mean_cosine_within == pytest.approx(0)
    assert crowded.mean_cosine_within == pytest.approx(1)
    assert single.mean_cosine_within is None
    assert (crowded.count, crowded.fraction, crowded.quota) == (2, 0.4, 0.5)
    assert single.quota is None
    assert crowded.mean_attempts == 2.5
    assert crowded.nearest_real_mean == pytest.approx(0.25)
    assert crowded.nearest_other_mean == pytest.approx(0.2)


def test_without_groups_nothing_is_measured():
    nobody = Roster([], np.zeros((0, 2)))
    assert balance(PLAN, nobody, None) == NotMeasured("n/a: identities.attributes names no groups")
