"""What an operator watches: counters and gauges of a fleet, on its nodes' Prometheus endpoints.

Names as Prometheus sees them begin with ray_factory_; deploy/grafana.json draws them.
"""

from __future__ import annotations

from ray.util.metrics import Counter, Gauge

from factory.records import BadNode, Shard


class FleetMetrics:
    """Kept up by the driver from what actors hand back, so that actors pay nothing for it."""

    def __init__(self) -> None:
        self._counters = {
            name: Counter(f"factory_{name}", description)
            for name, description in (
                ("shots_total", "images drawn, top-ups included"),
                ("kept_total", "images that passed the filters"),
                ("quarantined_total", "shots that raised"),
                ("shards_total", "units committed"),
                ("deaths_total", "actors replaced"),
                ("sampling_seconds_total", "seconds in generators"),
                ("busy_seconds_total", "seconds between first shot and last verdict of units"),
                ("written_bytes_total", "bytes of committed files"),
                ("upload_seconds_total", "seconds in which files were written to the store"),
                ("retries_total", "requests to the store that were made again"),
            )
        }
        self._rejected = Counter("factory_rejected_total", "by reason", ("reason",))
        self._bad_nodes = Gauge("factory_bad_nodes", "get no more actors", ("node", "kind"))
        self._gauges = {
            name: Gauge(f"factory_{name}", description)
            for name, description in (
                ("queue_units", "units that nobody has"),
                ("held_units", "units drawn or leased, not committed"),
                ("workers", "actors hired"),
                ("workers_ready", "actors that have opened their networks"),
            )
        }

    def committed(self, shard: Shard) -> None:
        counts, timings = shard.counts, shard.timings
        for name, value in (
            ("shots_total", counts.shots),
            ("kept_total", counts.kept),
            ("quarantined_total", counts.quarantined),
            ("shards_total", 1),
            ("sampling_seconds_total", timings.sampling_s),
            ("busy_seconds_total", timings.total_s),
            ("written_bytes_total", sum(file.size for file in shard.files)),
            ("upload_seconds_total", timings.upload_s),
            ("retries_total", timings.retries),
        ):
            if value > 0:  # because a counter refuses 0
                self._counters[name].inc(value)
        for reason, count in counts.reasons.items():
            self._rejected.inc(count, {"reason": reason})

    def bad(self, node: BadNode) -> None:
        self._bad_nodes.set(1, {"node": node.address, "kind": node.kind})

    def died(self) -> None:
        self._counters["deaths_total"].inc()

    def hands(self, queue: int, held: int, workers: int, ready: int) -> None:
        for name, value in zip(self._gauges, (queue, held, workers, ready), strict=True):
            self._gauges[name].set(value)
