"""Many actors under one driver: every pretended GPU of six nodes is used, and what a unit costs the
driver does not grow with the units or with two hundred actors."""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from pathlib import Path

import pytest

from factory.config import FleetConfig
from factory.records import Counts, Shard, Timings

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

NODES, GPUS, UNITS = 6, 4, 96


def shard_of(unit: int) -> Shard:
    return Shard(unit, "h", [], Counts(1, 0, 1, 0, 0), Timings(0.0, 1.0, 1.0, 1.0))


class Placed:
    """Notes which GPU of which node made a unit; waits at its first until all others have one."""

    def __init__(self, folder: Path) -> None:
        import ray

        self._folder, node = folder, ray.get_runtime_context().get_node_id()
        self._gpu = f"{node} {os.environ['CUDA_VISIBLE_DEVICES']}"

    def make(self, unit, retry=None, heartbeat=None):
        (self._folder / f"{self._gpu}.busy").touch()
        deadline = time.monotonic() + 300
        while len(list(self._folder.glob("*.busy"))) < NODES * GPUS:
            assert time.monotonic() < deadline, "not all GPUs got a unit"
            time.sleep(0.2)
        (self._folder / f"{unit}.unit").write_text(self._gpu)
        return [shard_of(unit)]

    def flush(self, heartbeat=None):
        return []

    def close(self):
        return


def test_every_gpu_of_six_nodes_gets_an_actor(tmp_path):
    import ray
    from ray.cluster_utils import Cluster

    from cluster import fleet

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": GPUS})
    for _ in range(NODES - 1):
        nodes.add_node(num_cpus=1, num_gpus=GPUS)
    ray.init(address=nodes.address, log_to_driver=False)
    try:
        done: list[int] = []
        open_maker = functools.partial(Placed, tmp_path)
        fleet.run_units(
            FleetConfig(), open_maker, range(UNITS), lambda shard: done.append(shard.unit)
        )
    finally:
        ray.shutdown()
        nodes.shutdown()
    assert sorted(done) == list(range(UNITS))
    gpus = {file.read_text() for file in tmp_path.glob("*.unit")}
    assert len(gpus) == NODES * GPUS  # each GPU is one actor's alone, and none is idle
    assert len({gpu.split()[0] for gpu in gpus}) == NODES


class StubMethod:
    """A remote method whose answer is there at once."""

    def __init__(self, answer) -> None:
        self._answer = answer

    def remote(self, *arguments):
        import ray

        return ray.put(self._answer(*arguments))


class StubActor:
    def __init__(self) -> None:
        import ray

        from cluster.maker_actor import Place

        self.place = StubMethod(lambda: Place(ray.get_runtime_context().get_node_id(), "here"))
        self.open = StubMethod(lambda notes: [])
        self.make = StubMethod(lambda unit, retry: [shard_of(unit)])
        self.flush = StubMethod(list)


def test_the_drivers_cost_is_linear_in_units_with_two_hundred_actors(monkeypatch):
    """Counted in lines of cluster/fleet.py that run for a unit, because a clock varies."""
    import ray

    from cluster import fleet

    monkeypatch.setattr(fleet.Worker, "stop", lambda self: None)
    monkeypatch.setattr(
        fleet.Fleet, "_start_worker", lambda self: fleet.Worker(next(self._numbers), StubActor())
    )
    ray.init(address="local", num_cpus=200, include_dashboard=False, log_to_driver=False)

    def lines_a_unit(count: int) -> float:
        done: list[int] = []
        num_lines = 0

        def trace(frame, event, argument):
            nonlocal num_lines
            if frame.f_code.co_filename != fleet.__file__:
                return None
            num_lines += event == "line"
            return trace

        sys.settrace(trace)
        try:
            fleet.run_units(
                FleetConfig(num_workers=200),
                Placed,
                range(count),
                lambda shard: done.append(shard.unit),
            )
        finally:
            sys.settrace(None)
        assert sorted(done) == list(range(count))
        return num_lines / count

    try:
        few, many = lines_a_unit(1000), lines_a_unit(5000)
    finally:
        ray.shutdown()
    print(json.dumps({"few": round(few), "many": round(many)}))
    assert many < 1.3 * few
