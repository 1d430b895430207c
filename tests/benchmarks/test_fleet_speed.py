"""The model of a cluster against a fleet of actors that sleep instead of drawing."""

from __future__ import annotations

import functools
import json
import os
import time

import pytest

from factory.config import EstimateConfig, FleetConfig
from factory.planning.cluster_simulation import Work, simulate
from tests.cluster.test_fleet import FakeMaker

PAUSE_S = 0.8


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
