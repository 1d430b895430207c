"""A cluster that falls apart while it works on a bucket: the bytes are those of a quiet run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from factory.execution import inline
from factory.release import build
from factory.shards import layout
from factory.shards.status import StatusReader
from factory.shards.verify import verify
from factory.store import open_store
from tests.cluster.nodes import ROOT
from tests.conftest import tiny_dotlist

PREFIX = layout.release_prefix("tiny", "0.1.0")
DEMO_SAYS = ["identities.proposal=prototypes", "sampler.kind=ddim", "plan.topup_batch=null"]
DEMO_SAYS += ["sampler.guidance=1.5", "sampler.guidance_interval=[0.0,1.0]"]
"""Back to defaults from what configs/demo.yaml says, which tiny networks cannot do."""
WORK = ["identities.num_virtual=40", "plan.images_per_identity=20", "sampler.num_steps=50"]

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.s3
def test_a_submitted_release_outlives_actors_a_node_and_its_driver(
    nodes, people, weights, s3_config, release_config, tmp_path
):
    quiet = release_config(*DEMO_SAYS, f"store.url={tmp_path / 'quiet'}", *WORK)
    build(quiet, inline.run_units, log=lambda line: None)
    wanted = open_store(quiet.store).below(PREFIX).get(layout.SUMS)

    bucket = s3_config()
    named = {"url": bucket.url, "endpoint_url": bucket.endpoint_url, "path_style": "true"}
    arguments = ["configs/demo.yaml", *tiny_dotlist(people, weights, tmp_path), *DEMO_SAYS, *WORK]
    arguments += [f"store.{key}={value}" for key, value in named.items()]
    arguments += ["fleet.runner=ray", "--address", nodes.jobs]
    release, log = open_store(bucket).below(PREFIX), tmp_path / "log"
    started = time.monotonic()

    def submit() -> subprocess.Popen:
        command = [sys.executable, "-W", "ignore", "-m", "jobs.submit", *arguments]
        with log.open("ab") as out:
            return subprocess.Popen(
                command, cwd=ROOT, env=nodes.environment, stdout=out, stderr=out
            )

    def commits(count: int) -> Callable[[], bool]:
        return lambda: len(release.list(layout.COMMITS)) >= count

    def begun_again() -> bool:
        return any(shard.attempt for shard in StatusReader(release).read().shards)

    def wait_for(happened: Callable[[], bool]) -> None:
        while not happened():
            assert time.monotonic() - started < 400, log.read_text()
            assert submitter.poll() is None, log.read_text()
            time.sleep(0.2)

    leaving = nodes.join()
    nodes.join()
    submitter = submit()
    wait_for(commits(1))
    for pid in nodes.pids_of("ray::MakerActor")[:1]:
        os.kill(pid, signal.SIGKILL)
    wait_for(begun_again)  # the driver's successor counts anew
    nodes.kill(leaving)
    nodes.join()
    committed = len(release.list(layout.COMMITS))
    wait_for(commits(committed + 2))
    makers = nodes.pids_of("ray::MakerActor")
    for pid in makers:
        os.kill(pid, signal.SIGSTOP)  # so that the release cannot end before its driver is killed
    submitter.kill()  # who submits may leave; the job stays
    already_said = len(log.read_text())
    submitter = submit()
    wait_for(lambda: "which runs already" in log.read_text()[already_said:])
    for pid in nodes.pids_of("jobs.release", bucket.url):
        os.kill(pid, signal.SIGKILL)
    for pid in makers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert submitter.wait(400) == 0, log.read_text()
    chaos_s = time.monotonic() - started

    assert release.get(layout.SUMS) == wanted
    assert verify(release) == []
    assert release.leftovers() == []
    status = StatusReader(release).read()
    assert len(status.shards) == 20
    said = log.read_text()
    assert "its driver died; again" in said
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in said
    print(json.dumps({"chaos_s": round(chaos_s, 1)}))


@pytest.mark.s3
def test_one_two_and_five_shuffled_workers_give_the_same_bytes(release_config, s3_config, tmp_path):
    import ray

    from cluster import fleet

    def shuffled(config, open_maker, units, on_done, draining, on_state):
        order = list(units)
        random.Random(len(sums)).shuffle(order)
        fleet.run_units(config, open_maker, order, on_done, draining, on_state)

    sums: list[bytes] = []
    ray.init(address="local", num_cpus=5, include_dashboard=False, log_to_driver=False)
    try:
        for count in (1, 2, 5):
            config = release_config(f"fleet.num_workers={count}", "identities.num_virtual=20")
            store = s3_config()
            config = replace(config, store=replace(store, url=f"{store.url}/{count}"))
            build(config, shuffled, log=lambda line: None)
            sums.append(open_store(config.store).below(PREFIX).get(layout.SUMS))
    finally:
        ray.shutdown()
    quiet = release_config(f"store.url={tmp_path / 'quiet'}", "identities.num_virtual=20")
    build(quiet, inline.run_units, log=lambda line: None)
    wanted = open_store(quiet.store).below(PREFIX).get(layout.SUMS)
    assert sums == [wanted] * 3
