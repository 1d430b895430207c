"""Trouble of one node costs that node: three nodes on real Ray, makers that fail on one of them."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cluster import unit_queue
from cluster.runtime import draining_nodes
from factory.config import FleetConfig
from factory.errors import (
    MAY_GO_AGAIN,
    ConfigError,
    DeviceError,
    IntegrityError,
    OtherMachine,
    PlanError,
    StoreError,
    Unavailable,
)
from factory.execution.fleet_state import FleetState
from factory.execution.retries import RetryState, unwatched
from factory.records import Counts, Shard, Timings

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]
UNITS = 12


@pytest.fixture(scope="module")
def cluster():
    """A head without CPUs and three nodes of one CPU each."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["PYTHONWARNINGS"] = "ignore"
    small = {"object_store_memory": 80_000_000}
    nodes = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False} | small
    )
    for _ in range(3):
        nodes.add_node(num_cpus=1, **small)
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(scope="module")
def fleet(cluster):
    from cluster import fleet

    return fleet


@pytest.fixture
def joined(cluster):
    """A fourth node, for one test; whatever becomes of the test, it leaves no node behind."""
    import ray

    def alive() -> set[str]:
        return {node["NodeID"] for node in ray.nodes() if node["Alive"]}

    node = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    until(lambda: node.node_id in alive())
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)
    until(lambda: node.node_id not in alive())


def until(condition, heartbeat=unwatched) -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline, "did not come to pass"
        heartbeat(())
        time.sleep(0.05)


class NodeMaker:
    """Makes units that say where; does what it is told on the node that opened a maker first.

    `at` is where: open or make. Nobody goes on before `nodes` of them have opened, nor makes the
    second half of the units before a node is known to be bad, if one is `expected`.
    """

    def __init__(
        self,
        folder: Path,
        error: Exception | str,
        at: str,
        everywhere: bool,
        expected: bool,
        nodes: int = 3,
    ) -> None:
        import ray

        self.folder, self.error, self.at = folder, error, at
        self.expected, self.nodes = expected, nodes
        self.node = ray.get_runtime_context().get_node_id()
        try:
            with (folder / "sick").open("x") as file:
                file.write(self.node)
        except FileExistsError:
            pass
        self.here = everywhere or self.is_sick()
        (folder / f"{self.node}.node").touch()
        self.log("open")
        if at == "open" and self.here:
            self.fail()

    def is_sick(self) -> bool:
        until(lambda: bool((self.folder / "sick").read_text()))
        return (self.folder / "sick").read_text() == self.node

    def log(self, line: str) -> None:
        with (self.folder / "log.txt").open("a") as file:
            file.write(f"{self.node} {line}\n")

    def fail(self) -> None:
        if self.error == "hang":
            time.sleep(600)
        if self.error == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        assert isinstance(self.error, Exception)
        raise self.error

    def make(self, unit: int, retry: RetryState | None = None, heartbeat=unwatched) -> list[Shard]:
        until(lambda: len(list(self.folder.glob("*.node"))) >= self.nodes, heartbeat)
        if self.expected and not self.here and unit >= UNITS // 2:
            until((self.folder / "bad").exists, heartbeat)
        heartbeat((("key", 0),))
        self.log(f"make {unit}")
        if self.at == "make" and self.here:
            self.fail()
        attempt = retry.attempt if retry else 0
        counts = Counts(1, 0, 1, 0, 0)
        return [Shard(unit, self.node, [], counts, Timings(0.0, 1.0, 1.0, 1.0), attempt)]

    def flush(self, heartbeat=unwatched) -> list[Shard]:
        return []

    def close(self) -> None:
        return


def also(*values):
    """Values of a case that is counted in test_trouble.py as well, so here only now and then."""
    return pytest.param(*values, marks=pytest.mark.slow)


def run(fleet, folder, error="", at="", everywhere=False, expected=False, **settings):
    """(shards, last state of the fleet, lines of the makers' log)."""
    done: list[Shard] = []
    states: list[FleetState] = []

    def on_state(state: FleetState) -> None:
        states.append(state)
        if state.bad_nodes:
            (folder / "bad").touch()

    open_maker = functools.partial(NodeMaker, folder, error, at, everywhere, expected)
    config = FleetConfig(**{"num_workers": 3, "units_in_flight": 1} | settings)
    fleet.run_units(config, open_maker, range(UNITS), done.append, on_state=on_state)
    return done, states[-1], (folder / "log.txt").read_text().splitlines()


@pytest.mark.parametrize(
    ("error", "at", "kind"),
    [
        (OtherMachine("canary: images differ"), "open", "other machine"),
        also(IntegrityError("weights.recognizer: another sha256"), "open", "other files"),
        (Unavailable("SlowDown"), "open", "store"),
        also(Unavailable("SlowDown"), "make", "store"),
        also(StoreError("AccessDenied"), "make", "store"),
        (DeviceError("CUDA error: uncorrectable ECC error"), "make", "device"),
        also(MemoryError("Cannot allocate memory"), "make", "memory"),
        also(OSError(12, "Cannot allocate memory"), "make", "system"),
        also(ZeroDivisionError("a fault of that node's software"), "make", "unexpected"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_bad_node_gets_no_more_actors_and_the_release_goes_on(
    fleet, tmp_path, monkeypatch, error, at, kind
):
    monkeypatch.setattr(unit_queue, "BACKOFF_S", 0.05)
    done, state, log = run(fleet, tmp_path, error, at, expected=True)
    assert sorted(shard.unit for shard in done) == list(range(UNITS))
    sick = (tmp_path / "sick").read_text()
    assert sick not in {shard.plan_hash for shard in done}
    (bad,) = state.bad_nodes
    assert bad.kind == kind
    assert str(error).splitlines()[-1] in bad.error
    failures = [line for line in log if line.startswith(f"{sick} {at}")]
    attempts = 4 if (at, kind) == ("open", "store") else 1  # the actor itself tries again
    assert len(failures) == 2 * attempts


@pytest.mark.parametrize(
    ("error", "at", "code"),
    [
        (Unavailable("SlowDown"), "make", MAY_GO_AGAIN),
        also(OtherMachine("canary: images differ"), "open", 1),
        also(DeviceError("CUDA error"), "make", MAY_GO_AGAIN),
    ],
    ids=["store", "machine", "device"],
)
def test_nodes_that_fail_alike_stop_the_release_with_the_exit_code_of_their_trouble(
    fleet, tmp_path, monkeypatch, error, at, code
):
    monkeypatch.setattr(unit_queue, "BACKOFF_S", 0.05)
    said = r"fleet\.max_bad_nodes_fraction: 2 of 3 nodes fail alike"
    with pytest.raises(type(error), match=said) as caught:
        run(fleet, tmp_path, error, at, everywhere=True)
    assert caught.value.exit_code == code


@pytest.mark.slow
def test_a_bad_node_is_one_too_many_where_none_is_allowed(fleet, tmp_path):
    with pytest.raises(OtherMachine, match="1 of 3 nodes fail alike"):
        run(
            fleet, tmp_path, OtherMachine("canary"), "open", expected=True,
            max_bad_nodes_fraction=0.1,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("error", "at"),
    [
        (IntegrityError("unit 3: committed with other digests"), "make"),
        also(PlanError("all shots failed"), "make"),
        also(ConfigError("compute.device: no GPU"), "open"),
    ],
    ids=["integrity", "plan", "config"],
)
def test_what_every_node_would_meet_stops_at_once_whatever_bad_nodes_are_allowed(
    fleet, tmp_path, error, at
):
    with pytest.raises(type(error), match=str(error)):
        run(fleet, tmp_path, error, at, expected=True, max_bad_nodes_fraction=1.0)
    sick = (tmp_path / "sick").read_text()
    assert (tmp_path / "log.txt").read_text().count(f"{sick} {at}") == 1


def test_a_maker_that_hangs_while_it_opens_is_replaced_at_its_deadline(fleet, tmp_path):
    done, state, _ = run(
        fleet, tmp_path, "hang", "open", expected=True, deadline_s=5.0, max_unit_deaths=2
    )  # fmt: skip
    assert sorted(shard.unit for shard in done) == list(range(UNITS))
    assert [bad.kind for bad in state.bad_nodes] == ["silent"]


@pytest.mark.slow
def test_a_bad_node_does_not_make_its_units_suspect(fleet, tmp_path, monkeypatch):
    """A device that fails says nothing of the shots in hand: no shot is quarantined for it."""
    monkeypatch.setattr(unit_queue, "BACKOFF_S", 0.01)
    done, _, log = run(fleet, tmp_path, DeviceError("ECC"), "make", expected=True)
    sick = (tmp_path / "sick").read_text()
    units = [line.split()[2] for line in log if line.startswith(f"{sick} make")]
    assert len(set(units)) == len(units) == 2, "a unit went back to the node that it failed on"
    assert all(shard.counts.quarantined == 0 for shard in done)


def test_a_frozen_node_does_not_stall_the_others(fleet, cluster, tmp_path):
    """Its notes never answer: the lease loop goes on, and takes the unit back after a while."""
    import ray

    folder = tmp_path
    stopped: list[psutil.Process] = []
    done: list[Shard] = []

    def alive_on(node: str) -> list[int]:
        actors = ray._private.state.actors().values()
        return [
            a["Pid"] for a in actors if a["Address"]["NodeID"] == node and a["State"] == "ALIVE"
        ]

    def freeze(shard: Shard) -> None:
        done.append(shard)
        if not stopped and len(done) == 3:
            busy = {line.split()[0] for line in (folder / "log.txt").read_text().splitlines()}
            node = next(n for n in busy if n != shard.plan_hash)
            until(lambda: len(alive_on(node)) == 2)  # the maker and the notes of its node
            stopped.extend(psutil.Process(pid) for pid in alive_on(node))
            for process in stopped:
                process.suspend()

    open_maker = functools.partial(NodeMaker, folder, "", "", False, False)
    config = FleetConfig(num_workers=3, units_in_flight=1, deadline_s=8.0)
    try:
        fleet.run_units(config, open_maker, range(60), freeze)
    finally:
        for process in stopped:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
    assert len(stopped) == 2
    assert sorted(shard.unit for shard in done) == list(range(60))


def test_a_lost_node_is_no_bad_node_and_its_units_are_not_suspect(fleet, cluster, joined, tmp_path):
    done: list[Shard] = []
    states: list[FleetState] = []

    lost: list[str] = []

    def lose(shard: Shard) -> None:
        done.append(shard)
        if shard.plan_hash == joined.node_id and not lost:
            lost.append(joined.node_id)
            cluster.remove_node(joined, allow_graceful=False)

    open_maker = functools.partial(NodeMaker, tmp_path, "", "", False, False, 4)
    config = FleetConfig(num_workers=4, units_in_flight=2, max_unit_deaths=1)
    fleet.run_units(config, open_maker, range(300), lose, on_state=states.append)
    assert sorted(shard.unit for shard in done) == list(range(300))
    assert lost
    assert states[-1].bad_nodes == ()


def test_a_node_with_a_spot_notice_is_emptied(fleet, cluster, joined, tmp_path):
    """`python -m cluster.drain`: no further unit there, what was drawn is committed."""
    done: list[Shard] = []
    drains: list[subprocess.Popen] = []

    def drain(shard: Shard) -> None:
        done.append(shard)
        if shard.plan_hash == joined.node_id and not drains:
            words = ["--node-id", joined.node_id, "--address", cluster.address, "--seconds", "60"]
            drains.append(
                subprocess.Popen(
                    [sys.executable, "-W", "ignore", "-m", "cluster.drain", *words],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            until(lambda: joined.node_id in draining_nodes())  # however long it takes to begin

    open_maker = functools.partial(NodeMaker, tmp_path, "", "", False, False, 4)
    config = FleetConfig(num_workers=4, units_in_flight=2)
    many = 100
    fleet.run_units(config, open_maker, range(many), drain)
    said, _ = drains[0].communicate(timeout=90)
    assert "no maker is left on this node" in said
    assert sorted(shard.unit for shard in done) == list(range(many))
    assert all(shard.attempt == 0 for shard in done), "a unit was lost with the node"
    last = max(i for i, shard in enumerate(done) if shard.plan_hash == joined.node_id)
    assert last < many - 1
