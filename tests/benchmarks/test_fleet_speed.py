"""The driver's cost of a unit, and the model of a cluster against actors that sleep."""

from __future__ import annotations

import functools
import json
import os
import time

import pytest

from factory.config import EstimateConfig, FleetConfig
from factory.planning.cluster_simulation import Work, simulate
from factory.records import Counts, Shard, Timings
from tests.cluster.test_fleet import FakeMaker

PAUSE_S = 0.8
COUNTS, TIMES = Counts(1, 0, 1, 0, 0), Timings(0.0, 1.0, 1.0, 1.0)


@pytest.fixture
def fleet():
    import ray

    from cluster import fleet

    os.environ["PYTHONWARNINGS"] = "ignore"
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield fleet
    ray.shutdown()


@pytest.mark.ray
def test_the_capacity_model_foretells_a_fleet_of_sleepers(fleet, tmp_path):
    """Within 15 %: seconds from the 12th of 60 units to the last, when all three actors work."""
    ends: list[float] = []
    open_maker = functools.partial(FakeMaker, tmp_path, pause=PAUSE_S)
    config = FleetConfig(num_workers=3)
    fleet.run_units(config, open_maker, range(60), lambda shard: ends.append(time.monotonic()))
    measured_s = ends[-1] - ends[11]

    def model_s(count: int) -> float:
        model = EstimateConfig(num_nodes=3, open_s=0.0)
        return simulate(model, 1, Work(count, PAUSE_S, 0.0)).hours * 3600

    foretold_s = model_s(60) - model_s(12)
    print(json.dumps({"measured_s": round(measured_s, 2), "foretold_s": round(foretold_s, 2)}))
    assert measured_s == pytest.approx(foretold_s, rel=0.15)


class StubMethod:
    """A remote method whose answer is there at once."""

    def __init__(self, answer) -> None:
        self._answer = answer

    def remote(self, *arguments):
        import ray

        return ray.put(self._answer(*arguments))


class StubActor:
    def __init__(self) -> None:
        self.ready = StubMethod(list)
        self.make = StubMethod(lambda unit, retry: [Shard(unit, "h", [], COUNTS, TIMES)])
        self.flush = StubMethod(list)


@pytest.mark.ray
def test_the_drivers_cost_is_linear_in_units_with_two_hundred_actors(monkeypatch):
    import ray

    from cluster import fleet

    monkeypatch.setattr(fleet.Worker, "stop", lambda self: None)
    monkeypatch.setattr(
        fleet.Fleet, "_start_worker", lambda self: fleet.Worker(next(self._numbers), StubActor())
    )
    ray.init(address="local", num_cpus=200, include_dashboard=False, log_to_driver=False)

    def cpu_ms_a_unit(count: int) -> float:
        done: list[int] = []
        began = time.process_time()
        config = FleetConfig(num_workers=200)
        fleet.run_units(config, StubActor, range(count), lambda shard: done.append(shard.unit))
        assert sorted(done) == list(range(count))
        return 1000 * (time.process_time() - began) / count

    try:
        cpu_ms_a_unit(400)
        few, many = cpu_ms_a_unit(1000), cpu_ms_a_unit(5000)
    finally:
        ray.shutdown()
    print(json.dumps({"few_ms": round(few, 2), "many_ms": round(many, 2)}))
    assert many < 1.5 * few
    assert many < 10
