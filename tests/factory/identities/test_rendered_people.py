"""Rendered people pass the gate by their numbers; one too near gives way to the next."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.config import Config, IdentitiesConfig, PlanConfig, RenderingConfig
from factory.errors import PlanError
from factory.identities import rendered_people
from factory.identities.rendered_people import (
    build_rendered_roster,
    rendered_numbers,
    rendered_vectors,
)
from factory.rendering.people.people import draw_person
from factory.rendering.people.trait_vectors import trait_vector


class Few:
    """The sections of a config that a roster of rendered people is made of."""

    def __init__(self, people: int, **rendering) -> None:
        self.plan = PlanConfig(images_per_identity=3)
        self.identities = IdentitiesConfig(num_virtual=people, proposal="rendered")
        self.rendering = RenderingConfig(**rendering)


def roster_of(people, max_cosine=0.75, **rendering):
    config: Config = Few(people, **rendering)  # type: ignore[assignment]
    return build_rendered_roster(config, max_cosine)


def test_people_come_in_the_order_of_their_numbers():
    roster = roster_of(5, first_person=30)
    assert rendered_numbers(roster.people, 30).tolist() == [30, 31, 32, 33, 34]
    assert [one.group for one in roster.people] == [
        draw_person(RenderingConfig(), number).group for number in range(30, 35)
    ]
    assert {one.kind for one in roster.people} == {"virtual"}
    assert {one.name for one in roster.people} == {""}
    assert roster.column("num_shots").tolist() == [3] * 5
    assert (
        rendered_vectors(roster.people, RenderingConfig(first_person=30)) == roster.unit_ND
    ).all()


def test_a_twin_gives_way_to_the_next_number(monkeypatch):
    def with_twins(config, number):
        """Numbers 2 and 3 have the traits of 0 and 1."""
        person = draw_person(config, number)
        return (
            replace(draw_person(config, number - 2), index=number) if number in (2, 3) else person
        )

    monkeypatch.setattr(rendered_people, "draw_person", with_twins)
    roster = roster_of(4)
    assert rendered_numbers(roster.people, 0).tolist() == [0, 1, 4, 5]
    assert roster.column("attempt").tolist() == [0, 0, 2, 0]


def test_nobody_is_nearer_than_the_gate_allows():
    some_ND = np.stack([trait_vector(draw_person(RenderingConfig(), n)) for n in range(40)])
    limit = float(np.quantile((some_ND @ some_ND.T)[np.triu_indices(40, 1)], 0.97))
    roster = roster_of(20, limit)
    numbers = rendered_numbers(roster.people, 0).tolist()
    vectors_ND = np.stack([trait_vector(draw_person(RenderingConfig(), n)) for n in numbers])
    cosines = vectors_ND @ vectors_ND.T - 2 * np.eye(20)
    assert cosines.max() < limit
    skipped = sorted(set(range(numbers[-1])) - set(numbers))
    for number in skipped:  # each is too near to somebody with a lower number
        before = vectors_ND[[n < number for n in numbers]]
        vector = trait_vector(draw_person(RenderingConfig(), number))
        assert (before @ vector).max() >= limit


def test_too_narrow_a_gate_says_so():
    with pytest.raises(PlanError, match=r"identities\.num_virtual: rendered gave"):
        roster_of(40, -0.2)
