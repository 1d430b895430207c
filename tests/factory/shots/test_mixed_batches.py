"""Shots of mixes say whose predictions are mixed, and how."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.identities.roster import Roster
from factory.shots.mixed_batches import (
    SecondConditions,
    family_of,
    first_condition,
    parents_of,
)
from factory.shots.plan import plan_shots
from tests.planned import REQUEST, request_with, virtual_people


@pytest.fixture
def roster():
    """Three people from number 10 on, the last a mix of the others."""
    nearest = (0.28, -0.5, 0.0)
    people = [
        replace(one, index=10 + row, nearest_other_cosine=near, nearest_real_cosine=-0.9)
        for row, (one, near) in enumerate(zip(virtual_people(9, 9, 9), nearest, strict=True))
    ]
    people[2] = replace(people[2], first_parent=11, second_parent=10, mix_weight=0.25)
    return Roster(people, np.eye(3, dtype=np.float32))


def test_shots_of_a_mix_name_its_parents_and_others_name_nobody(roster):
    shots = plan_shots(REQUEST, [(12, 0), (10, 0), (12, 1)], roster, 0)
    told = [(one.first_parent, one.second_parent, one.mix_weight) for one in shots]
    assert told == [(11, 10, 0.25), (None, None, None), (11, 10, 0.25)]
    assert [first_condition(shot) for shot in shots] == [11, 10, 11]
    assert parents_of(roster.person(11)) == (None, None, None)
    alone = plan_shots(REQUEST, [(12, 1)], roster, 0)[0]
    assert replace(alone, slot=shots[2].slot, batch=shots[2].batch) == shots[2]


def test_a_mix_is_turned_no_further_than_the_nearest_of_its_family_allows(roster):
    """Half the angle of the first parent's cosine .28 is .8, of its own 0 it would be .707."""
    turning = request_with(sampler={"perturb_identity": True})
    shots = plan_shots(turning, [(12, image) for image in range(400)], roster, 0)
    assert 0.8 <= min(shot.perturbation_cos for shot in shots) < 0.805
    assert [one.index for one in family_of(roster.person(12), roster)] == [12, 11, 10]
    assert family_of(roster.person(10), roster) == [roster.person(10)]


def test_second_conditions_stand_in_the_slots_of_mixes(roster):
    shots = plan_shots(REQUEST, [(10, 0), (12, 0), (11, 0)], roster, 0)

    def condition(identity, shot):
        assert shot is shots[1]
        return np.full(4, identity, np.float32)

    second = SecondConditions.of(shots, 5, 4, condition)
    assert second.identity_BD.tolist() == [[0] * 4, [10] * 4, [0] * 4, [0] * 4, [0] * 4]
    assert second.weight_B.tolist() == [1, 0.25, 1, 1, 1]
    assert (second.identity_BD.dtype, second.weight_B.dtype) == (np.float32, np.float32)
    assert SecondConditions.of([shots[0], shots[2]], 5, 4, condition) is None
