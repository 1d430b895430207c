"""A release on nodes that fail at random: bytes of a quiet run, and whoever is bad is named.

    python -m tests.benchmarks.soak --minutes 30 --seed 7 [--units 500] [--out soak.json]

A head and three nodes as an operator starts them (`ray start`), a bucket behind a proxy, drivers as
processes of their own, started again as `jobs.submit` would: after a death and after exit code 75.
Meanwhile, in an order drawn from the seed: actors are killed, nodes are lost and others join, the
bucket asks to slow down, drivers are killed, and second drivers are started. Two bad nodes join:
one whose device fails in every unit, one whose environment changes the bytes. Prints JSON, and
exits 1 unless the release is sealed with the bytes of a quiet run, nothing is lost or twice, the
second drivers were refused, and both bad nodes were named.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from factory.config import Config, StoreConfig, load
from factory.errors import MAY_GO_AGAIN, DeviceError, FactoryError
from factory.execution import inline
from factory.execution.retries import RetryState, unwatched
from factory.records import Shard
from factory.shards import layout
from factory.shards.reader import metadata_rows
from factory.shards.status import StatusReader
from factory.shards.verify import verify
from factory.store import Store, open_store
from tests import s3_server
from tests.cluster.nodes import ROOT, Nodes
from tests.conftest import draw_people, save_networks, tiny_dotlist

SICK = "SOAK_SICK_DEVICE"
"""Set in the environment of the node whose device fails."""
OTHER = {"ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
"""The environment of the node that would make other bytes."""
DEMO_SAYS = ["plan.topup_batch=null"]
ACTORS = 3
OPENING_S = 12.0
"""About what an actor takes to open on a busy machine, by which the pace is set."""


class SoakMaker:
    """A real maker at a slower pace, whose device fails where the node is the sick one."""

    def __init__(self, open_maker: inline.OpenMaker, pace_s: float) -> None:
        self._maker, self._pace_s = open_maker(), pace_s

    def make(self, unit: int, retry: RetryState | None = None, heartbeat: Any = unwatched) -> Any:
        until = time.monotonic() + self._pace_s
        while time.monotonic() < until:
            heartbeat(())
            time.sleep(min(0.5, self._pace_s))
        if SICK in os.environ:
            heartbeat((("in hand", 0),))
            raise DeviceError("device: CUDA error: uncorrectable ECC error encountered")
        return self._maker.make(unit, retry, heartbeat)

    def flush(self, heartbeat: Any = unwatched) -> list[Shard]:
        return self._maker.flush(heartbeat)

    def close(self) -> None:
        self._maker.close()


def drive(file: str, words: Sequence[str], pace_s: float) -> None:
    """One driver: `jobs.release` with the soak's makers."""
    from cluster import fleet
    from factory.release import build

    def paced(config, open_maker, units, on_done, draining, on_state):  # type: ignore[no-untyped-def]
        slower = functools.partial(SoakMaker, open_maker, pace_s)
        fleet.run_units(config, slower, units, on_done, draining, on_state)

    build(load(file, list(words)), paced, log=lambda line: print(line, flush=True))


class Drivers:
    """Driver processes, each started again where `jobs.submit` would."""

    def __init__(self, nodes: Nodes, words: Sequence[str], folder: Path) -> None:
        self._environment = nodes.environment | {"RAY_ADDRESS": nodes.address}
        self._words, self._folder = list(words), folder
        self.codes: Counter[str] = Counter()
        self.started = 0
        self.first = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.started += 1
        command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.soak", *self._words]
        with (self._folder / f"driver-{self.started:03d}.log").open("wb") as log:
            return subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )

    def kill(self) -> None:
        self.first.kill()

    def is_made(self) -> bool:
        """Whether the release is made; starts the driver again where it may fare better."""
        code = self.first.poll()
        if code is None:
            return False
        self.codes[str(code)] += 1
        if code == 0:
            return True
        if code > 0 and code != MAY_GO_AGAIN:
            raise FactoryError(f"driver {self.started} ended with {code}: {self.said()[-2000:]}")
        self.first = self._start()
        return False

    def second(self) -> bool:
        """Start another driver beside the first; whether it was refused in one line."""
        other = self._start()
        try:
            code = other.wait(180)
        except subprocess.TimeoutExpired:
            other.kill()
            return False
        said = (self._folder / f"driver-{self.started:03d}.log").read_text()
        return code == 1 and "is made by another driver" in said

    def said(self) -> str:
        """All that drivers have said."""
        return "".join(file.read_text() for file in sorted(self._folder.glob("driver-*.log")))


class Soak:
    """The faults, in an order drawn from a seed."""

    def __init__(self, nodes: Nodes, drivers: Drivers, faults: s3_server.Faults, seed: int) -> None:
        self._nodes, self.drivers, self.faults = nodes, drivers, faults
        self.seed, self.rng = seed, random.Random(seed)
        self._joined = [nodes.join() for _ in range(ACTORS)]
        self._bag: list[Callable[[], None]] = []
        self.done: Counter[str] = Counter()
        self.refused = 0

    def bad_nodes_join(self) -> None:
        self._nodes.join(**{SICK: "1"})
        self._nodes.join(**OTHER)

    def befall(self) -> None:
        """The next fault: all kinds in turn, each turn in another order."""
        if not self._bag:
            self._bag = [
                self.kill_actor, self.kill_actor, self.lose_node, self.slow_down,
                self.kill_driver, self.second_driver,
            ]  # fmt: skip
            self.rng.shuffle(self._bag)
        fault = self._bag.pop()
        print(f"soak: {fault.__name__}", file=sys.stderr, flush=True)
        fault()
        self.done[fault.__name__] += 1

    def kill_actor(self) -> None:
        for pid in self.rng.sample(self._makers(), min(1, len(self._makers()))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def lose_node(self) -> None:
        lost = self._joined.pop(self.rng.randrange(len(self._joined)))
        self._nodes.kill(lost)
        self._joined.append(self._nodes.join())

    def slow_down(self) -> None:
        self.faults.plan = lambda method, path: "503" if self.rng.random() < 0.7 else None
        time.sleep(self.rng.uniform(5, 15))
        self.faults.plan = lambda method, path: None

    def kill_driver(self) -> None:
        self.drivers.kill()

    def second_driver(self) -> None:
        self.refused += self.drivers.second()

    def _makers(self) -> list[int]:
        return self._nodes.pids_of("ray::MakerActor")


def soak(minutes: float, seed: int, units: int, folder: Path) -> dict[str, Any]:
    """The figures of a soak; `problems` is empty where all is as it should be."""
    people, weights = folder / "people", folder / "weights"
    people.mkdir()
    weights.mkdir()
    draw_people(people)
    save_networks(weights, num_virtual=2 * units)
    work = [*DEMO_SAYS, f"identities.num_virtual={units}", "plan.identities_per_unit=1"]
    work += ["fleet.runner=ray", f"fleet.num_workers={ACTORS + 2}"]
    work += ["fleet.deadline_s=60", "fleet.max_deaths_in_a_row=100"]
    file = folder / "release.yaml"
    file.write_text("{}\n")
    quiet = load(file, [*tiny_dotlist(people, weights, folder / "quiet"), *work])
    build_quietly(quiet)
    os.environ.update(s3_server.CREDENTIALS)
    faults = s3_server.Faults()
    with s3_server.server() as endpoint, s3_server.proxy(endpoint, faults) as front:
        bucket = StoreConfig(url=f"s3://{s3_server.BUCKET}/soak", endpoint_url=front,
                             path_style=True, timeout_s=20.0)  # fmt: skip
        named = [f"store.url={bucket.url}", f"store.endpoint_url={front}"]
        named += ["store.path_style=true", "store.timeout_s=20", "store.max_attempts=6"]
        pace_s = max(0.0, minutes * 60 * ACTORS / units * 0.6)
        words = [*tiny_dotlist(people, weights, folder / "unused"), *work, *named]
        nodes = Nodes(folder, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
        nodes.head()
        try:
            drivers = Drivers(nodes, ["--drive", str(file), "--pace", str(pace_s), *words], folder)
            straight = open_store(replace(bucket, endpoint_url=endpoint))
            release = straight.below(layout.release_prefix("tiny", "0.1.0"))
            found = befallen(Soak(nodes, drivers, faults, seed), release, minutes)
            return found | outcome(release, layout.release_store(quiet), units, found)
        finally:
            nodes.end()


def befallen(run: Soak, release: Store, minutes: float) -> dict[str, Any]:
    """Let faults happen while the release is made; what happened.

    Nothing happens before there is a plan, so that it is that of a good machine.
    """
    started = time.monotonic()
    gap_s, joined, problems = max(8.0, minutes * 60 / 40), False, []
    due, end = float("inf"), float("inf")
    while not run.drivers.is_made():
        now = time.monotonic()
        if not joined and release.exists(layout.PLAN):
            run.bad_nodes_join()
            joined, due, end = True, now + gap_s, now + minutes * 60
        if due < now < end:
            run.befall()
            due = time.monotonic() + run.rng.uniform(0.5, 1.5) * gap_s
        if now > started + 3 * minutes * 60 + 600:
            problems.append(f"not made in time: {run.drivers.said()[-2000:]}")
            break
        time.sleep(0.5)
    said = run.drivers.said().splitlines()
    bad = {line.partition(" (")[2] for line in said if "it gets no more actors" in line}
    named = sorted({line.partition(")")[0] for line in bad})
    if run.refused != run.done["second_driver"]:
        problems.append(f"{run.done['second_driver'] - run.refused} second drivers not refused")
    for kind in ("device", "other machine"):
        if kind not in named:
            problems.append(f"no node was named for {kind}, only for {named}")
    return {
        "seed": run.seed,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "faults": dict(sorted(run.done.items())),
        "answers_503": run.faults.done.count("503"),
        "drivers": run.drivers.started,
        "exit_codes": dict(sorted(run.drivers.codes.items())),
        "bad_nodes": named,
        "problems": problems,
    }


def outcome(release: Store, quiet: Store, units: int, found: dict[str, Any]) -> dict[str, Any]:
    """What became of the release, beside a quiet run of it."""
    problems = list(found["problems"])
    status = StatusReader(release).read()
    if not status.sealed:
        return {"problems": [*problems, f"not sealed: {len(status.shards)} of {units} units"]}
    problems += verify(release)
    keys = Counter(row["key"] for unit in range(units) for row in metadata_rows(release, unit))
    wanted = [row["key"] for unit in range(units) for row in metadata_rows(quiet, unit)]
    if keys != Counter(wanted):
        problems.append(f"{len(wanted)} faces in the quiet run, {sum(keys.values())} here")
    if release.get(layout.SUMS) != quiet.get(layout.SUMS):
        problems.append("other bytes than in the quiet run")
    return {
        "units": units,
        "faces": sum(keys.values()),
        "begun_again": sum(shard.attempt > 0 for shard in status.shards),
        "made_twice": status.num_proofs,
        "problems": problems,
    }


def build_quietly(config: Config) -> None:
    from factory.release import build

    build(config, inline.run_units, log=lambda line: None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 16))
    parser.add_argument("--units", type=int, default=500)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    parser.add_argument("--pace", type=float, help=argparse.SUPPRESS)
    words, rest = parser.parse_known_args()
    if words.drive:
        from jobs._command import guarded

        guarded(lambda: drive(words.drive, rest, words.pace))
        return
    print(f"soak: seed {words.seed}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        figures = soak(words.minutes, words.seed, words.units, Path(folder))
    text = json.dumps(figures, indent=1)
    print(text)
    if words.out:
        words.out.write_text(text + "\n")
    sys.exit(1 if figures["problems"] else 0)


if __name__ == "__main__":
    main()
