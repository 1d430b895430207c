"""Kills a release after each step that it takes in its store, then resumes it.

PROTOCOL, invariants 2-4.

Run by test_crashes.py as a process of its own: everything is imported once, then every case is a
fork that SIGKILLs itself, so that no handler and no `finally` runs, as on a preempted machine.

    python -m tests.factory.crash_matrix PEOPLE WEIGHTS STORE_JSON EVERY
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch

from factory.config import Config, StoreConfig, load
from factory.execution import driver_lease
from factory.execution.inline import run_units
from factory.release import build
from factory.report import figures
from factory.shards import layout
from factory.store import LocalStore, open_store
from factory.store.s3 import S3Store
from factory.synthesis import loading, maker  # noqa: F401, so that forks need not import
from tests.conftest import no_plot, tiny_dotlist

STEPS = {
    LocalStore: ("put", "put_once", "swap", "delete"),
    S3Store: ("_write", "_write_parts", "delete"),
}


def count_steps(store: type, die_at: int | None) -> list[str]:
    """Make every mutating call of a store count, and the `die_at`-th one die afterwards."""
    steps: list[str] = []

    def counted(name: str):
        real = getattr(store, name)

        def call(self, *arguments, **named):
            if die_at == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = real(self, *arguments, **named)
            steps.append(f"{name} {arguments[0]}")
            if len(steps) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return call

    for name in STEPS[store]:
        setattr(store, name, counted(name))
    return steps


def tear(folder: str) -> None:
    """Make os.link die at the first name in `folder`: a temporary file is whole, its name not
    there."""
    link = os.link

    def torn(source: Path, target: Path) -> None:
        if f"/{folder}/" in str(target):
            os.kill(os.getpid(), signal.SIGKILL)
        link(source, target)

    os.link = torn


def config_of(people: Path, weights: Path, store: dict, name: str) -> Config:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("{}\n")
        file.flush()
        fields = {**store, "url": f"{store['url']}/{name}"}
        dotlist = [f"store.{key}={value}" for key, value in fields.items()]
        base = tiny_dotlist(people, weights, weights.parent / "unused")
        return load(file.name, [*base, "identities.num_virtual=4", *dotlist])


def in_fork(act) -> int:
    """Exit status of a child that runs `act`."""
    child = os.fork()
    if child == 0:
        act()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def make(config: Config) -> None:
    build(config, run_units, log=lambda line: None)


def make_and_list(config: Config, kind: type, out: Path) -> None:
    steps = count_steps(kind, None)
    make(config)
    out.write_text(json.dumps(steps))


def main(people: Path, weights: Path, store: dict, every: int) -> None:
    torch.set_num_threads(1)
    figures.plot = no_plot
    driver_lease.BEAT_S = 86_400.0  # a beat would be a step at another place in every run
    kind = S3Store if store["url"].startswith("s3://") else LocalStore
    quiet = config_of(people, weights, store, "quiet")
    listing = Path(sys.argv[2]) / f"steps-{os.getpid()}.json"
    assert in_fork(lambda: make_and_list(quiet, kind, listing)) == 0
    steps = json.loads(listing.read_text())
    wanted = sums(quiet)
    cases: list[int | str] = list(range(0, len(steps) + 1, every))
    if kind is LocalStore:
        cases += ["data", "_commits"]  # in the middle of a step
    for case in cases:
        config = config_of(people, weights, store, f"case-{case}")

        def die(case=case, config=config) -> None:
            if isinstance(case, str):
                tear(case)
            else:
                count_steps(kind, case)
            make(config)

        status = in_fork(die)
        assert status == -signal.SIGKILL, f"case {case}: exit {status}"
        assert in_fork(lambda config=config: make(config)) == 0, f"case {case} cannot resume"
        where = f"writing {case}" if isinstance(case, str) else f"after {['start', *steps][case]}"
        assert sums(config) == wanted, f"other bytes when killed {where}"
        print("killed", where, "- same bytes", flush=True)
    print(f"{len(cases)} crashes, {len(steps)} steps", flush=True)


def sums(config: Config) -> bytes:
    release = open_store(config.store).below(layout.release_prefix("tiny", "0.1.0"))
    assert release.exists(layout.SUCCESS)
    return release.get(layout.SUMS)


if __name__ == "__main__":
    fields = json.loads(sys.argv[3])
    StoreConfig(**fields)
    main(Path(sys.argv[1]), Path(sys.argv[2]), fields, int(sys.argv[4]))
