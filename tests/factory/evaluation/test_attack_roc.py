"""AUC, rates and intervals against plain loops, and people as what is resampled."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from factory.evaluation.attack_roc import (
    Resampling,
    attack_score,
    auc,
    chances,
    detectable_auc,
    false_alarms,
    person_means,
    tpr_at,
)
from factory.evaluation.metrics.attack import finding_of


def auc_by_loops(members, heldout):
    wins = [(m > h) + (m == h) / 2 for m in members for h in heldout]
    return sum(wins) / len(wins)


def tpr_by_loops(members, heldout, allowed):
    """The largest rate of all limits that no more held-out people exceed."""
    rates = [
        np.mean([m > limit for m in members])
        for limit in heldout
        if sum(h > limit for h in heldout) <= allowed
    ]
    return max(rates)


@pytest.mark.parametrize("seed", range(5))
def test_attack_auc_and_rate_are_those_of_loops(seed):
    rng = np.random.default_rng(seed)
    members, heldout = rng.integers(0, 9, 13) / 4 + 0.5, rng.integers(0, 9, 17) / 4
    assert auc(members, heldout) == pytest.approx(auc_by_loops(members, heldout))
    for allowed in (0, 1, 5):
        found = tpr_at(members, heldout, allowed)
        assert found == pytest.approx(tpr_by_loops(members, heldout, allowed))


def test_attack_auc_of_two_normal_distributions():
    """Phi(d/sqrt(2)) for a shift of d deviations."""
    rng = np.random.default_rng(0)
    found = auc(rng.normal(1.0, 1, 3000), rng.normal(0, 1, 3000))
    assert found == pytest.approx(0.5 * (1 + math.erf(0.5)), abs=0.02)


def test_attack_auc_in_closed_form():
    assert auc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1
    assert auc(np.array([1.0]), np.array([1.0])) == 0.5
    assert auc(np.array([1.0, 4.0]), np.array([2.0, 3.0])) == 0.5


def test_every_resampling_is_the_figure_of_the_people_drawn():
    rng = np.random.default_rng(1)
    members, heldout = rng.integers(0, 6, 7).astype(float), rng.integers(0, 6, 5).astype(float)
    drawn = Resampling.of(7, 5, seed=0, count=40)
    aucs, tprs = drawn.aucs(members, heldout), drawn.tprs(members, heldout, 1)
    for row in range(40):
        some = np.repeat(members, drawn.members_RP[row].astype(int))
        others = np.repeat(heldout, drawn.heldout_RQ[row].astype(int))
        assert (len(some), len(others)) == (7, 5)
        assert aucs[row] == pytest.approx(auc_by_loops(some, others))
        assert tprs[row] == pytest.approx(tpr_by_loops(some, others, 1))


def test_attack_resampling_follows_from_its_seed_alone():
    one, same, other = (Resampling.of(6, 4, seed, 10) for seed in (3, 3, 4))
    assert np.array_equal(one.members_RP, same.members_RP)
    assert not np.array_equal(one.members_RP, other.members_RP)


def score_of(members, heldout, chance=1.0):
    resampling = Resampling.of(len(members), len(heldout), 0, 2000)
    scores = np.concatenate([members, heldout])
    return attack_score("s", "generator", scores, len(members), resampling, chance)


@pytest.mark.parametrize("num_images", [1, 30])
def test_attack_intervals_hold_chance_as_often_as_they_say_for_people_with_many_images(num_images):
    """Images of a person are nearly the same, so only people count, however many images there are.

    Were images resampled, 30 of each person would make an interval 5 times too narrow, which holds
    .5 in a third of all sets.
    """
    rng, held = np.random.default_rng(0), 0
    person_N = np.repeat(np.arange(40), num_images)
    for _ in range(150):
        people = rng.normal(size=40)
        values_N = people[person_N] + rng.normal(0, 0.1, len(person_N))
        by_person = person_means(values_N, person_N)
        assert len(by_person) == 40
        held += score_of(by_person[:20], by_person[20:]).interval.holds(0.5)
    assert 0.87 <= held / 150 <= 0.99


def test_person_means_are_over_the_images_of_a_person():
    found = person_means(np.array([1.0, 5.0, 3.0]), np.array([0, 1, 0]))
    assert found.tolist() == [2, 5]


def test_attack_chances_are_those_of_all_ways_to_take_sides():
    """Six people have 20; with ties, and for two scores that are looked at together."""
    scores = np.array([[5.0, 4.0, 4.0, 1.0, 2.0, 4.0], [1.0, 5.0, 2.0, 6.0, 3.0, 4.0]])

    def far(score, side):
        rest = [i for i in range(6) if i not in side]
        return abs(auc_by_loops(score[list(side)], score[rest]) - 0.5)

    sides = list(itertools.combinations(range(6), 3))
    largest = [max(far(score, side) for score in scores) for side in sides]
    found = chances(scores, 3, seed=0, count=4000)
    for score, chance in zip(scores, found, strict=True):
        wanted = np.mean([value >= far(score, (0, 1, 2)) - 1e-9 for value in largest])
        assert chance == pytest.approx(wanted, abs=0.03)


def test_honest_sides_are_called_apart_as_often_as_the_largest_chance_says():
    """Of eight scores together: were each judged for itself, a third of all sets would be."""
    rng, called = np.random.default_rng(4), 0
    for _ in range(200):
        scores = rng.normal(size=(8, 16))
        called += chances(scores, 8, seed=0, count=300).min() <= 0.05
    assert 2 <= called <= 19  # 10 wanted, three deviations


def test_a_finding_is_made_of_intervals_and_chances():
    rng = np.random.default_rng(2)
    far, near = (rng.normal(shift, 1, 30) for shift in (2, 0))
    assert finding_of([score_of(far, near, 0.01)]) == "told_apart"
    assert finding_of([score_of(near, near), score_of(near, far, 0.05)]) == "told_apart"
    assert finding_of([score_of(far, near, 0.06)]) == "undecided"
    assert finding_of([score_of(near, near, 0.06)]) == "not_told_apart"
    blind = replace(score_of(far, near, 0.01), uses="nothing")
    assert finding_of([blind, score_of(near, near)]) == "not_told_apart"


@pytest.mark.parametrize(
    ("num", "allowed", "largest", "resolved"),
    [
        (22, 0, 3 / 22, False),
        (99, 0, 3 / 99, False),
        (100, 1, 4.744 / 100, True),  # Poisson: 95 % upper bound for 1 event
        (1000, 10, 16.962 / 1000, True),  # for 10 events
        (2, 0, 1.0, False),
    ],
)
def test_attack_rates_that_few_people_cannot_resolve(num, allowed, largest, resolved):
    found = false_alarms(num)
    assert (found.allowed, found.is_resolved) == (allowed, resolved)
    assert found.rate == allowed / num
    assert found.largest_rate == pytest.approx(largest, abs=1e-4)


def test_a_detectable_auc_is_seen_four_times_of_five():
    rng, num = np.random.default_rng(3), 40
    aim = detectable_auc(num, num)
    assert aim == pytest.approx(0.5 + 2.80 * math.sqrt((2 * num + 1) / (12 * num**2)), abs=1e-3)
    shift = 2**0.5 * quantile(aim)
    seen = [
        score_of(rng.normal(shift, 1, num), rng.normal(0, 1, num)).is_beyond_own_interval
        for _ in range(150)
    ]
    assert 0.7 <= np.mean(seen) <= 0.92
    assert detectable_auc(2, 2) == 1


def quantile(chance):
    """x with Phi(x) = chance, by bisection."""
    low, high = -9.0, 9.0
    for _ in range(60):
        x = (low + high) / 2
        low, high = (x, high) if (1 + math.erf(x / 2**0.5)) / 2 < chance else (low, x)
    return low
