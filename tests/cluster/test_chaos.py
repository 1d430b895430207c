"""A cluster that falls apart while it works on a bucket: the bytes are those of a quiet run."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
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
DEMO_SAYS = ["identities.proposal=prototypes", "sampler.kind=ddim", "plan.topup_batch=null"]
"""Back to defaults from what configs/demo.yaml says, which tiny networks cannot do."""
WORK = ["identities.num_virtual=40", "plan.images_per_identity=20", "sampler.num_steps=30"]

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


class Nodes:
    """Ray nodes as an operator starts them: `ray start`, own ports, a token, pids that are kept."""

    def __init__(self, folder: Path) -> None:
        token = folder / "token"
        token.write_text(secrets.token_hex(32))
        token.chmod(0o600)
        binaries = Path(sys.executable).parent
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "PYTHONWARNINGS": "ignore",
        }
        self._ray, self._log = str(binaries / "ray"), (folder / "nodes.log").open("ab")
        self._gcs, self._jobs = free_ports(2)
        self.jobs = f"http://127.0.0.1:{self._jobs}"
        self._started: list[subprocess.Popen] = []
        self._folders: list[str] = []

    def head(self) -> None:
        places = [f"--port={self._gcs}", f"--dashboard-port={self._jobs}"]
        self._start("--head", "--num-cpus=0", "--dashboard-host=127.0.0.1", *places)
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._jobs)) == 0:
                    return
            assert time.monotonic() < deadline, "no head after a minute"
            time.sleep(0.5)

    def join(self) -> subprocess.Popen:
        return self._start(f"--address=127.0.0.1:{self._gcs}", "--num-cpus=1", "--num-gpus=1")

    def kill(self, node: subprocess.Popen) -> None:
        """Everything that the node started, at once."""
        family = [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        node.wait()

    def pids_of(self, *words: str) -> list[int]:
        """Processes of these nodes whose command line holds all the words."""
        found = []
        for node in self._started:
            with suppress(psutil.NoSuchProcess):
                for process in psutil.Process(node.pid).children(recursive=True):
                    line = " ".join(process.cmdline())
                    if all(word in line for word in words):
                        found.append(process.pid)
        return sorted(found)

    def end(self) -> None:
        for node in reversed(self._started):
            if node.poll() is None:
                self.kill(node)
        self._log.close()
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _start(self, *arguments: str) -> subprocess.Popen:
        """With a folder of its own: a node that joins unpacks the working tree anew, away under the
        actors of a node that shares it."""
        self._folders.append(tempfile.mkdtemp(prefix="r"))  # short, because sockets lie in it
        command = [self._ray, "start", "--block", "--disable-usage-stats", *arguments]
        command.append(f"--temp-dir={self._folders[-1]}")
        node = subprocess.Popen(
            command, env=self.environment, stdout=self._log, stderr=self._log, cwd="/"
        )
        self._started.append(node)
        return node


def free_ports(count: int) -> list[int]:
    """Ports outside of the range in which Ray's workers listen (STACK)."""
    found, rng = [], random.Random()
    while len(found) < count:
        port = rng.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                found.append(port)
    return found


@pytest.fixture
def nodes(tmp_path, s3_endpoint):
    """Three workers and a head without work; they have the bucket's credentials."""
    started = Nodes(tmp_path)
    started.head()
    yield started
    started.end()


@pytest.mark.s3
def test_a_submitted_release_outlives_actors_a_node_and_its_driver(
    nodes, people, weights, s3_config, release_config, tmp_path
):
    quiet = release_config(*DEMO_SAYS, f"store.url={tmp_path / 'quiet'}", *WORK)
    build(quiet, inline.run_units, say=lambda line: None)
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
    nodes.kill(leaving)
    nodes.join()
    wait_for(commits(4))
    submitter.kill()  # who submits may leave; the job stays
    submitter = submit()
    wait_for(lambda: "which runs already" in log.read_text())
    for pid in nodes.pids_of("jobs.release", bucket.url):
        os.kill(pid, signal.SIGKILL)
    assert submitter.wait(400) == 0, log.read_text()
    chaos_s = time.monotonic() - started

    assert release.get(layout.SUMS) == wanted
    assert verify(release) == []
    assert release.leftovers() == []
    status = StatusReader(release).read()
    assert len(status.shards) == 20
    assert any(shard.attempt for shard in status.shards)  # some were begun again
    said = log.read_text()
    assert "its driver died; again" in said
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in said
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
    ray.init(address="local", num_cpus=5, include_dashboard=False, log_to_driver=False)
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
