"""The fleet on a local Ray: same bytes as inline, and units of dead actors come back."""

from __future__ import annotations

import functools
import os
import signal
from pathlib import Path

import pytest

from factory.config import FleetConfig
from factory.errors import FactoryError, IntegrityError
from factory.records import Counts, Shard, Timings
from factory.release import build
from factory.shards import layout
from factory.store import LocalStore
from factory.synthesis import inline

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def fleet():
    import ray

    from cluster import fleet

    os.environ["PYTHONWARNINGS"] = "ignore"
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield fleet
    ray.shutdown()


class FakeMaker:
    """Makes empty shards; dies or raises at the units it is told to, once or always."""

    def __init__(self, folder: Path, deadly=(), always=(), wrong=()):
        self.folder, self.deadly, self.always, self.wrong = folder, deadly, always, wrong

    def make(self, unit: int) -> Shard:
        with (self.folder / f"{unit}.txt").open("a") as handle:
            handle.write(f"{os.getpid()}\n")
        first = len((self.folder / f"{unit}.txt").read_text().splitlines()) == 1
        if unit in self.always or (unit in self.deadly and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if unit in self.wrong:
            raise IntegrityError(f"unit {unit}: other bytes")
        return Shard(unit, "h", [], Counts(1, 0, 1, 0, 0), Timings(0.0, 1.0, 1.0, 1.0))


def run(fleet, tmp_path, units, workers=2, **faults):
    done: list[int] = []
    config = FleetConfig(num_workers=workers)
    open_maker = functools.partial(FakeMaker, tmp_path, **faults)
    fleet.run_units(config, open_maker, units, lambda shard: done.append(shard.unit))
    return done


def test_every_unit_is_made_once_by_several_actors(fleet, tmp_path):
    assert sorted(run(fleet, tmp_path, range(12))) == list(range(12))
    makers = [(tmp_path / f"{unit}.txt").read_text().split() for unit in range(12)]
    assert all(len(pids) == 1 for pids in makers)
    assert len({pids[0] for pids in makers}) == 2


def test_units_of_a_killed_actor_come_back(fleet, tmp_path):
    done = run(fleet, tmp_path, range(8), deadly=(2, 5))
    assert sorted(done) == list(range(8))
    assert len((tmp_path / "2.txt").read_text().split()) == 2


def test_a_unit_that_always_kills_stops_the_release(fleet, tmp_path):
    with pytest.raises(FactoryError, match=r"fleet\.max_unit_deaths: 3 actors died with unit 1"):
        run(fleet, tmp_path, range(4), always=(1,))


def test_an_alarm_stops_at_once_with_its_line(fleet, tmp_path):
    with pytest.raises(FactoryError, match="unit 0: other bytes"):
        run(fleet, tmp_path, range(3), workers=1, wrong=(0,))


def test_actors_and_inline_give_the_same_bytes(fleet, release_config, tmp_path):
    sums = []
    for name, runner in (("inline", inline.run_units), ("ray", fleet.run_units)):
        config = release_config(f"store.url={tmp_path / name}", "fleet.num_workers=2")
        build(config, runner, say=lambda line: None)
        store = LocalStore(tmp_path / name).below(layout.prefix("tiny", "0.1.0"))
        sums.append(store.get(layout.SUMS))
    assert sums[0] == sums[1]


def test_too_few_resources_are_refused(fleet):
    from cluster.runtime import num_actors

    assert num_actors(FleetConfig(num_workers=8), 100) == (3, 0.0, 1.0)
    assert num_actors(FleetConfig(), 2) == (2, 0.0, 1.0)
    with pytest.raises(FactoryError, match="too few for one actor"):
        num_actors(FleetConfig(cpus_per_actor=64), 10)
