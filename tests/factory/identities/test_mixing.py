"""Mixes: who their parents are, where they lie, and how the gate admits them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from factory.config import MixConfig
from factory.errors import PlanError
from factory.identities.gate import admit
from factory.identities.mixing import (
    Mixes,
    MixProposal,
    largest_pair_cosine,
    mixed,
    parent_cosine,
)
from factory.identities.proposals import Pool
from factory.identities.roster_building import build_roster, open_recognizer
from factory.planning.preflight import preflight
from factory.sources import open_source
from tests.vectors import unit_rows

FAR, RANDOM = MixConfig(fraction=0.5), MixConfig(fraction=0.5, pairs="random", weight=0.3)


@pytest.mark.parametrize("weight", [0.5, 0.3, 0.8])
def test_a_mix_is_the_unit_sum_of_its_weighed_parents(weight):
    first, second = unit_rows(0, 5, 7), unit_rows(1, 5, 7)
    got = mixed(first, second, weight)
    for row in range(5):
        wanted = weight * first[row].astype(float) + (1 - weight) * second[row].astype(float)
        np.testing.assert_allclose(got[row], wanted / np.linalg.norm(wanted), atol=1e-6)
    cosines = np.stack([(got * first).sum(1), (got * second).sum(1)])
    pair = (first.astype(float) * second).sum(1)
    np.testing.assert_allclose(parent_cosine(pair, weight), cosines.max(0), atol=1e-6)
    assert got.dtype == np.float32
    assert (mixed(first, -first, 0.5) == first).all()  # whom the gate refuses


@pytest.mark.parametrize("limit", [0.2, 0.65, 0.9])
def test_halves_need_parents_below_twice_the_squared_limit_less_one(limit):
    assert largest_pair_cosine(0.5, limit) == pytest.approx(2 * limit**2 - 1)
    for pair, near in ((2 * limit**2 - 1 - 1e-6, False), (2 * limit**2 - 1 + 1e-6, True)):
        assert (parent_cosine(np.array([pair]), 0.5)[0] >= limit) == near


@pytest.mark.parametrize(("weight", "limit"), [(0.4, 0.8), (0.6, 0.8), (0.7, 0.95)])
def test_other_weights_need_parents_below_the_root(weight, limit):
    root = largest_pair_cosine(weight, limit)
    assert parent_cosine(np.array([root]), weight)[0] == pytest.approx(limit)
    assert parent_cosine(np.array([root + 0.01]), weight)[0] > limit
    assert parent_cosine(np.array([root - 0.01]), weight)[0] < limit


def test_no_parents_do_where_a_weight_leaves_no_room():
    assert largest_pair_cosine(0.75, 0.94) is None
    assert largest_pair_cosine(0.75, 0.95) is not None
    assert largest_pair_cosine(0.5, 0.0) is None


@pytest.mark.parametrize("mix", [FAR, RANDOM])
def test_parents_are_those_of_the_number_whatever_the_batch(mix):
    unit = unit_rows(0, 9, 6)
    proposal = MixProposal(unit, mix, 3)
    numbers, attempts = np.arange(40), np.arange(40) % 3
    pairs = proposal.parents(numbers, attempts)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert (pairs >= 0).all()
    assert (pairs < 9).all()
    order = np.random.default_rng(0).permutation(40)
    assert np.array_equal(proposal.parents(numbers[order], attempts[order]), pairs[order])
    assert np.array_equal(
        proposal.draw(numbers[5:6], attempts[5:6]), proposal.draw(numbers, attempts)[5:6]
    )
    wanted = mixed(unit[pairs[:, 0]], unit[pairs[:, 1]], mix.weight)
    assert np.array_equal(proposal.draw(numbers, attempts), wanted)
    assert not np.array_equal(proposal.parents(numbers, attempts + 1), pairs)
    assert not np.array_equal(MixProposal(unit, mix, 4).parents(numbers, attempts), pairs)
    assert proposal.parents(numbers[:0], attempts[:0]).shape == (0, 2)


def test_random_pairs_are_each_as_likely():
    pairs = MixProposal(unit_rows(0, 4, 6), RANDOM, 0).parents(
        np.arange(2400), np.zeros(2400, np.int64)
    )
    counts = np.zeros((4, 4))
    np.add.at(counts, (pairs[:, 0], pairs[:, 1]), 1)
    assert (counts.diagonal() == 0).all()
    off = counts[~np.eye(4, dtype=bool)]
    assert abs(off - 200).max() < 5 * np.sqrt(200)


@pytest.mark.parametrize(("people", "looked_at"), [(2000, 64), (256, 64), (20, 5), (7, 1)])
def test_far_parents_are_the_farthest_of_some_others(people, looked_at):
    """The mean rank of the lowest of K draws among P - 1 others is the sum of ((P-1-k)/(P-1))^K."""
    unit = unit_rows(2, people, 16).astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)  # nobody is nearer to one than oneself
    pairs = MixProposal(unit, FAR, 0).parents(np.arange(600), np.zeros(600, np.int64))
    cosines = unit @ unit.T
    rank = (cosines[pairs[:, 0]] < cosines[pairs[:, 0], pairs[:, 1]][:, None]).sum(1)
    others = people - 1
    wanted = sum(((others - k) / others) ** looked_at for k in range(1, others))
    assert rank.mean() == pytest.approx(wanted, abs=5 * max(rank.std(), 1) / 600**0.5)
    assert len(np.unique(pairs[:, 0])) > 0.8 * min(people, 500)


def naive(unit, real, mix, seed, count, limit, num_before=0):
    """Mixes by a plain loop: (vectors, attempts, parents)."""
    proposal, accepted = MixProposal(unit, mix, seed), []
    for number in range(len(unit), len(unit) + count):
        attempt = 0
        while True:
            numbers = np.array([num_before + number]), np.array([attempt])
            vector, pair = proposal.draw(*numbers)[0], proposal.parents(*numbers)[0]
            others = np.stack([*real, *unit, *(one[0] for one in accepted)]).astype(float)
            if (others @ vector.astype(float)).max() < limit:
                break
            attempt += 1
        accepted.append((vector, attempt, pair))
    return accepted


@pytest.mark.parametrize("block", [1, 3, 64])
@pytest.mark.parametrize("mix", [FAR, dataclasses.replace(RANDOM, weight=0.5)])
def test_the_gate_admits_mixes_by_their_own_vectors(mix, block):
    unit, real, limit = np.eye(8, dtype=np.float32)[:6], unit_rows(4, 3, 8), 0.8
    mixes = Mixes(mix, 5, 6, 8, limit, num_earlier=2)
    earlier = -np.eye(8, dtype=np.float32)[:2]
    admitted = admit(
        Pool("prototypes", unit),
        real[:0],
        num_identities=6,
        max_cosine=limit,
        max_attempts=500,
        unit_earlier_ED=earlier,
        block=block,
        num_more=8,
        more=mixes.proposal,
    )
    wanted = naive(unit, earlier, mix, 5, 8, limit, num_before=2)
    assert np.array_equal(admitted.unit_ND[:6], unit)
    assert np.array_equal(admitted.unit_ND[6:], np.stack([one[0] for one in wanted]))
    assert admitted.attempts == [0] * 6 + [one[1] for one in wanted]
    assert any(admitted.attempts)
    assert (admitted.nearest_other < limit).all()
    columns = mixes.columns("prototypes", admitted.unit_ND, admitted.attempts, 100)
    assert columns["proposal"] == ["prototypes"] * 6 + ["mix"] * 8
    parents = np.stack([columns["first_parent"], columns["second_parent"]], 1)
    assert (parents[:6] == -1).all()
    assert np.array_equal(parents[6:], 100 + np.stack([one[2] for one in wanted]))
    assert columns["mix_weight"].tolist() == [1.0] * 6 + [mix.weight] * 8


def test_nobody_is_mixed_where_no_fraction_asks_for_it():
    unit = unit_rows(0, 5, 6)
    columns = Mixes(MixConfig(), 0, 5, 0, 0.5).columns("pca", unit, [0] * 5, 0)
    assert columns == {"proposal": "pca"}


def test_a_gate_that_no_mix_can_pass_is_refused_before_it_is_asked():
    mixes = Mixes(FAR, 0, 6, 2, 0.7)
    with pytest.raises(PlanError, match=r"gate of 0\.700.* cosine of 0\.707 .* below -0\.020\)"):
        mixes.proposal(np.eye(6, dtype=np.float32))
    assert dataclasses.replace(mixes, max_cosine=0.71).proposal(np.eye(6, dtype=np.float32))
    heavy = dataclasses.replace(FAR, weight=0.9)
    with pytest.raises(PlanError, match=r"weight 0\.9 no pair will do"):
        dataclasses.replace(mixes, settings=heavy).proposal(np.eye(6, dtype=np.float32))


def test_a_roster_says_whose_mixes_its_last_people_are(release_config):
    config = release_config("identities.mix.fraction=0.34", "identities.num_virtual=6")
    inputs = preflight(config)
    roster = build_roster(config, open_recognizer(config), open_source(config.source), 0.99)
    assert [one.is_mix for one in roster.identities] == [False] * 4 + [True] * 2
    assert [one.kind for one in roster.identities] == ["virtual"] * 6
    for one in roster.identities[4:]:
        assert 0 <= one.first_parent < 4
        assert 0 <= one.second_parent < 4
        pair = roster.unit_ND[[one.first_parent]], roster.unit_ND[[one.second_parent]]
        assert np.array_equal(roster.unit_ND[one.index], mixed(*pair, 0.5)[0])
        assert (
            one.nearest_other_cosine
            >= float(parent_cosine((pair[0] * pair[1]).sum(1), 0.5)[0]) - 1e-5
        )
    assert inputs.request.to_dict()["identities"]["mix"] == dataclasses.asdict(
        config.identities.mix
    )
    plain = preflight(release_config("identities.mix.weight=0.3")).request
    assert "mix" not in plain.to_dict()["identities"]
