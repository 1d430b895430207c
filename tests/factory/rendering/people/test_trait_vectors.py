"""Vectors of traits: of unit length, apart for other people, and the number counts nowhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from factory.config import RenderingConfig
from factory.rendering.people.people import draw_person
from factory.rendering.people.trait_vectors import trait_vector

PEOPLE = [draw_person(RenderingConfig(), number) for number in range(60)]


def test_vectors_are_unit_and_of_one_length():
    vectors_ND = np.stack([trait_vector(person) for person in PEOPLE])
    assert vectors_ND.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors_ND, axis=1), 1, atol=1e-6)


def test_traits_decide_and_not_the_number():
    person = PEOPLE[0]
    assert (trait_vector(person) == trait_vector(replace(person, index=9, seed=9))).all()


def test_each_trait_tells_people_apart():
    person, own = PEOPLE[0], trait_vector(PEOPLE[0])
    changed = [
        replace(person, age=person.age + 20),
        replace(person, shape=(person.shape[0] + 2, *person.shape[1:])),
        replace(person, skin=replace(person.skin, melanin=1 - person.skin.melanin)),
        replace(person, eyes=replace(person.eyes, iris_color=(0.1, 0.3, 0.6))),
        replace(person, hair=replace(person.hair, style="long_of_a_test")),
        replace(person, beard=replace(person.beard, density=1.0)),
    ]
    for other in changed:
        assert float(own @ trait_vector(other)) < 0.9999


def test_strangers_are_far_and_a_twin_is_near():
    vectors_ND = np.stack([trait_vector(person) for person in PEOPLE])
    cosines = (vectors_ND @ vectors_ND.T)[np.triu_indices(len(PEOPLE), 1)]
    assert cosines.max() < 0.75, "the gate's limit lets everybody through here"
    twin = replace(PEOPLE[0], age=PEOPLE[0].age + 1)
    assert float(trait_vector(twin) @ vectors_ND[0]) > 0.99
