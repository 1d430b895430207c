"""The fleet on a local Ray: same bytes as inline, and units of dead actors come back."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import time
import urllib.request
from pathlib import Path

import pytest

from cluster import runtime
from factory.config import FleetConfig
from factory.errors import DeviceError, FactoryError, IntegrityError
from factory.execution import inline
from factory.execution.retries import RetryState, ids, unwatched
from factory.records import Counts, Shard, Shot, Timings
from factory.release import build
from factory.shards import layout
from factory.store import LocalStore

DEPLOY = Path(__file__).parent.parent.parent / "cluster/deploy"

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def fleet(three_cpus):
    from cluster import fleet

    return fleet


class FakeMaker:
    """Makes shards of four shots in two batches; dies, hangs or raises where it is told to."""

    def __init__(
        self,
        folder: Path,
        deadly=(),
        always=(),
        wrong=(),
        poison=(),
        hangs=(),
        late=0,
        sick=(),
        pause=0.0,
        together=1,
    ):
        self.folder, self.deadly, self.always, self.wrong = folder, deadly, always, wrong
        self.poison, self.hangs, self.late, self.sick = set(poison), hangs, late, sick
        self.waiting: list[Shard] = []
        self.pause, self.together = pause, together

    def make(self, unit: int, retry=None, heartbeat=unwatched) -> list[Shard]:
        retry = retry or RetryState()
        with (self.folder / f"{unit}.txt").open("a") as handle:
            handle.write(f"{os.getpid()}\n")
        first = len((self.folder / f"{unit}.txt").read_text().splitlines()) == 1
        if unit in self.always or (unit in self.deadly and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if unit in self.hangs and first:
            time.sleep(600)
        time.sleep(self.pause)
        (self.folder / f"{os.getpid()}.busy").touch()
        if unit:
            self.wait_for_others()
        if unit in self.sick and first:
            raise DeviceError("device: CUDA error at 0_0")
        if unit in self.wrong:
            raise IntegrityError(f"unit {unit}: other bytes")
        shots = [Shot(f"{unit}_{i}", 0, i, 0, 0, "ddim", 1, 1.0, i // 4, i % 4) for i in range(8)]
        for batch in (shots[:4], shots[4:]):
            for group in retry.groups(batch):
                heartbeat(ids(group))
                if self.poison & {shot.key for shot in group}:
                    os.kill(os.getpid(), signal.SIGKILL)
        lost = len(retry.quarantined_shots)
        counts = Counts(8, 0, 8 - lost, 0, lost)
        shard = Shard(unit, "h", [], counts, Timings(0.0, 1.0, 1.0, 1.0, 0.1, 1), retry.attempt)
        self.waiting.append(shard)
        ready, self.waiting = self.waiting[: -self.late or None], self.waiting[-self.late or 8 :]
        return ready

    def wait_for_others(self) -> None:
        """Return once `together` actors have units, however long each takes to start."""
        deadline = time.monotonic() + 240
        while len(list(self.folder.glob("*.busy"))) < self.together:
            assert time.monotonic() < deadline, "not all actors got a unit"
            time.sleep(0.05)

    def flush(self, heartbeat=unwatched) -> list[Shard]:
        ready, self.waiting = self.waiting, []
        return ready

    def close(self) -> None:
        return


def run(fleet, tmp_path, units, workers=2, settings=(), **faults):
    done: list[Shard] = []
    config = FleetConfig(num_workers=workers, **dict(settings))
    open_maker = functools.partial(FakeMaker, tmp_path, **faults)
    fleet.run_units(config, open_maker, units, done.append)
    return [shard.unit for shard in done] if not faults.get("poison") else done


def test_every_unit_is_made_once_by_several_actors(fleet, tmp_path):
    assert sorted(run(fleet, tmp_path, range(24), together=2)) == list(range(24))
    makers = [(tmp_path / f"{unit}.txt").read_text().split() for unit in range(24)]
    assert all(len(pids) == 1 for pids in makers)
    assert len({pids[0] for pids in makers}) == 2


def test_units_of_a_killed_actor_come_back(fleet, tmp_path):
    done = run(fleet, tmp_path, range(8), deadly=(2, 5))
    assert sorted(done) == list(range(8))
    assert len((tmp_path / "2.txt").read_text().split()) == 2


def test_a_unit_that_always_kills_before_any_shot_stops_the_release(fleet, tmp_path):
    """One actor, so that what it commits between two deaths is not a question of time."""
    limit = {"max_unit_deaths": 2}
    with pytest.raises(FactoryError, match=r"max_unit_deaths: 2 actors died with unit 1 and no"):
        run(fleet, tmp_path, range(4), workers=1, always=(1,), settings=limit)


def test_a_shot_that_kills_is_found_and_its_neighbors_are_kept(fleet, tmp_path):
    shards = run(fleet, tmp_path, range(3), poison=("1_6",))
    counts = {shard.unit: shard.counts for shard in shards}
    assert sorted(counts) == [0, 1, 2]
    assert (counts[1].kept, counts[1].quarantined) == (7, 1)
    assert counts[0].kept == counts[2].kept == 8


def test_actors_that_die_at_every_shot_stop_the_release(fleet, tmp_path):
    poison = [f"{unit}_{i}" for unit in range(3) for i in range(8)]
    with pytest.raises(FactoryError, match="max_deaths_in_a_row: 4 actors died and none committed"):
        run(fleet, tmp_path, range(3), poison=poison, settings={"max_deaths_in_a_row": 4})


def test_a_sick_device_is_replaced(fleet, tmp_path):
    assert sorted(run(fleet, tmp_path, range(4), sick=(2,))) == list(range(4))
    assert len(set((tmp_path / "2.txt").read_text().split())) == 2


def test_a_silent_actor_is_killed_at_its_deadline(fleet, tmp_path):
    done = run(fleet, tmp_path, range(3), hangs=(1,), settings={"deadline_s": 2.0})
    assert sorted(done) == [0, 1, 2]
    assert len((tmp_path / "1.txt").read_text().split()) == 2


def test_shards_that_are_committed_later_end_their_lease_later(fleet, tmp_path):
    assert sorted(run(fleet, tmp_path, range(7), late=2)) == list(range(7))


def test_draining_finishes_what_is_in_hand(fleet, tmp_path):
    done: list[int] = []
    open_maker = functools.partial(FakeMaker, tmp_path)
    fleet.run_units(
        FleetConfig(num_workers=1),
        open_maker,
        range(50),
        lambda shard: done.append(shard.unit),
        lambda: bool(done),
    )
    assert 1 <= len(done) < 10
    assert done == list(range(len(done)))


def test_an_alarm_stops_at_once_with_its_line(fleet, tmp_path):
    with pytest.raises(FactoryError, match="unit 0: other bytes"):
        run(fleet, tmp_path, range(3), workers=1, wrong=(0,))


def test_actors_and_inline_give_the_same_bytes(fleet, release_config, tmp_path):
    sums = []
    for name, runner in (("inline", inline.run_units), ("ray", fleet.run_units)):
        config = release_config(f"store.url={tmp_path / name}", "fleet.num_workers=2")
        build(config, runner, log=lambda line: None)
        store = LocalStore(tmp_path / name).below(layout.release_prefix("tiny", "0.1.0"))
        sums.append(store.get(layout.SUMS))
    assert sums[0] == sums[1]


def test_nodes_that_join_get_actors(fleet, tmp_path, monkeypatch):
    room = {"now": 1}
    for module in (fleet, runtime):
        monkeypatch.setattr(
            module, "room_for_actors", lambda share, most, without=(): min(most, room["now"])
        )
    monkeypatch.setattr(fleet, "GROW_S", 0.1)
    done: list[Shard] = []

    def join(shard: Shard) -> None:
        done.append(shard)
        room["now"] = 3

    open_maker = functools.partial(FakeMaker, tmp_path, together=3)
    fleet.run_units(FleetConfig(), open_maker, range(60), join)
    assert sorted(shard.unit for shard in done) == list(range(60))
    makers = {(tmp_path / f"{unit}.txt").read_text() for unit in range(60)}
    assert len(makers) == 3


class Unopened:
    def __init__(self) -> None:
        raise FactoryError("generator.checkpoint: no checkpoint here")


def test_a_node_that_lacks_something_is_named(fleet):
    with pytest.raises(FactoryError, match=r"node [0-9.]+: generator\.checkpoint: no checkpoint"):
        fleet.run_units(FleetConfig(num_workers=1), Unopened, range(2), print)


def test_an_operator_sees_the_counts(fleet, tmp_path):
    """On the Prometheus endpoint of the driver's node, a few seconds later."""
    import ray

    run(fleet, tmp_path, range(6), workers=1, poison=("2_5",))
    (node,) = ray.nodes()
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    least = {"shards": 6, "shots": 48, "quarantined": 1, "deaths": 1, "retries": 6}
    least = {f"ray_factory_{name}_total": count for name, count in least.items()}
    least["ray_factory_upload_seconds_total"] = 0.5
    values: dict[str, float] = {}
    deadline = time.monotonic() + 60
    while any(values.get(name, 0) < count for name, count in least.items()):
        assert time.monotonic() < deadline, values
        time.sleep(0.2)
        with urllib.request.urlopen(address, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        for line in lines:
            if line.startswith("ray_factory_"):
                name, value = line.partition("{")[0], float(line.rpartition(" ")[2])
                values[name] = max(value, values.get(name, 0.0))
    dashboard = json.loads((DEPLOY / "grafana.json").read_text())
    drawn = set(re.findall(r"ray_factory_\w+", json.dumps(dashboard)))
    expected = drawn - {"ray_factory_rejected_total"}  # nothing was
    assert expected <= set(values), "the dashboard asks for what is not there"


def test_actors_are_as_many_as_there_is_room_and_work_for(fleet):
    share = (0.0, 1.0)
    assert runtime.first_actors(FleetConfig(num_workers=8), 100) == (share, 3)
    assert runtime.first_actors(FleetConfig(), 2) == (share, 2)
    growing = FleetConfig(num_workers=8, autoscale=True)
    assert runtime.first_actors(growing, 100) == ((1.0, 0.0), 8)  # where there is no GPU yet
    with pytest.raises(FactoryError, match=r"fleet\.min_workers: .* room for 0 actors"):
        runtime.first_actors(FleetConfig(cpus_per_actor=64), 10)
    with pytest.raises(FactoryError, match="room for 3 actors of 0 GPUs and 1 CPUs, want 4"):
        runtime.first_actors(FleetConfig(min_workers=4), 10)
    assert runtime.first_actors(FleetConfig(min_workers=4), 2) == (share, 2)


def test_a_start_waits_for_nodes_to_join_a_cluster(monkeypatch):
    looks = [{}, {"CPU": 1.0}, {"CPU": 1.0, "GPU": 2.0}]
    slept: list[float] = []

    def cluster_resources() -> dict[str, float]:
        return looks[min(len(slept), 2)]

    def nodes() -> list[dict]:
        return [{"NodeID": "a", "Alive": True, "Resources": cluster_resources()}]

    monkeypatch.setattr(runtime.ray, "cluster_resources", cluster_resources)
    monkeypatch.setattr(runtime.ray, "nodes", nodes)
    monkeypatch.setattr(runtime.time, "sleep", slept.append)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert runtime.first_actors(FleetConfig(min_workers=2), 10) == ((1.0, 0.0), 2)
    assert len(slept) == 2
    looks[2] = {}
    with pytest.raises(FactoryError, match="room for 0 actors"):
        runtime.first_actors(FleetConfig(join_timeout_s=0.0), 10)
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(FactoryError, match="room for 0 actors"):  # a local Ray has what it has
        runtime.first_actors(FleetConfig(), 10)
