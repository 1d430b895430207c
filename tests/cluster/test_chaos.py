"""A cluster that falls apart while it works on a bucket: the bytes are those of a quiet run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from factory.release import build
from factory.shards import layout
from factory.shards.status import StatusReader
from factory.shards.verify import verify
from factory.store import open_store
from factory.synthesis import inline
from tests.conftest import tiny_dotlist

ROOT = Path(__file__).parent.parent.parent
PREFIX = layout.prefix("tiny", "0.1.0")
WORK = ["identities.num_virtual=24", "plan.images_per_identity=20", "sampler.num_steps=30"]

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


def makers() -> list[int]:
    """Process ids of all maker actors on this machine."""
    pids = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                title = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if title.startswith(b"ray::MakerActor"):
                pids.append(int(folder.name))
    return sorted(pids)


class Driver:
    """`python -m jobs.release` as a process of its own."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        command = [sys.executable, "-W", "ignore", "-m", "jobs.release", *arguments]
        self.log = log.open("ab")
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=self.log, stderr=self.log)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 1})
    for _ in range(2):
        started.add_node(num_cpus=1, num_gpus=1)
    yield started
    started.shutdown()


@pytest.mark.s3
def test_actors_a_node_and_the_driver_are_killed(
    cluster, people, weights, s3_config, release_config, tmp_path
):
    quiet = release_config(f"store.url={tmp_path / 'quiet'}", *WORK)
    build(quiet, inline.run_units, say=lambda line: None)
    wanted = open_store(quiet.store).below(PREFIX).get(layout.SUMS)

    bucket = s3_config()
    named = {"url": bucket.url, "endpoint_url": bucket.endpoint_url, "path_style": "true"}
    (tmp_path / "c.yaml").write_text("{}\n")
    arguments = [str(tmp_path / "c.yaml"), *tiny_dotlist(people, weights, tmp_path), *WORK]
    arguments += [f"store.{key}={value}" for key, value in named.items()]
    arguments += ["fleet.runner=ray", f"fleet.address={cluster.address}", "fleet.num_workers=3"]
    release, log = open_store(bucket).below(PREFIX), tmp_path / "log"
    started, chance = time.monotonic(), random.Random(0)

    def wait_for(commits: int) -> None:
        while len(release.list(layout.COMMITS)) < commits:
            assert time.monotonic() - started < 300, log.read_text()
            assert driver.process.poll() is None, log.read_text()
            time.sleep(0.2)

    driver = Driver(arguments, log)
    wait_for(1)
    for pid in makers()[:2]:
        os.kill(pid, signal.SIGKILL)
    cluster.remove_node(chance.choice(sorted(cluster.worker_nodes, key=str)), allow_graceful=False)
    cluster.add_node(num_cpus=1, num_gpus=1)
    wait_for(5)
    driver.kill()
    assert not release.exists(layout.SUCCESS)
    driver = Driver(arguments, log)
    wait_for(7)
    for pid in makers()[-1:]:
        os.kill(pid, signal.SIGKILL)
    assert driver.process.wait(300) == 0, log.read_text()
    chaos_s = time.monotonic() - started

    assert release.get(layout.SUMS) == wanted
    assert verify(release) == []
    assert release.leftovers() == []
    status = StatusReader(release).read()
    assert len(status.shards) == 12
    assert any(shard.attempt for shard in status.shards)  # some were begun again
    print(json.dumps({"chaos_s": round(chaos_s, 1)}))


@pytest.mark.s3
def test_one_two_and_five_shuffled_workers_give_the_same_bytes(release_config, s3_config, tmp_path):
    import ray

    from cluster import fleet

    def shuffled(config, open_maker, units, on_done, draining):
        order = list(units)
        random.Random(len(sums)).shuffle(order)
        fleet.run_units(config, open_maker, order, on_done, draining)

    sums: list[bytes] = []
    ray.init(num_cpus=5, include_dashboard=False, log_to_driver=False)
    try:
        for count in (1, 2, 5):
            config = release_config(f"fleet.num_workers={count}", "identities.num_virtual=20")
            store = s3_config()
            config = replace(config, store=replace(store, url=f"{store.url}/{count}"))
            build(config, shuffled, say=lambda line: None)
            sums.append(open_store(config.store).below(PREFIX).get(layout.SUMS))
    finally:
        ray.shutdown()
    quiet = release_config(f"store.url={tmp_path / 'quiet'}", "identities.num_virtual=20")
    build(quiet, inline.run_units, say=lambda line: None)
    wanted = open_store(quiet.store).below(PREFIX).get(layout.SUMS)
    assert sums == [wanted] * 3
