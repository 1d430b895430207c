"""Tallies, moments, reservoirs and largest values give what all values at once give."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.evaluation import tallies
from factory.evaluation.metrics.values import distribution
from factory.evaluation.tallies import (
    FINE,
    CosineTally,
    Moments,
    Near,
    Sample,
    hash_limit,
    hash_of,
    nearest_first,
)


def tallied(values: np.ndarray, parts: int) -> CosineTally:
    tally = CosineTally()
    for part in np.array_split(values, parts):
        tally.add(part)
    return tally


def test_few_cosines_give_exactly_what_all_at_once_give():
    values = np.random.default_rng(0).uniform(-1, 1, 1000)
    assert tallied(values, 7).distribution() == distribution(values)


@pytest.mark.parametrize("parts", [1, 13])
def test_many_cosines_are_within_half_a_bin(monkeypatch, parts):
    monkeypatch.setattr(tallies, "MAX_EXACT", 100)
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0.2, 0.1, 4000).clip(-1, 1), [1.0, -1.0, 1.0]])
    rng.shuffle(values)
    wanted, got = asdict(distribution(values)), asdict(tallied(values, parts).distribution())
    for name in ("p01", "p99"):
        assert abs(got[name] - wanted[name]) <= 1 / FINE
        assert got[name] != wanted[name], "they are no longer exact"
    for name in ("count", "histogram"):
        assert got[name] == wanted[name]
    for name in ("mean", "std"):
        assert got[name] == pytest.approx(wanted[name], abs=1e-12)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(0, 99))
def test_moments_of_parts_are_those_of_the_whole(sizes, seed):
    parts = [np.random.default_rng([seed, i]).normal(3, 2, (n, 3)) for i, n in enumerate(sizes)]
    whole, left, right = np.concatenate(parts), Moments.none(3), Moments.none(3)
    for part in parts:
        left = left.plus(Moments.of(part))
    for part in reversed(parts):
        right = Moments.of(part).plus(right)
    for total in (left, right, Moments.of_blocks(whole, 7)):
        assert total.count == len(whole)
        if len(whole):
            np.testing.assert_allclose(total.mean_D, whole.mean(0), atol=1e-12)
            centered = whole - whole.mean(0)
            np.testing.assert_allclose(total.scatter_DD, centered.T @ centered, atol=1e-9)


@given(st.permutations(range(60)), st.integers(1, 60))
def test_a_sample_depends_on_no_order(order, size):
    def sample(rows) -> list[int]:
        kept = Sample(size)
        for row in rows:
            kept.add(f"key {row}", (0, row), {"row": np.array(row)})
        return kept.stacked()["row"].tolist()

    chosen = sample(order)
    assert chosen == sample(range(60)) == sorted(chosen)
    lowest = sorted(range(60), key=lambda row: hash_of(f"key {row}"))[:size]
    assert sorted(lowest) == chosen


def test_keys_are_spread_evenly():
    """A limit leaves about a quarter more than is wanted, never fewer, and all where few are."""
    assert hash_limit(10, 10) > max(hash_of(str(n)) for n in range(1000))
    limit = hash_limit(1000, 20_000)
    passed = sum(hash_of(f"{n:06d}_0001") < limit for n in range(20_000))
    assert 1100 < passed < 1400


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=40), st.data())
def test_the_largest_are_the_same_however_lists_are_merged(found, data):
    everything = [Near(cosine / 4, unit, row, 0) for row, (cosine, unit) in enumerate(found)]
    wanted = sorted(everything, key=lambda near: (-near.cosine, near.unit, near.row))[:5]
    cut = data.draw(st.integers(0, len(everything)))
    first, second = everything[:cut], everything[cut:]
    one = nearest_first([nearest_first([second], 5), nearest_first([first], 5)], 5)
    other = nearest_first(
        [nearest_first([nearest_first([first], 5), second[:3]], 5), second[3:]], 5
    )
    assert one == other == wanted
