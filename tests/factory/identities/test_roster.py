"""Rosters by each proposal, from a config."""

from __future__ import annotations

import numpy as np
import pytest

from factory.identities.roster import build_roster, open_recognizer
from factory.sources import open_source

LIMIT = 0.999


@pytest.fixture
def roster(release_config):
    def make(proposal, *items, limit=LIMIT):
        config = release_config(f"identities.proposal={proposal}", *items)
        source = open_source(config.source)
        return build_roster(config, open_recognizer(config), source, limit)

    return make


@pytest.mark.parametrize("proposal", ["prototypes", "pca", "packing"])
def test_every_proposal_fills_a_roster_twice_alike(roster, proposal):
    first, second = roster(proposal), roster(proposal)
    assert np.array_equal(first.unit_ND, second.unit_ND)
    assert [who.proposal for who in first.identities] == [proposal] * 6
    assert all(who.nearest_real_cosine < LIMIT for who in first.identities)
    np.testing.assert_allclose(np.linalg.norm(first.unit_ND, axis=1), 1, atol=1e-5)


def test_packed_people_are_further_apart_than_drawn_ones(roster):
    drawn, packed = roster("pca"), roster("packing", "identities.packing_pull=0")
    largest = [max(who.nearest_other_cosine for who in r.identities) for r in (drawn, packed)]
    assert largest[1] < largest[0]


def test_a_roster_read_back_is_the_one_written(roster):
    made = roster("packing")
    again = type(made).read(made.parquet(), made.embeddings())
    assert again.identities == made.identities
    assert np.array_equal(again.unit_ND, made.unit_ND)
