"""One driver a release: who drives it says so in the store, and goes on saying so.

The record is taken and kept up by compare-and-set, so of two drivers one is told. It is a courtesy,
not what keeps a release right: that is the commit protocol, which two drivers cannot break. A
record whose driver has died is taken over: at once where its process was one of this machine, else
once it has not changed for EXPIRES_S seconds of this machine's clock (no two clocks are compared).
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from factory.config import Config
from factory.errors import FactoryError, StoreError
from factory.execution.fleet_state import FleetState
from factory.records import Log
from factory.shards import layout
from factory.shards.driver_record import DriverRecord
from factory.shards.pause import pause_of
from factory.store import Store

BEAT_S = 5.0
"""Seconds between two writes of the record."""
EXPIRES_S = 60.0
"""Silence after which a driver on another machine counts as dead."""
LOOK_S = 1.0
"""Seconds between two looks at a record whose driver may have died."""

_held: set[str] = set()
"""Drivers of this process that hold a release now."""


@dataclass
class DriverLease:
    """The right to drive a release, held until `end`.

    `max_cost` is what its actors may cost in all, at `actor_hour` each hour.
    """

    store: Store
    max_cost: float | None = None
    actor_hour: float | None = None
    log: Log = print
    _record: DriverRecord = field(init=False)
    _earlier_s: float = field(default=0.0, init=False)
    _state: FleetState = field(default_factory=FleetState, init=False)
    _stop: str = field(default="", init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)

    def take(self) -> None:
        """Become the driver.

        Raises FactoryError where another one is at work, or the release is paused.
        """
        if pause := pause_of(self.store):
            raise FactoryError(pause.refusal(self.store.url))
        since = datetime.now(UTC).isoformat(timespec="seconds")
        where = f"{socket.gethostname()}, process {os.getpid()}"
        mine = DriverRecord(uuid.uuid4().hex, where, this_process(), since)
        _held.add(mine.driver)  # before it is written, so that nobody here takes it for dead
        try:
            self._take(mine)
        except BaseException:
            _held.discard(mine.driver)
            raise
        self._check_cost()
        threading.Thread(target=self._keep_up, name="driver lease", daemon=True).start()

    def _take(self, mine: DriverRecord) -> None:
        """Put one's own record in the place of none, or of that of a dead driver."""
        while True:
            before = self._read()
            other = DriverRecord.from_json(before) if before else None
            if before and other and not other.ended:
                self._wait_for_death(before, other)
            self._earlier_s = other.actor_s if other else 0.0
            self._record = replace(mine, actor_s=self._earlier_s)
            if self.store.swap(layout.DRIVER, before, self._record.to_json()):
                return

    def end(self, *, finished: bool) -> None:
        """Give the release back; once it is `finished` nothing of the record stays."""
        self._ended.set()
        _held.discard(self._record.driver)
        with suppress(StoreError, FileNotFoundError):
            if self._write(replace(self._next(), ended=True)) and finished:
                self.store.delete(layout.DRIVER)

    def heard(self, state: FleetState) -> None:
        """Note what the runner says of its processes."""
        self._state = state
        self._check_cost()

    def must_stop(self) -> bool:
        """Whether no further unit is to be begun; `refuse_if_stopped` says why."""
        return bool(self._stop)

    def refuse_if_stopped(self) -> None:
        """Raise FactoryError where the release was stopped on purpose, or taken by another."""
        if self._stop:
            raise FactoryError(self._stop)

    def _check_cost(self) -> None:
        if self.max_cost is None or not self.actor_hour:
            return
        cost = (self._earlier_s + self._state.actor_s) / 3600 * self.actor_hour
        if cost >= self.max_cost:
            self._stop = (
                f"fleet.max_cost: {self.store.url} has cost {cost:.2f}, want at most "
                f"{self.max_cost:g}; raise it and run again to go on from here"
            )

    def _keep_up(self) -> None:
        while not self._ended.wait(BEAT_S):
            with suppress(StoreError, FileNotFoundError):  # the store may answer at the next beat
                if not self._write(self._next()):
                    self._stop = (
                        f"release.version: another driver has taken over {self.store.url}; this "
                        "one was out of reach of the store for too long"
                    )
                    return
                if pause := pause_of(self.store):
                    self._stop = pause.refusal(self.store.url)

    def _next(self) -> DriverRecord:
        return replace(
            self._record,
            beat=self._record.beat + 1,
            actor_s=round(self._earlier_s + self._state.actor_s, 1),
            bad_nodes=self._state.bad_nodes,
        )

    def _write(self, record: DriverRecord) -> bool:
        """Replace the record; False where it is another driver's now."""
        if not self.store.swap(layout.DRIVER, self._record.to_json(), record.to_json()):
            current = self._read()
            if current and DriverRecord.from_json(current).driver != record.driver:
                return False
            if not self.store.swap(layout.DRIVER, current, record.to_json()):
                return False
        self._record = record
        return True

    def _read(self) -> bytes | None:
        try:
            return self.store.get(layout.DRIVER)
        except FileNotFoundError:
            return None

    def _wait_for_death(self, before: bytes, other: DriverRecord) -> None:
        """Return once a driver is known to be dead; raises FactoryError where it is alive."""
        refusal = FactoryError(
            f"release.version: {self.store.url} is made by another driver ({other.where}, since "
            f"{other.since}); wait for it, or end it and run again"
        )
        alive = is_alive(other)
        if alive:
            raise refusal
        if alive is None:
            self.log(
                f"{self.store.url}: its last driver ({other.where}) may have died; waiting "
                f"{EXPIRES_S:g} s for a sign of life"
            )
            until = time.monotonic() + EXPIRES_S
            while time.monotonic() < until:
                time.sleep(LOOK_S)
                if self._read() != before:
                    raise refusal
        self.log(f"{self.store.url}: taking over from a driver that died ({other.where})")


@contextmanager
def driving(config: Config, store: Store, log: Log) -> Iterator[DriverLease]:
    """Hold the lease of what is made in `store`; raises FactoryError where another driver does."""
    lease = DriverLease(store, config.fleet.max_cost, config.estimate.actor_hour, log)
    lease.take()
    finished = False
    try:
        yield lease
        finished = True
    finally:
        with suppress(StoreError):
            finished = finished or not store.exists(layout.PLAN)  # then nothing was begun
        lease.end(finished=finished)


def is_alive(record: DriverRecord) -> bool | None:
    """Whether a driver's process lives; None where this machine cannot tell."""
    machine, _, rest = record.process.partition(" ")
    mine = this_process()
    if not mine or not machine or machine != mine.partition(" ")[0]:
        return None
    pid, _, started = rest.partition(" ")
    if int(pid) == os.getpid():
        return record.driver in _held
    return _started(int(pid)) == started


def this_process() -> str:
    """'machine pid start', where the machine is a boot of it and a namespace of pids.

    It is '' elsewhere than on Linux.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return f"{boot}/{namespace} {os.getpid()} {_started(os.getpid())}"


def _started(pid: int) -> str:
    """When a process was started, in ticks since the boot; '' where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
