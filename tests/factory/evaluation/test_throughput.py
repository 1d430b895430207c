"""Speed of a release, from the timings of its shards."""

from __future__ import annotations

import pytest

from factory.evaluation.throughput import throughput
from factory.records import Counts, Manifest, Shard, Timings


def test_throughput_counts_from_first_shot_to_last_commit():
    shards = [
        Shard(0, "h", [], Counts(8, 2, 8, 2, 0), Timings(100.0, 110.0, 8.0, 10.0)),
        Shard(1, "h", [], Counts(10, 0, 10, 0, 0), Timings(105.0, 120.0, 14.0, 15.0)),
    ]
    measured = throughput(Manifest("d", "v", "h", shards))
    assert measured.wall_s == 20.0
    assert measured.faces_per_s == 1.0
    assert measured.sampling_fraction_of_busy_time == pytest.approx(22 / 25)
    assert measured.mean_makers_at_work == 1.25
