"""Errors by group: against plain loops, pandas, closed forms and a published row."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from factory.recognition.group_errors import (
    GroupReport,
    Rate,
    group_errors,
    group_figures,
    ratios,
    spread,
)
from factory.recognition.pair_scores import PairScores
from factory.recognition.pairs import Pairs
from factory.recognition.resampling import Interval, people_counts, rate_bounds
from factory.recognition.verification import cosine_at_fmr, fold_accuracy

GROUPS = ("a", "b", "c")


def simulated(seed: int = 0, num_pairs: int = 3000, num_people: int = 60, failed: float = 0.0):
    """Pairs of people whose group is their number modulo 4; the fourth has none."""
    rng = np.random.default_rng(seed)
    same = rng.random(num_pairs) < 0.4
    first = rng.integers(0, num_people, num_pairs)
    second = np.where(same, first, (first + rng.integers(1, num_people, num_pairs)) % num_people)
    people = np.stack([first, second], 1).reshape(-1)
    acquired = rng.random(2 * num_pairs) >= failed
    alike = (first % 4) == (second % 4)
    cosine = rng.normal(np.where(same, 0.5 - 0.05 * (first % 4), 0.1 + 0.06 * alike), 0.15)
    cosine = np.round(cosine, 2)  # so that there are ties
    cosine[~acquired.reshape(-1, 2).all(1)] = np.nan
    keys = tuple(f"{person}/{row}" for row, person in enumerate(people))
    names = tuple(f"p{person}" for person in people)
    groups = [None if person % 4 == 3 else GROUPS[person % 4] for person in people]
    return PairScores(cosine, same, keys, names, acquired), groups


def plain(scores: PairScores, groups, fmr: float, *, failures: bool):
    """Threshold, and (errors, comparisons) by kind and pair of groups, in a loop."""
    scored = scores.is_scored_N
    impostor = []
    for row, same in enumerate(scores.same_N):
        if not same and (scored[row] or failures):
            impostor.append(scores.cosine_N[row] if scored[row] else -np.inf)
    threshold = sorted(impostor)[len(impostor) - 1 - math.floor(fmr * len(impostor))]
    counts: dict[tuple[str, str | None, str | None], list[int]] = {}
    for row, same in enumerate(scores.same_N):
        if not scored[row] and not failures:
            continue
        is_match = bool(scored[row]) and scores.cosine_N[row] > threshold
        kind = "genuine" if same else "impostor"
        pair = groups[2 * row : 2 * row + 2]
        for one, other in {(pair[0], pair[1]), (pair[1], pair[0]), ("all", "all")}:
            both = counts.setdefault((kind, one, other), [0, 0])
            both[0] += is_match != same
            both[1] += 1
    return threshold, counts


@pytest.mark.parametrize(("failed", "failures"), [(0.0, False), (0.1, False), (0.1, True)])
def test_rates_of_groups_are_those_of_a_plain_loop(failed, failures):
    scores, groups = simulated(failed=failed)
    report = group_errors(scores, groups, 0.05, count_failures=failures)
    assert isinstance(report, GroupReport)
    threshold, counts = plain(scores, groups, 0.05, failures=failures)
    assert report.threshold == threshold

    def counted(rate: Rate) -> list[int]:
        assert rate.rate == pytest.approx(rate.errors / rate.count)
        assert rate.interval is not None
        assert rate.interval.low <= rate.rate <= rate.interval.high
        return [rate.errors, rate.count]

    assert counted(report.fmr) == counts["impostor", "all", "all"]
    assert counted(report.fnmr) == counts["genuine", "all", "all"]
    for one, other in itertools.product(GROUPS, GROUPS):
        assert counted(report.fmr_matrix[one][other]) == counts["impostor", one, other]
    for name, group in report.groups.items():
        assert group.fmr == report.fmr_matrix[name][name]
        assert counted(group.fnmr) == counts["genuine", name, name]
    sorted_out = sum(n for (_, one, other), (_, n) in counts.items() if one == other != None)  # noqa: E711
    assert report.left_out + sorted_out > 0
    without = [row for row in range(len(scores.same_N)) if None in groups[2 * row : 2 * row + 2]]
    kept = scores.is_scored_N | failures
    assert report.left_out == int(kept[without].sum())


def test_rates_and_means_are_those_of_pandas():
    """A kept library's grouping in the place of fairlearn's MetricFrame, which is not installed."""
    scores, groups = simulated(seed=1)
    report = group_errors(scores, groups, 0.02)
    assert isinstance(report, GroupReport)
    impostor = scores.cosine_N[~scores.same_N]
    table = pd.DataFrame(
        {
            "one": groups[0::2],
            "other": groups[1::2],
            "same": scores.same_N,
            "cosine": scores.cosine_N,
            "match": scores.cosine_N > cosine_at_fmr(impostor, 0.02),
        }
    )
    within = table[table.one == table.other].groupby(["one", "same"])
    rate, mean = within["match"].mean(), within["cosine"].mean()
    means = table.groupby("same")["cosine"].mean()
    for name, group in report.groups.items():
        assert group.fmr.rate == pytest.approx(rate[name, False])
        assert group.fnmr.rate == pytest.approx(1 - rate[name, True])
        assert group.genuine_mean == pytest.approx(mean[name, True])
        assert group.impostor_shift == pytest.approx(mean[name, False] - means[False])
        assert group.genuine_shift == pytest.approx(mean[name, True] - means[True])
        own = table[(table.one == name) & (table.other == name)]
        wanted = fold_accuracy(own.cosine.to_numpy(), own.same.to_numpy(), 10)[0]
        assert group.accuracy == wanted


def test_failures_are_rates_of_images_and_count_only_where_asked():
    scores, groups = simulated(failed=0.2, num_pairs=1500)
    shown = [group_errors(scores, groups, 0.05, count_failures=c) for c in (False, True)]
    without, with_failures = (r for r in shown if isinstance(r, GroupReport))
    group, counted = without.groups["b"], with_failures.groups["b"]
    own = [i for i, name in enumerate(groups) if name == "b"]
    assert group.fta == counted.fta == pytest.approx(1 - scores.acquired_2N[own].mean())
    assert (group.num_images, group.num_people) == (len(own), 15)
    # ISO/IEC 19795-1: FRR = FTA + FNMR*(1 - FTA), with FTA over pairs here, at the same threshold
    rows = [i for i in range(1500) if scores.same_N[i] and groups[2 * i] == "b"]
    fta = 1 - scores.is_scored_N[rows].mean()
    below = (scores.cosine_N[rows] <= with_failures.threshold).sum()
    fnmr = below / scores.is_scored_N[rows].sum()
    assert counted.fnmr.rate == pytest.approx(fta + fnmr * (1 - fta))
    assert group.genuine_mean == counted.genuine_mean


def test_intervals_resample_people_with_all_their_pairs():
    scores, groups = simulated(seed=2, num_pairs=400, num_people=60)
    report = group_errors(scores, groups, 0.1, seed=5)
    assert isinstance(report, GroupReport)
    names = sorted(set(scores.people), key=scores.people.index)
    first = [names.index(name) for name in scores.people[0::2]]
    second = [names.index(name) for name in scores.people[1::2]]
    rates, people = [], set()
    for counts in people_counts(len(names), 5):
        wrong = total = 0.0
        for row in range(400):
            if scores.same_N[row] or {*groups[2 * row : 2 * row + 2]} != {"a", "b"}:
                continue
            people |= {first[row], second[row]}
            weight = counts[first[row]] * counts[second[row]]
            wrong += weight * (scores.cosine_N[row] > report.threshold)
            total += weight
        rates.append(wrong / total if total else np.nan)
    found = report.fmr_matrix["a"]["b"]
    wanted = rate_bounds(found.rate, float(np.nanstd(rates)), len(people) // 2)
    assert (found.interval.low, found.interval.high) == pytest.approx((wanted.low, wanted.high))


def rate(value: float | None, high: float = 1.0) -> Rate:
    return Rate(1 if value else 0, 100, value, Interval(0.0, high))


def test_ratios_are_one_where_groups_are_equal_and_known_where_they_are_not():
    equal = ratios([rate(0.02)] * 3)
    assert (equal.max_over_geometric_mean, equal.max_over_min) == pytest.approx((1, 1))
    found = ratios([rate(0.01), rate(0.02), rate(0.04)])
    assert found.max_over_geometric_mean == pytest.approx(2)  # the geometric mean is .02
    assert found.max_over_min == pytest.approx(4)
    assert not found.at_least
    assert ratios([rate(0.01), rate(None)]) is None
    assert ratios([rate(0.0), rate(0.0)]) is None


def test_a_group_without_errors_counts_with_its_bound_at_most_the_largest_rate():
    found = ratios([rate(0.08), rate(0.0, 0.02)])
    assert found.max_over_min == pytest.approx(4)
    assert found.max_over_geometric_mean == pytest.approx(2)
    assert found.at_least
    wide = ratios([rate(0.08), rate(0.0, 0.5)])
    assert (wide.max_over_min, wide.max_over_geometric_mean) == pytest.approx((1, 1))
    unknown = Rate(0, 3, 0.0, None)
    assert ratios([rate(0.08), unknown]).max_over_min == pytest.approx(1)


def test_spread_is_that_of_a_published_row():
    """RL-RBN (ArcFace) on RFW in Wang & Deng 2020: 97.08 95.63 95.57 94.87, STD .93, SER 1.76."""
    std, skewed = spread([0.9708, 0.9563, 0.9557, 0.9487])
    assert round(100 * std, 2) == 0.93
    assert round(skewed, 2) == 1.76
    assert spread([0.9, None]) == (None, None)
    assert spread([1.0, 0.9])[1] is None


def test_what_cannot_be_said_is_said():
    scores, groups = simulated(num_pairs=300)
    assert (
        group_errors(scores, ["a"] * 600, 0.1) == "n/a: 1 groups among the pairs; want two at least"
    )
    impostors = int((~scores.same_N).sum())
    said = group_errors(scores, groups, 1e-3)
    assert said == f"n/a: {impostors} impostor pairs are too few for FMR 0.001"


def test_few_people_have_no_intervals_and_few_pairs_no_accuracy():
    scores, groups = simulated(num_pairs=60, num_people=8)
    report = group_errors(scores, groups, 0.4)
    assert report.fmr.interval is None
    assert report.groups["a"].accuracy is None
    assert (report.accuracy_std, report.skewed_error_ratio) == (None, None)
    json.dumps(asdict(report), allow_nan=False)


def test_a_cell_without_pairs_has_no_rate():
    scores, groups = simulated(num_pairs=600)
    alone = [None if name == "c" and row % 2 else name for row, name in enumerate(groups)]
    report = group_errors(scores, alone, 0.1)
    assert report.fmr_matrix["c"]["c"] == Rate(0, 0, None, None)
    assert report.groups["c"].fmr.rate is None
    assert report.fmr_ratios is None
    json.dumps(asdict(report), allow_nan=False)


def test_figures_of_pairs_have_groups_where_they_are_asked_for():
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(400, 4))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    pairs = Pairs(np.zeros((400, 1, 1, 3)), np.arange(200) % 2 == 0)
    assert group_figures(unit, pairs) == {}
    names = tuple("ab"[row // 2 % 4 // 2] for row in range(400))
    asked = Pairs(pairs.images_NHWC, pairs.same, groups=names, group_fmr=0.1)
    found = group_figures(unit, asked)["groups"]
    assert found["stated_fmr"] == 0.1
    assert not found["counts_failures"]
    assert sorted(found["groups"]) == ["a", "b"]
    assert found["groups"]["a"]["num_people"] is None
    few = Pairs(pairs.images_NHWC, pairs.same, groups=("a",) * 400)
    assert group_figures(unit, few)["groups"]["note"].startswith("n/a: 1 groups")
