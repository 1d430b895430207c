"""Shots a second, spread over the time in which each shard was made."""

from __future__ import annotations

import numpy as np
import pytest

from factory.records import Counts, Shard, Timings
from factory.shards.rates import shots_per_s


def shard(unit: int, began: float, ended: float, shots: int) -> Shard:
    return Shard(unit, "h", [], Counts(shots, 0, shots, 0, 0), Timings(began, ended, 0.0, 0.0))


def test_two_makers_at_once_are_twice_as_fast_as_one():
    edges, rate = shots_per_s([shard(0, 100, 104, 8), shard(1, 102, 104, 4)], 4)
    assert edges.tolist() == [100, 101, 102, 103, 104]
    assert rate == pytest.approx([2, 2, 4, 4])


def test_the_rate_adds_up_to_all_shots():
    shards = [shard(i, 3.0 * i, 3.0 * i + 7.5, 5 + i) for i in range(9)]
    edges, rate = shots_per_s(shards, 200)
    assert (rate * np.diff(edges)).sum() == pytest.approx(sum(5 + i for i in range(9)))
