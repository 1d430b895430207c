"""Pairs of a test set: bins by brute force, balance, nobody twice before all once, a fixed seed."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from factory.config import PairsConfig
from factory.shards.pair_choice import (
    Bin,
    bins_of,
    choose,
    gallery_and_probes,
    genuine_pairs,
    impostor_pairs,
    lookalike_pairs,
    pair_values,
)

PERSON = np.repeat(np.arange(12), [5, 4, 4, 3, 3, 3, 2, 2, 1, 1, 6, 2])
YAW = np.random.default_rng(0).uniform(-60, 60, len(PERSON))


def as_set(rows: np.ndarray) -> set[tuple[int, int]]:
    return {tuple(sorted(pair)) for pair in rows.tolist()}


def test_candidates_are_all_pairs_of_one_person_and_of_two():
    everything = list(combinations(range(len(PERSON)), 2))
    genuine = {pair for pair in everything if PERSON[pair[0]] == PERSON[pair[1]]}
    assert as_set(genuine_pairs(PERSON, 0)) == genuine
    impostor = impostor_pairs(PERSON, 0)
    assert as_set(impostor) == set(everything) - genuine
    assert len(impostor) == len(as_set(impostor))


def test_of_too_many_pairs_some_are_drawn(monkeypatch):
    monkeypatch.setattr("factory.shards.pair_choice.MAX_PAIRS", 40)
    monkeypatch.setattr("factory.shards.pair_choice.MAX_OF_A_PERSON", 4)
    impostor, genuine = impostor_pairs(PERSON, 0), genuine_pairs(PERSON, 0)
    assert 20 < len(impostor) <= 40
    assert all(PERSON[a] != PERSON[b] for a, b in impostor.tolist())
    assert np.bincount(PERSON[genuine[:, 0]]).max() == 4


def test_bins_are_half_open_but_for_the_last_one():
    config = PairsConfig(bins={"yaw": (0.0, 15.0, 30.0), "light": ()})
    bins = bins_of(config)
    names = ["yaw-0-15", "yaw-15-30", "light-same", "light-different"]
    assert [one.name for one in bins] == names
    values = np.array([0, 14.9, 15, 30, 31, np.nan])
    assert bins[0].holds(values).tolist() == [True, True, False, False, False, False]
    assert bins[1].holds(values).tolist() == [False, False, True, True, False, False]
    assert bins[2].holds(np.array([1.0, 0.0])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("column", "wanted"), [("yaw", 50.0), ("occluded", 30.0), ("similarity", -20.0), ("light", 0.0)]
)
def test_what_a_pair_has_of_a_column(column, wanted):
    values = np.array([-20.0, 30.0])
    assert pair_values(column, values, np.array([[0, 1]])).tolist() == [wanted]
    assert pair_values("light", np.array(["a", "a"], object), np.array([[1, 0]])).tolist() == [1]


def chosen_of(low: float, high: float, seed: int = 0, num_pairs: int = 10):
    one = Bin("b", "yaw", low, high)
    kinds = genuine_pairs(PERSON, seed), impostor_pairs(PERSON, seed)
    within = [pairs[one.holds(pair_values("yaw", YAW, pairs))] for pairs in kinds]
    return within, choose(*within, PERSON, num_pairs, one.name, seed)


def test_a_bin_has_as_many_pairs_of_each_kind_by_turns_and_all_of_them_are_in_it():
    within, chosen = chosen_of(10, 60)
    count = min(10, len(within[0]))
    assert count >= 8
    assert chosen.same_K.tolist() == [True, False] * count
    for (a, b), same in zip(chosen.rows_K2.tolist(), chosen.same_K, strict=True):
        assert (PERSON[a] == PERSON[b]) == same
        assert 10 <= abs(YAW[a] - YAW[b]) <= 60
    assert len(as_set(chosen.rows_K2)) == 2 * count


def test_where_one_kind_is_rare_there_are_as_few_of_the_other():
    genuine = genuine_pairs(PERSON, 0)[:3]
    chosen = choose(genuine, impostor_pairs(PERSON, 0), PERSON, 10, "b", 0)
    assert chosen.same_K.tolist() == [True, False] * 3
    assert as_set(chosen.rows_K2[0::2]) == as_set(genuine)
    assert len(choose(genuine[:0], genuine, PERSON, 10, "b", 0).same_K) == 0


def test_nobody_gives_a_second_genuine_pair_before_everybody_gave_one():
    genuine, impostor = genuine_pairs(PERSON, 0), impostor_pairs(PERSON, 0)
    chosen = choose(genuine, impostor, PERSON, 10, "b", 0)
    assert len(set(PERSON[chosen.rows_K2[0::2, 0]].tolist())) == 10


def test_the_seed_decides_and_nothing_else():
    first, again, other = (chosen_of(0, 60, seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first.rows_K2, again.rows_K2)
    assert not np.array_equal(first.rows_K2, other.rows_K2)


def test_lookalikes_are_the_pairs_of_people_in_the_range_by_brute_force():
    rng = np.random.default_rng(2)
    unit = rng.normal(size=(14, 6))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    people = np.arange(14)  # two of whom have no image
    config = PairsConfig(lookalike_cosine=(0.3, 0.7))
    genuine, impostor = lookalike_pairs(unit, people, PERSON, config, 0)
    wanted = {(a, b) for a, b in combinations(range(12), 2) if 0.3 <= unit[a] @ unit[b] <= 0.7}
    assert len(wanted) > 3
    assert as_set(PERSON[impostor]) == wanted
    assert len(impostor) == len(wanted)
    alike = {person for pair in wanted for person in pair}
    all_genuine = genuine_pairs(PERSON, 0).tolist()
    assert as_set(genuine) == {tuple(pair) for pair in all_genuine if PERSON[pair[0]] in alike}
    none = lookalike_pairs(unit, people, PERSON, PairsConfig(lookalike_cosine=(0.999, 1.0)), 0)
    assert [len(pairs) for pairs in none] == [0, 0]


def test_a_gallery_has_one_image_of_each_and_people_of_one_image_are_unmated():
    gallery, mated, unmated = gallery_and_probes(PERSON, 0.25, 0)
    assert sorted([*gallery, *mated, *unmated]) == list(range(len(PERSON)))
    in_gallery, outside = set(PERSON[gallery].tolist()), set(PERSON[unmated].tolist())
    assert len(gallery) == len(in_gallery) == 9
    assert set(PERSON[mated].tolist()) <= in_gallery
    assert len(outside) == 3
    assert {8, 9} <= outside
    assert not in_gallery & outside
