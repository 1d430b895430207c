"""What an identity must have to be part of a release, in closed form."""

from __future__ import annotations

import dataclasses

import pytest

from factory.config import PlanConfig
from factory.identities.roster_building import planned_shots
from factory.shots.shortfall import least_images, rounds, too_few, with_images
from tests.planned import request_with, virtual_people


def settings(**plan):
    return request_with(plan=plan)


@pytest.mark.parametrize(
    ("fill_to", "planned", "kind", "least"),
    [(0, 8, "virtual", 5), (8, 8, "virtual", 5), (8, 6, "real", 3), (8, 2, "real", 1)],
)
def test_shortfall_counts_a_real_persons_photographs_too(fill_to, planned, kind, least):
    request = settings(fill_to=fill_to, min_images=5, on_shortfall="drop")
    (person,) = virtual_people(planned)
    assert least_images(request, dataclasses.replace(person, kind=kind)) == least


def test_shortfall_is_of_those_with_fewer_and_of_nobody_else():
    request = settings(min_images=2, images_per_identity=3, on_shortfall="replace")
    people = virtual_people(3, 3, 3, 3, 0)
    kept = [(0, 0), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2), (4, 0), (4, 1)]
    assert [one.index for one in too_few(request, people, kept)] == [0, 3]
    assert with_images(request, people, kept) == (4, 3), "a reserve is planned three as well"


def test_shortfall_rounds_of_reserves_repeat_no_attempt():
    request = settings(max_rounds=3)
    assert [*rounds(request, 0), *rounds(request, 1), *rounds(request, 2)] == list(range(9))


@pytest.mark.parametrize(("people", "each", "fraction"), [(7, 3, 0.3), (6, 3, 1.0), (1, 5, 0.2)])
def test_shortfall_reserves_are_the_last_of_each_unit(people, each, fraction):
    plan = PlanConfig(
        identities_per_unit=each, on_shortfall="replace", min_images=8, reserve_fraction=fraction
    )
    expected, left = [], people
    while left:
        expected += [8] * min(each, left) + [0] * plan.num_reserves
        left -= min(each, left)
    assert planned_shots(plan, plan.num_admitted(people)).tolist() == expected
    assert PlanConfig(identities_per_unit=each).num_admitted(people) == people
