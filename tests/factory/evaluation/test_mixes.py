"""How near mixes are to their parents, and a roster that names others as parents."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from factory.errors import IntegrityError
from factory.evaluation.metrics.json_form import from_json, to_json
from factory.evaluation.metrics.separability import MixedPeople
from factory.evaluation.mixes import mixed_people, refuse_other_mixes
from factory.identities.mixing import mixed
from factory.identities.roster import Roster
from factory.records import Identity
from tests.vectors import unit_rows

FIRST = 40
"""Index of the first person: the release extends another one."""


def roster_of(*mixes: tuple[int, int, float, int]) -> Roster:
    """Three people, then mixes: (row of a parent, of the other, weight, of the nearest)."""
    unit_ND = unit_rows(3, 3, 8)
    people = [Identity(FIRST + row, "virtual", "pca", 0, 0.1, 0.2, 2) for row in range(3)]
    for row, (first, second, weight, nearest) in enumerate(mixes, start=3):
        parents = {"first_parent": FIRST + first, "second_parent": FIRST + second}
        told = {"nearest_other": FIRST + nearest, "mix_weight": weight, **parents}
        people.append(replace(people[0], index=FIRST + row, proposal="mix", **told))
        vector = mixed(unit_ND[[first]], unit_ND[[second]], weight)
        unit_ND = np.concatenate([unit_ND, vector])
    return Roster(people, unit_ND)


def test_the_cosines_of_mixes_are_those_to_the_nearer_parent():
    roster = roster_of((0, 1, 0.7, 0), (2, 1, 0.7, 3), (2, 0, 0.7, 0))
    measured, unit = mixed_people(roster), roster.unit_ND.astype(float)
    assert measured.weight == pytest.approx(0.7)
    nearer = [unit[3] @ unit[0], unit[4] @ unit[2], unit[5] @ unit[2]]
    between = [unit[0] @ unit[1], unit[2] @ unit[1], unit[2] @ unit[0]]
    assert measured.nearest_parent.mean == pytest.approx(np.mean(nearer), abs=1e-9)
    assert measured.nearest_parent.max == pytest.approx(max(nearer), abs=1e-9)
    assert measured.between_parents.mean == pytest.approx(np.mean(between), abs=1e-9)
    assert measured.num_nearest_to_parent == 2  # of the first and the last, by their second
    assert from_json(MixedPeople, json.loads(json.dumps(to_json(measured)))) == measured


def test_nobody_is_measured_where_nobody_is_a_mix():
    assert mixed_people(roster_of()) is None
    assert mixed_people(Roster([], np.zeros((0, 4), np.float32))) is None
    refuse_other_mixes(roster_of())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"first_parent": FIRST + 2}, "the mix of 42 and 41 with weight 0.7"),
        ({"second_parent": FIRST + 2}, "the mix of 40 and 42 with weight 0.7"),
        ({"mix_weight": 0.71}, "the mix of 40 and 41 with weight 0.71"),
    ],
)
def test_a_mix_of_others_than_the_roster_says_is_refused(change, said):
    roster = roster_of((2, 1, 0.5, 0), (0, 1, 0.7, 0))
    refuse_other_mixes(roster)
    people = list(roster.identities)
    people[4] = replace(people[4], **change)
    with pytest.raises(IntegrityError, match=f"identity 44: is not {said}"):
        refuse_other_mixes(Roster(people, roster.unit_ND))
    people[4] = replace(people[4], first_parent=FIRST + 5)
    with pytest.raises(IntegrityError, match="identity 45: the roster has 40 to 44"):
        refuse_other_mixes(Roster(people, roster.unit_ND))
