"""Actors of a real release are SIGKILLed while they work; the bytes are those of a quiet run."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from factory.release import build
from factory.shards import layout
from factory.shards.verify import verify
from factory.store import LocalStore
from factory.synthesis import inline

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]


def kill_actors(stop: threading.Event, killed: list[int]) -> None:
    """SIGKILL one working actor every few seconds, at most four times."""
    from ray.util.state import list_actors

    while not stop.is_set() and len(killed) < 4:
        alive = list_actors(filters=[("state", "=", "ALIVE"), ("class_name", "=", "MakerActor")])
        pids = [actor.pid for actor in alive if actor.pid]
        if pids:
            victim = pids[len(killed) % len(pids)]
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)
        stop.wait(5)


def test_killed_actors_change_no_byte(release_config, tmp_path):
    import ray

    from cluster import fleet

    work = ["identities.num_virtual=12", "plan.images_per_identity=30", "sampler.num_steps=60"]
    work.append("fleet.max_unit_deaths=9")
    quiet = release_config(f"store.url={tmp_path / 'quiet'}", *work)
    build(quiet, inline.run_units, say=lambda line: None)
    ray.init(num_cpus=2, include_dashboard=True, log_to_driver=False)
    stop, killed = threading.Event(), []
    chaos = threading.Thread(target=kill_actors, args=(stop, killed))
    chaos.start()
    try:
        config = release_config(f"store.url={tmp_path / 'chaos'}", "fleet.num_workers=2", *work)
        build(config, fleet.run_units, say=lambda line: None)
    finally:
        stop.set()
        chaos.join()
        ray.shutdown()
    stores = [
        LocalStore(tmp_path / n).below(layout.prefix("tiny", "0.1.0")) for n in ("quiet", "chaos")
    ]
    assert killed, "nothing was killed: the release was too quick to test anything"
    assert stores[0].get(layout.SUMS) == stores[1].get(layout.SUMS)
    assert verify(stores[1]) == []


def test_a_killed_driver_on_ray_is_resumed(release_config, people, weights, tmp_path):
    import subprocess
    import sys

    from tests.conftest import tiny_dotlist

    (tmp_path / "c.yaml").write_text("{}\n")
    work = ["plan.images_per_identity=40", "sampler.num_steps=40", "fleet.num_workers=2"]
    base = [*tiny_dotlist(people, weights, tmp_path / "a"), *work]
    arguments = [sys.executable, "-W", "ignore", "-m", "jobs.release", str(tmp_path / "c.yaml")]
    ray_run = [*arguments, *base, "fleet.runner=ray"]
    release = LocalStore(tmp_path / "a").below(layout.prefix("tiny", "0.1.0"))
    driver = subprocess.Popen(ray_run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not release.list(layout.COMMITS) and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    assert release.list(layout.COMMITS)
    assert not release.exists(layout.SUCCESS)
    assert subprocess.run(ray_run, timeout=300).returncode == 0
    subprocess.run([*arguments, *base, f"store.url={tmp_path / 'b'}"], check=True, timeout=300)
    other = LocalStore(tmp_path / "b").below(layout.prefix("tiny", "0.1.0"))
    assert release.get(layout.SUMS) == other.get(layout.SUMS)
