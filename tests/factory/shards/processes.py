"""Makers and gc as processes of their own, each halted where a test wants it, on a real store."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

from factory.config import StoreConfig
from factory.errors import FactoryError
from factory.records import Counts, Timings, UnitResult
from factory.shards import garbage, layout, locks, writer
from factory.shards.manifest import committed_units
from factory.shots.plan import Plan, cut_units
from factory.store import open_store
from tests import s3_server
from tests.planned import REQUEST, virtual_people

UNITS = 3
PLAN = Plan(REQUEST, {}, cut_units(virtual_people(*[2] * 2 * UNITS), 2))
WAIT_S = 60
"""A test that waits so long for a condition fails."""


def contents(unit: int, variant: bytes = b"") -> dict[str, bytes]:
    """Files of a unit as a maker would write them."""
    names = (layout.tar_name(unit), layout.metadata_name(unit), layout.rejects_name(unit))
    return {name: name.encode() * 99 + variant for name in names}


def result(unit: int) -> UnitResult:
    return UnitResult(unit, PLAN.hash, Counts(4, 0, 4, 0, 0), Timings(0.0, 1.0, 0.5, 0.7))


@dataclass(frozen=True)
class Halt:
    """Before which request a process halts until it may go on."""

    method: str
    name: str
    reached: object
    go_on: object

    def build_into(self, store) -> None:
        real = getattr(store, self.method)

        def halting(name, *rest, **named):
            if name == self.name and not self.reached.is_set():
                self.reached.set()
                assert self.go_on.wait(WAIT_S)
            return real(name, *rest, **named)

        setattr(store, self.method, halting)


@dataclass(frozen=True)
class Act:
    """What a process does: a maker of a unit, or gc; and how long its locks hold."""

    config: StoreConfig
    role: str
    waits: object
    """Set when it has met a lock and waits."""
    variant: bytes = b""
    same_bytes: bool = True
    holds_s: float = 60.0
    halt: Halt | None = None
    unit: int = 0


def live(act: Act, results) -> None:
    os.environ.update(s3_server.CREDENTIALS)
    locks.HOLDS_S, locks.POLL_S = act.holds_s, 0.02
    really_sleep = locks.sleep

    def sleep(seconds):
        act.waits.set()
        really_sleep(seconds)

    locks.sleep = sleep
    store = open_store(act.config)
    if act.halt:
        act.halt.build_into(store)
    try:
        if act.role == "gc":
            removed = garbage.remove(store, garbage.find(store, 0.0, time.time() + 10))
            results.put([item.entry.name for item in removed])
        elif act.role == "gc until all are committed":
            num_runs = 0
            while len(committed_units(store)) < UNITS:
                garbage.remove(store, garbage.find(store, 0.0, time.time() + 10))
                num_runs += 1
            results.put(num_runs)
        else:
            files = contents(act.unit, act.variant)
            shard = writer.commit_files(store, result(act.unit), files, same_bytes=act.same_bytes)
            results.put(shard)
    except FactoryError as error:
        results.put(error)


@dataclass
class Processes:
    """Starts processes on one store, and ends those that a test has left."""

    config: StoreConfig
    started: list = field(default_factory=list)

    def __post_init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([__name__])

    def halt(self, method: str, name: str) -> Halt:
        return Halt(method, name, self._context.Event(), self._context.Event())

    def start(self, role: str, **fields) -> Process:
        act = Act(self.config, role, self._context.Event(), **fields)
        results = self._context.Queue()
        process = self._context.Process(target=live, args=(act, results))
        process.start()
        self.started.append(process)
        return Process(process, act, results)

    def close(self) -> None:
        for process in self.started:
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
            process.join()


@dataclass
class Process:
    process: object
    act: Act
    results: object

    def until_halted(self) -> None:
        assert self.act.halt.reached.wait(WAIT_S)

    def until_waiting(self) -> None:
        assert self.act.waits.wait(WAIT_S)

    def go_on(self):
        """Let it run to its end; what it gives."""
        self.act.halt.go_on.set()
        return self.end()

    def end(self):
        given = self.results.get(timeout=WAIT_S)
        self.process.join()
        return given

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.join()


@contextmanager
def processes_on(config: StoreConfig):
    """The processes of a test; the release has a plan, and nothing else."""
    processes = Processes(config)
    open_store(config).put(layout.PLAN, PLAN.to_json())
    try:
        yield processes
    finally:
        processes.close()
