"""The roster of rendered people: who has which number, kept apart by their traits.

The gate is that of all releases; candidates are people in the order of their numbers, and one who
is too near to somebody admitted before gives way to the next number. A roster keeps how many did
before each, so that its people's numbers follow from it.
"""

from __future__ import annotations

import math

import numpy as np

from factory.config import Config, RenderingConfig
from factory.identities.gate import admit
from factory.identities.people import People
from factory.identities.proposals import Pool
from factory.identities.roster import Roster
from factory.identities.roster_building import indices_of, planned_shots
from factory.rendering.people.people import draw_person
from factory.rendering.people.trait_vectors import trait_vector

MAX_COSINE = 0.75
"""The gate's limit where identities.max_cosine is null: of 100 components of a normal distribution
strangers' cosines have a deviation of .1, and more where age and group are alike."""
SURPLUS, AT_LEAST = 1.2, 50
"""Candidates for each person wanted, and how many more there are at least."""
PROPOSAL = "rendered"


def build_rendered_roster(config: Config, max_cosine: float) -> Roster:
    """The roster of release.method=render; raises PlanError where too few are far enough."""
    wanted = config.plan.num_admitted(config.identities.num_virtual)
    candidates = math.ceil(wanted * SURPLUS) + AT_LEAST
    first = config.rendering.first_person
    people = [draw_person(config.rendering, first + number) for number in range(candidates)]
    vectors_ND = np.stack([trait_vector(person) for person in people])
    admitted = admit(
        Pool(PROPOSAL, vectors_ND),
        np.empty((0, vectors_ND.shape[1]), np.float32),
        num_identities=wanted,
        max_cosine=max_cosine,
        max_attempts=config.identities.max_attempts,
    )
    numbers = np.arange(wanted) + np.cumsum(admitted.attempts)
    return Roster(
        People.filled(
            wanted,
            index=np.arange(wanted),
            kind="virtual",
            proposal=PROPOSAL,
            attempt=admitted.attempts,
            nearest_real_cosine=admitted.nearest_real,
            nearest_other_cosine=admitted.nearest_other,
            nearest_other=indices_of(admitted.nearest_index, 0),
            num_shots=planned_shots(config.plan, wanted),
            group=[people[number].group for number in numbers],
        ),
        admitted.unit_ND,
    )


def rendered_numbers(people: People, first_person: int) -> np.ndarray:
    """Numbers of the people of a roster, int64 [N]: those refused before each are left out."""
    attempts_N = people.column("attempt")
    return np.asarray(first_person + np.arange(len(people)) + np.cumsum(attempts_N))


def rendered_vectors(people: People, rendering: RenderingConfig) -> np.ndarray:
    """Vectors of the people of a roster [N, D], drawn anew from their numbers."""
    numbers = rendered_numbers(people, rendering.first_person).tolist()
    return np.stack([trait_vector(draw_person(rendering, number)) for number in numbers])
