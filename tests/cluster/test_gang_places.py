"""A gang is refused in time at first, and later waits for nodes, or goes on with fewer ranks."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from factory.checkpoint import read_metadata
from factory.config import StoreConfig, load
from factory.errors import ConfigError, FactoryError
from factory.recognition.train import train
from factory.store import open_store
from factory.training.bucket_states import latest_in_bucket
from tests.cluster.nodes import ROOT
from tests.cluster.test_gang import RECIPE, losses, quiet
from tests.s3_server import BUCKET

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


@pytest.fixture
def places(three_cpus, monkeypatch):
    from cluster import gang_places

    monkeypatch.setattr(gang_places, "NOTICE_S", 0.1)
    monkeypatch.setattr(gang_places, "PATIENCE_S", 0.5)
    monkeypatch.setattr(gang_places, "FIRST_TIMEOUT_S", 2.0)
    return gang_places


@pytest.fixture
def config_of(tmp_path):
    def make(*items):
        (tmp_path / "c.yaml").write_text("{}\n")
        return load(tmp_path / "c.yaml", [*RECIPE, "source.path=/no/faces", *items])

    return make


def test_any_number_of_ranks_that_divides_the_batch_may_go_on():
    from cluster.gang_places import possible_ranks

    assert possible_ranks(12, None) == [12]
    assert possible_ranks(12, 3) == [12, 6, 4, 3]
    assert possible_ranks(64, 30) == [64, 32]


def test_more_ranks_at_least_than_at_most_are_refused(config_of):
    with pytest.raises(ConfigError, match=r"compute\.min_ranks: got 3 with compute\.num_ranks=2"):
        config_of("compute.num_ranks=2", "compute.min_ranks=3")
    with pytest.raises(ConfigError, match=r"compute\.min_ranks: got 1 with .*=null"):
        config_of("compute.min_ranks=1")


class Noticed(Exception):
    """Ends a gang's waiting."""


def test_a_gang_that_ran_before_waits_and_says_what_is_missing(places, config_of):
    lines = []

    def log(line):
        lines.append(line)
        if len(lines) == 40:  # many times FIRST_TIMEOUT_S
            raise Noticed

    with pytest.raises(Noticed):
        places.Places(config_of("compute.num_ranks=6"), log).take(forever=True)
    assert lines[0].startswith("waiting for room for 6 ranks of {'CPU': 1.0}; there are 0 GPUs and")


def test_a_gang_that_lost_its_gpus_waits_for_gpus(places, config_of, monkeypatch):
    """And not for CPUs, which is what a cluster has that never had any."""
    import ray

    lines = []

    def log(line):
        lines.append(line)
        raise Noticed

    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 3.0, "GPU": 2.0})
    device = "compute.device=auto"
    found = places.Places(config_of("compute.num_ranks=2", device), log)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 3.0})
    with pytest.raises(Noticed):
        found.take(forever=True)
    assert "2 ranks of {'GPU': 1.0, 'CPU': 1.0}; there are 0 GPUs" in lines[0]


def test_a_gang_that_never_ran_is_refused_and_goes_on_with_what_fits(places, config_of):
    config, lines = config_of("compute.num_ranks=8", "compute.min_ranks=4"), []
    with pytest.raises(FactoryError, match=r"compute\.num_ranks: .* room for 8 ranks \(or 4\)"):
        places.Places(config, lines.append).take(forever=False)
    config = config_of("compute.num_ranks=8", "compute.min_ranks=2")
    group, bundle = places.Places(config, lines.append).take(forever=True)
    assert (len(group.bundle_specs), bundle) == (2, {"CPU": 1.0})
    assert lines[-1] == "going on with 2 of 8 ranks"
    from ray.util.placement_group import remove_placement_group

    remove_placement_group(group)


def test_a_node_that_answers_is_not_lost(places):
    import ray

    here = ray.get_runtime_context().get_node_id()
    assert not places.a_node_is_lost([here])
    assert places.a_node_is_lost([here, "0" * len(here)])


class Training:
    """A gang of two on nodes of one GPU, whose states are in a bucket, and its log."""

    def __init__(self, nodes, people, tmp_path, *items) -> None:
        self.url = f"s3://{BUCKET}/{tmp_path.name}"
        self.arguments = [*RECIPE, f"source.path={people}", "training.max_steps=24"]
        (tmp_path / "c.yaml").write_text("{}\n")
        self._out = tmp_path / "driver.log"
        self.environment = nodes.environment | {
            "RAY_ADDRESS": nodes.address,
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        command = [sys.executable, "-W", "ignore", "-m", "tests.cluster.gang_driver"]
        command += [str(tmp_path / "c.yaml"), *self.arguments, f"training.out={self.url}"]
        command += ["compute.num_ranks=2", "compute.max_restarts=0", *items]
        with self._out.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )
        self.store = open_store(
            StoreConfig(url=self.url, endpoint_url=nodes.environment["AWS_ENDPOINT_URL"])
        )

    def log(self) -> str:
        return self._out.read_text()

    def wait_for(self, condition, seconds=120) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.log()[-3000:]
            assert time.monotonic() < deadline, self.log()[-3000:]
            time.sleep(0.1)

    def has_saved(self, step: int) -> bool:
        return (latest_in_bucket(self.store) or "") >= f"step-{step:08d}"

    def end(self) -> list[float]:
        """Losses of all steps, once the driver has ended well."""
        assert self.process.wait(timeout=240) == 0, self.log()[-3000:]
        entries = [json.loads(line) for line in self.store.get("history.jsonl").splitlines()]
        assert [entry["step"] for entry in entries] == list(range(1, 25))
        return [entry["loss"] for entry in entries]


@pytest.fixture
def begin(nodes, people, tmp_path):
    """Function of extra arguments -> a training on two nodes that has saved a state, and a node."""
    started = []

    def make(*items):
        nodes.join()
        victim = nodes.join()
        started.append(Training(nodes, people, tmp_path, *items))
        started[0].wait_for(lambda: started[0].has_saved(3))
        return started[0], victim

    yield make
    for training in started:
        training.process.kill()
        training.process.wait()


def losses_alone(people, tmp_path) -> list[float]:
    arguments = [*RECIPE, f"source.path={people}", "training.max_steps=24"]
    alone = load(tmp_path / "c.yaml", [*arguments, f"training.out={tmp_path / 'alone'}"])
    train(alone, quiet)
    return losses(alone)


ROUNDING = 2e-3
"""Sums over two ranks and over one round differently, from the step at which a node is lost, which
the clock decides: 2e-4 was seen after twenty steps."""


@pytest.mark.slow
@pytest.mark.s3
def test_a_gang_that_lost_a_node_waits_for_another(begin, nodes, people, tmp_path, monkeypatch):
    """No restart is allowed (compute.max_restarts=0), because a lost node is no fault."""
    training, victim = begin()
    nodes.kill(victim)
    since = "a node was lost"
    training.wait_for(lambda: "waiting for room for 2 ranks" in training.log().partition(since)[2])
    nodes.join()
    assert training.end() == pytest.approx(losses_alone(people, tmp_path), rel=1e-4, abs=ROUNDING)
    monkeypatch.setenv("AWS_ENDPOINT_URL", nodes.environment["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "reader"))
    assert read_metadata(training.url, "recognizer", "recognizer.checkpoint")["step"] == 24


@pytest.mark.slow
@pytest.mark.s3
def test_a_gang_that_lost_a_node_goes_on_with_the_ranks_that_fit(begin, nodes, people, tmp_path):
    training, victim = begin("compute.min_ranks=1")
    nodes.kill(victim)
    losses_of_gang = training.end()
    assert "going on with 1 of 2 ranks" in training.log()
    assert losses_of_gang == pytest.approx(losses_alone(people, tmp_path), rel=1e-4, abs=ROUNDING)
