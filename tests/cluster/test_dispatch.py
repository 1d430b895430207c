"""Many actors under one driver: every pretended GPU of six nodes is used."""

from __future__ import annotations

import functools
import os
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
