"""How fast a release was made. The speed-of-light ratio itself is measured in tests/benchmarks."""

from __future__ import annotations

from factory.evaluation.metrics.release import Throughput
from factory.records import Manifest


def throughput(manifest: Manifest) -> Throughput:
    """Faces/s from the first shot to the last commit, and what the makers spent their time on.

    The sampling fraction is that of the makers' busy time which the sampling loop with its decoder
    took; a resumed release counts its pauses too.
    """
    timings = [shard.timings for shard in manifest.shards]
    wall_s = max(t.finished_at for t in timings) - min(t.started_at for t in timings)
    busy_s = sum(t.total_s for t in timings)
    sampling_s = sum(t.sampling_s for t in timings)
    shots = manifest.counts.shots
    return Throughput(
        wall_s=round(wall_s, 2),
        busy_s=round(busy_s, 2),
        sampling_s=round(sampling_s, 2),
        faces_per_s=round(shots / max(wall_s, 1e-9), 3),
        sampling_fraction_of_busy_time=round(sampling_s / max(busy_s, 1e-9), 4),
        mean_makers_at_work=round(busy_s / max(wall_s, 1e-9), 3),
    )
