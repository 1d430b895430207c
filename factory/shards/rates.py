"""How fast a release was made over its time, from the records of its shards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from factory.records import Shard


def shots_per_s(shards: Sequence[Shard], num_points: int) -> tuple[np.ndarray, np.ndarray]:
    """(edges [P + 1] in seconds since the epoch, shots a second between each two [P]).

    Each shard's shots are spread evenly over the time in which it was made.
    """
    timings = [shard.timings for shard in shards]
    begin, end = min(t.started_at for t in timings), max(t.finished_at for t in timings)
    edges = np.linspace(begin, end, num_points + 1)
    rate = np.zeros(num_points)
    for shard, t in zip(shards, timings, strict=True):
        length = max(t.finished_at - t.started_at, 1e-9)
        inside = np.minimum(edges[1:], t.finished_at) - np.maximum(edges[:-1], t.started_at)
        rate += shard.counts.shots / length * inside.clip(min=0) / max(edges[1] - edges[0], 1e-9)
    return edges, rate
