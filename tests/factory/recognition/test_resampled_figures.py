"""Figures of resamplings against the plain ones of the pairs drawn, and whether intervals cover."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from factory.recognition import resampled_scores
from factory.recognition import verification as plain
from factory.recognition.resampled_figures import (
    FIGURES,
    cosines_at_fmr,
    fmrs_at,
    fnmrs_at,
    fold_accuracies,
    intervals,
    power_line,
    resampled,
)
from factory.recognition.resampled_scores import AllPairs, ListedPairs
from factory.recognition.resampling import Interval, people_counts, rate_interval

NORMAL = NormalDist()


def listed(rng, people=12, each=3, of_person=0.1, noise=0.08, all_others=True):
    """Cosines that a person raises or lowers: own pairs, and those with all or the next ones."""
    own, others = rng.normal(0, of_person, people), rng.normal(0, 0.08, people)
    person = np.repeat(np.arange(people), each)
    one, two = np.triu_indices(people, 1)
    if not all_others:
        one, two = np.arange(people), (np.arange(people) + 1) % people
    genuine = 0.40 + own[person] + rng.normal(0, noise, len(person))
    impostor = 0.05 + others[one] + others[two] + rng.normal(0, noise, len(one))
    return ListedPairs(
        np.concatenate([genuine, impostor]),
        np.arange(len(genuine) + len(impostor)) < len(genuine),
        np.concatenate([person, one]),
        np.concatenate([person, two]),
    )


def drawn(pairs, counts_P):
    """Genuine and impostor cosines with each pair as often as its people say."""
    times = [
        int(counts_P[a] if a == b else counts_P[a] * counts_P[b])
        for a, b in zip(pairs.first_N, pairs.second_N, strict=True)
    ]
    same, cosines = np.repeat(pairs.same_N, times), np.repeat(pairs.cosines_N, times)
    return cosines[same], cosines[~same]


def test_figures_of_a_resampling_are_those_of_its_pairs():
    """Cosines with ties; every figure as verification.py computes it of the repeated pairs."""
    pairs = listed(np.random.default_rng(0))
    pairs = replace(pairs, cosines_N=pairs.cosines_N.round(1))
    found = resampled(pairs, list(FIGURES), seed=3, count=40)
    for row, counts_P in enumerate(people_counts(12, 3, 40)):
        genuine, impostor = drawn(pairs, counts_P)
        wanted = {
            "auc": plain.auc(genuine, impostor),
            "fdr": plain.fisher_ratio(genuine, impostor),
            "fmr100": 1 - plain.tar_at_far(genuine, impostor, 1e-2),
            "tar_at_far_1e-1": plain.tar_at_far(genuine, impostor, 1e-1),
            "cosine_at_fmr_1e-2": plain.cosine_at_fmr(impostor, 1e-2),
        }
        assert {key: found[key][row] for key in wanted} == pytest.approx(wanted)
        both = np.unique(np.concatenate([genuine, impostor]))
        rates = [((genuine < t).mean(), (impostor >= t).mean()) for t in both]
        least = min(abs(a - b) for a, b in rates)
        nearest = [(a + b) / 2 for a, b in rates if abs(a - b) <= least + 1e-12]
        assert min(abs(found["eer"][row] - rate) for rate in nearest) < 1e-9


def test_rates_at_a_threshold_are_those_of_the_pairs_drawn():
    pairs = listed(np.random.default_rng(1))
    counts_RP = people_counts(12, 0, 50)
    (counts,) = pairs.resampled(0, 50)
    threshold = float(np.sort(pairs.cosines_N)[60])
    for row in range(50):
        genuine, impostor = drawn(pairs, counts_RP[row])
        assert fnmrs_at(counts, threshold)[row] == pytest.approx((genuine <= threshold).mean())
        assert fmrs_at(counts, threshold)[row] == pytest.approx((impostor > threshold).mean())
    assert fnmrs_at(counts, -2.0).max() == 0.0
    assert fmrs_at(counts, 2.0).max() == 0.0
    assert not np.isnan(cosines_at_fmr(counts, 0.1)).any()


def test_accuracy_of_a_resampling_is_that_of_its_pairs():
    """Each fold's threshold is the best of the other folds' pairs drawn; empty folds are left."""
    pairs = listed(np.random.default_rng(2), people=12, each=2, all_others=False)
    folds = [np.flatnonzero(pairs.first_N % 3 == fold) for fold in range(3)]
    found = fold_accuracies(pairs, folds, seed=0, count=30)
    predicted = (2 - 2 * pairs.cosines_N)[:, None] < np.arange(0, 4, 0.01)
    correct = predicted == pairs.same_N[:, None]
    for row, counts_P in enumerate(people_counts(12, 0, 30)):
        weights, scores = pairs.weights(counts_P), []
        for fold in folds:
            others = np.setdiff1d(np.arange(len(correct)), fold)
            best = int((weights[others] @ correct[others]).argmax())
            if weights[fold].sum():
                scores.append(weights[fold] @ correct[fold, best] / weights[fold].sum())
        assert found[row] == pytest.approx(np.mean(scores), abs=1e-6)


def test_all_pairs_of_a_set_are_counted_for_both_people():
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(30, 6))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    labels = rng.permutation(np.arange(30) // 4 + 5)
    pairs = AllPairs.of(unit, labels)
    genuine, impostor = plain.pair_cosines(unit, labels)
    edges = np.linspace(-1, 1, resampled_scores.BINS + 1)
    assert np.array_equal(pairs.genuine_PB.sum(0), np.histogram(genuine, edges)[0])
    assert np.array_equal(pairs.impostor_PB.sum(0) / 2, np.histogram(impostor, edges)[0])
    own = (labels == 5).nonzero()[0]
    assert pairs.genuine_PB[0].sum() == math.comb(len(own), 2)
    assert pairs.impostor_PB[0].sum() == len(own) * (30 - len(own))
    assert (pairs.num_people, pairs.num_units) == (8, 4)
    parts = AllPairs.between(unit[:10], labels[:10], unit[10:], labels[10:])
    cosines, same = unit[:10] @ unit[10:].T, labels[:10, None] == labels[10:]
    assert np.array_equal(parts.genuine_PB.sum(0), np.histogram(cosines[same], edges)[0])
    assert np.array_equal(parts.impostor_PB.sum(0) / 2, np.histogram(cosines[~same], edges)[0])


def test_resamplings_of_all_pairs_are_those_of_listed_ones_to_first_order():
    """Genuine pairs exactly, impostors by c_p + c_q - 1 for c_p * c_q."""
    rng = np.random.default_rng(4)
    unit = rng.normal(size=(60, 6))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    labels = np.arange(60) // 3
    (counts,) = AllPairs.of(unit, labels).resampled(0, 50)
    edges = np.linspace(-1, 1, resampled_scores.BINS + 1)
    one, two = np.triu_indices(60, 1)
    cosines, same = (unit @ unit.T)[one, two], labels[one] == labels[two]
    for row, counts_P in enumerate(people_counts(20, 0, 50)):
        first, second = counts_P[labels[one]], counts_P[labels[two]]
        for found_RB, kind, weights in (
            (counts.genuine_RB, same, first),
            (counts.impostor_RB, ~same, first + second - 1),
        ):
            wanted = np.histogram(cosines[kind], edges, weights=weights[kind])[0]
            np.testing.assert_allclose(found_RB[row], wanted, atol=1e-3)


def test_pairs_of_unknown_people_are_resampled_one_by_one():
    """An accuracy of n independent pairs varies as the binomial says."""
    same = np.tile([True, False], 200)
    right = np.random.default_rng(0).random(400) < 0.9
    cosines = np.where(same == right, 0.8, 0.1)
    alone = np.arange(400)
    pairs = ListedPairs(cosines, same, alone, alone)
    assert (pairs.num_people, pairs.num_units) == (400, 200)
    found = fold_accuracies(pairs, plain.folds_of(same, 10)[0], seed=0)
    rate = right.mean()
    assert found.std() == pytest.approx(math.sqrt(rate * (1 - rate) / 400), rel=0.1)


def test_a_figure_without_errors_has_the_rule_of_three():
    values = {name: np.ones(50) for name in ("auc", "tar_at_far_1e-2", "fdr")}
    found = intervals({"auc": 1.0, "eer": 0.0, "fdr": 1.0, "fmr100": None}, values, 60)
    assert found["auc"] == Interval(1 - 3 / 60, 1.0)
    assert found["eer"] == rate_interval(0, 60) == Interval(0.0, 3 / 60)
    assert found["fdr"] == Interval(1.0, 1.0)
    assert found["fmr100"] is None
    few = intervals({"auc": 0.9}, {"auc": np.full(50, 0.9)}, 9)
    assert few["auc"] is None


def test_the_power_line_grows_with_the_root_of_two():
    values = np.tile([0.89, 0.91], 100)  # a standard error of .01
    line = power_line("accuracy", values, 300, "people")
    assert line.startswith("a difference of 0.0396 in accuracy is seen with 300 people a side")
    assert power_line("accuracy", values, 9, "people") == ""


def known(name):
    """The figure of the distributions that `listed` draws from, in closed form."""
    genuine, impostor = math.hypot(0.1, 0.08), math.sqrt(2 * 0.08**2 + 0.08**2)
    if name == "auc":
        return NORMAL.cdf(0.35 / math.hypot(genuine, impostor))
    if name == "eer":
        return NORMAL.cdf(-0.35 / (genuine + impostor))
    return NORMAL.cdf((0.35 - impostor * NORMAL.inv_cdf(0.9)) / genuine)


def test_intervals_over_people_cover_the_truth_as_often_as_they_say(monkeypatch):
    """250 sets of scores with effects of people; over pairs an interval would be too narrow."""
    monkeypatch.setattr(resampled_scores, "BINS", 200)
    rng, names = np.random.default_rng(7), ["auc", "eer", "tar_at_far_1e-1"]
    covered, by_pairs, sets = dict.fromkeys(names, 0), 0, 250
    for trial in range(sets):
        pairs = listed(rng, people=60)
        bins = resampled_scores._bins(pairs.cosines_N, 200)
        tables = np.zeros((2, 60, 200), np.float32)
        np.add.at(tables[0], (pairs.first_N[pairs.same_N], bins[pairs.same_N]), 1)
        for side in (pairs.first_N, pairs.second_N):
            np.add.at(tables[1], (side[~pairs.same_N], bins[~pairs.same_N]), 1)
        people = AllPairs(*tables)
        values = resampled(people, names, seed=trial, count=150)
        genuine, impostor = pairs.cosines_N[pairs.same_N], pairs.cosines_N[~pairs.same_N]
        figures = {
            "auc": plain.auc(genuine, impostor),
            "eer": plain.equal_error_rate(genuine, impostor),
            "tar_at_far_1e-1": plain.tar_at_far(genuine, impostor, 0.1),
        }
        for name, bounds in intervals(figures, values, people.num_units).items():
            covered[name] += bounds.holds(known(name))
        as_if_alone = (1.96 * genuine.std() / math.sqrt(len(genuine)), genuine.mean())
        by_pairs += abs(as_if_alone[1] - 0.40) < as_if_alone[0]
    fractions = {name: count / sets for name, count in covered.items()}
    print(fractions, by_pairs / sets)
    assert all(0.93 <= fraction <= 0.97 for fraction in fractions.values()), fractions
    assert by_pairs / sets < 0.9
