"""The fleet: actors pinned to their GPUs or CPUs, units leased to them by the driver.

An actor has at most `units_in_flight` calls open, and units it has drawn but not committed yet.
When it dies all of them go back to the front of the queue and another actor takes its place; Ray
retries nothing, the lease loop does. The heartbeat log, an actor on the driver's node, knows which
shots were in hand, so a unit that kills is made alone and bisected (factory/execution/retries.py).
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.metrics import FleetMetrics
from cluster.runtime import actor_class, connect, first_actors, node_is_alive, room_for_actors
from factory.config import FleetConfig
from factory.errors import DeviceError, FactoryError
from factory.execution.event_log import EventLog
from factory.execution.inline import Draining, OnDone, OpenMaker, never
from factory.execution.retries import RetryState, ShotId
from factory.records import Shard

UNCOMMITTED = 2
"""Units that an actor may have drawn and not committed, besides those it is called for."""
GROW_S = 5.0
"""How often the driver looks whether nodes have joined."""
WAIT_S = 1.0
"""Longest wait for a result before the driver looks at deadlines and draining."""


class HeartbeatLog:
    """What every actor has in hand, and when it last said so; lives on the driver's node."""

    def __init__(self) -> None:
        self._latest: dict[int, tuple[str, int | None, tuple[ShotId, ...], float]] = {}

    def write(self, worker: int, node: str, unit: int | None, shots: tuple[ShotId, ...]) -> None:
        self._latest[worker] = (node, unit, shots, time.monotonic())

    def read(self, worker: int) -> tuple[str, int | None, tuple[ShotId, ...]]:
        """(node, unit, shots in hand) of the last heartbeat."""
        node, unit, shots, _ = self._latest.get(worker, ("", None, (), 0.0))
        return node, unit, shots

    def silence_s(self) -> dict[int, float]:
        """Seconds since the last heartbeat, by worker."""
        return {worker: time.monotonic() - entry[3] for worker, entry in self._latest.items()}

    def forget(self, worker: int) -> None:
        self._latest.pop(worker, None)


class MakerActor:
    """A maker in its own process, which reports what it has in hand before it draws."""

    def __init__(self, open_maker: OpenMaker, worker: int, heartbeat_log: Any) -> None:
        self._worker, self._heartbeat_log = worker, heartbeat_log
        self._node = ray.get_runtime_context().get_node_id()
        self._unit: int | None = None
        self._heartbeat(())  # so that a node that goes meanwhile is not blamed on us
        try:
            self._maker = open_maker()
        except FactoryError as error:  # weights, code, bucket: something this node has not
            raise FactoryError(f"node {ray.util.get_node_ip_address()}: {error}") from error

    def ready(self) -> list[Shard]:
        """Returns once the maker is open."""
        return []

    def make(self, unit: int, retry: RetryState) -> list[Shard]:
        self._unit = unit
        self._heartbeat(())
        return self._maker.make(unit, retry, self._heartbeat)

    def flush(self) -> list[Shard]:
        self._heartbeat(())
        return self._maker.flush(self._heartbeat)

    def _heartbeat(self, shots: tuple[ShotId, ...]) -> None:
        """With shots in hand, wait until the heartbeat has arrived: the next draw may kill us."""
        arrived = self._heartbeat_log.write.remote(self._worker, self._node, self._unit, shots)
        if shots:
            ray.get(arrived)


class Worker:
    """The driver's view of one actor: open calls, and units that are not committed yet.

    An actor may wait long for a place in the cluster, so it gets no unit before it is ready.
    """

    def __init__(self, number: int, actor: Any) -> None:
        self.number, self._actor = number, actor
        self.calls: list[ray.ObjectRef[list[Shard]]] = [actor.ready.remote()]
        self.held: dict[int, RetryState] = {}
        self.ready = False
        self.busy_since = time.monotonic()

    @property
    def alone(self) -> bool:
        return any(retry.alone for retry in self.held.values())

    def lease(self, unit: int, retry: RetryState) -> None:
        if not self.calls:
            self.busy_since = time.monotonic()
        self.held[unit] = retry
        self.calls.append(self._actor.make.remote(unit, retry))

    def flush(self) -> None:
        self.busy_since = time.monotonic()
        self.calls.append(self._actor.flush.remote())

    def returned(self, ref: ray.ObjectRef[list[Shard]], shards: list[Shard]) -> None:
        self.calls.remove(ref)
        self.ready = True
        self.busy_since = time.monotonic()
        for shard in shards:
            self.held.pop(shard.unit)

    def results_left(self) -> list[tuple[ray.ObjectRef[list[Shard]], list[Shard]]]:
        """Results that a dead actor had still handed over."""
        left = []
        for ref in self.calls:
            try:
                left.append((ref, ray.get(ref, timeout=5)))
            except RayError:
                continue
        return left

    def stop(self) -> None:
        ray.kill(self._actor)


class Fleet:
    """Workers, the queue of units, and what is known of units whose makers died."""

    def __init__(self, config: FleetConfig, open_maker: OpenMaker, units: Sequence[int]) -> None:
        self._config, self._open_maker = config, open_maker
        self._queue = deque(units)
        self._retries: dict[int, RetryState] = {}
        self._numbers = itertools.count()
        self._looked = self._grew = time.monotonic()
        self._failed_starts = self._deaths_in_a_row = 0
        self._metrics, self._events = FleetMetrics(), EventLog(config.events)
        self._resources, count = first_actors(config, len(units))
        this_node = NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        self._heartbeat_log = actor_class(
            HeartbeatLog, num_cpus=0, scheduling_strategy=this_node
        ).remote()
        gpus, cpus = self._resources
        self._actor_class = actor_class(
            MakerActor,
            num_gpus=gpus,
            num_cpus=cpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=1,
            scheduling_strategy="SPREAD",
        )
        self._workers = [self._start_worker() for _ in range(count)]

    def run(self, on_done: OnDone, draining: Draining) -> None:
        """Lease, wait, take back, until the queue is empty and every unit is committed."""
        try:
            while True:
                if draining():
                    self._queue.clear()
                self._grow()
                self._lease()
                if not self._queue and not any(worker.held for worker in self._workers):
                    return
                self._collect(on_done)
                self._watch_deadlines(on_done)
        finally:
            for worker in self._workers:
                worker.stop()
            ray.kill(self._heartbeat_log)

    def _start_worker(self) -> Worker:
        number = next(self._numbers)
        return Worker(
            number, self._actor_class.remote(self._open_maker, number, self._heartbeat_log)
        )

    def _grow(self) -> None:
        """Start workers on nodes that have joined.

        Nodes that leave take their actors along, whose successors wait for room.
        """
        now = time.monotonic()
        if now - self._grew < GROW_S:
            return
        self._grew = now
        left = len(self._queue) + sum(len(worker.held) for worker in self._workers)
        room = room_for_actors(self._resources, min(self._config.num_workers or left, left))
        self._workers += [self._start_worker() for _ in range(room - len(self._workers))]
        ready = sum(worker.ready for worker in self._workers)
        self._metrics.hands(len(self._queue), left - len(self._queue), len(self._workers), ready)

    def _lease(self) -> None:
        """Lease units, the worker with the fewest first; one without any waits for its commits."""
        while self._queue:
            retry = self._retries.get(self._queue[0], RetryState())
            free = [worker for worker in self._workers if self._may_take(worker, retry)]
            if not free:
                break
            worker = min(free, key=lambda candidate: len(candidate.calls))
            unit = self._queue.popleft()
            worker.lease(unit, retry)
            self._events.write("leased", unit=unit, worker=worker.number, attempt=retry.attempt)
        for worker in self._workers:
            if worker.held and not worker.calls:
                worker.flush()

    def _may_take(self, worker: Worker, retry: RetryState) -> bool:
        if not worker.ready or worker.alone or (retry.alone and worker.held):
            return False
        limit = self._config.units_in_flight
        return len(worker.calls) < limit and len(worker.held) < limit + UNCOMMITTED

    def _collect(self, on_done: OnDone) -> None:
        owner = {ref: worker for worker in self._workers for ref in worker.calls}
        ready, _ = ray.wait(list(owner), num_returns=1, timeout=WAIT_S)
        for ref in ready:
            worker = owner[ref]
            try:
                shards = ray.get(ref)
            except RayTaskError as error:
                if not isinstance(error.cause, DeviceError):
                    raise _cause(error) from error
                self._replace(worker, error.cause, on_done)  # another process may fare better
            except RayError as error:  # the actor, its node or its memory is gone
                self._replace(worker, error, on_done)
            else:
                self._count(worker, ref, shards, on_done)

    def _count(self, worker: Worker, ref: Any, shards: list[Shard], on_done: OnDone) -> None:
        worker.returned(ref, shards)
        self._failed_starts = 0
        for shard in shards:
            self._deaths_in_a_row = 0
            self._retries.pop(shard.unit, None)
            self._metrics.committed(shard)
            on_done(shard)

    def _watch_deadlines(self, on_done: OnDone) -> None:
        """Replace actors that have work and have not reported or returned anything for long."""
        deadline_s, now = self._config.deadline_s, time.monotonic()
        if now - self._looked < min(deadline_s, 60.0) / 4:
            return
        self._looked = now
        silence_s = ray.get(self._heartbeat_log.silence_s.remote())
        for worker in list(self._workers):
            quiet_s = min(now - worker.busy_since, silence_s.get(worker.number, float("inf")))
            if worker.held and quiet_s > deadline_s:
                worker.stop()
                reason = f"no sign of life for {quiet_s:.0f} s (fleet.deadline_s)"
                self._replace(worker, TimeoutError(reason), on_done)

    def _replace(self, worker: Worker, error: Exception, on_done: OnDone) -> None:
        """Take a dead actor's units back, learn from what it had in hand, start another."""
        if getattr(error, "actor_init_failed", False):
            raise FactoryError(f"fleet: an actor cannot start: {_last_line(error)}") from error
        for ref, shards in worker.results_left():
            self._count(worker, ref, shards, on_done)
        node, in_hand, shots = ray.get(self._heartbeat_log.read.remote(worker.number))
        self._events.write(
            "lost",
            worker=worker.number,
            node=node,
            units=list(worker.held),
            unit_in_hand=in_hand,
            shots_in_hand=[list(shot) for shot in shots],
            error=_last_line(error),
        )
        self._retries |= {unit: retry.begun_again() for unit, retry in worker.held.items()}
        if node_is_alive(node):
            self._deaths_in_a_row += 1
            self._failed_starts += not worker.ready
            if worker.held:
                unit = in_hand if in_hand in worker.held else next(iter(worker.held))
                suspects = shots if unit == in_hand else ()
                self._retries[unit] = worker.held[unit].after_death(suspects)
        self._stop_if_hopeless(error)
        self._queue.extendleft(reversed(worker.held))
        worker.stop()
        self._metrics.died()
        self._heartbeat_log.forget.remote(worker.number)
        self._workers[self._workers.index(worker)] = self._start_worker()

    def _stop_if_hopeless(self, error: Exception) -> None:
        blind = {unit: retry.blind_deaths for unit, retry in self._retries.items()}
        worst = max(blind, key=blind.__getitem__, default=None)
        if worst is not None and blind[worst] >= self._config.max_unit_deaths:
            limit = (
                f"max_unit_deaths: {blind[worst]} actors died with unit {worst} and no shot in hand"
            )
        elif self._failed_starts >= self._config.max_unit_deaths:
            limit = (
                f"max_unit_deaths: {self._failed_starts} actors in a row died while they started"
            )
        elif self._deaths_in_a_row >= self._config.max_deaths_in_a_row:
            limit = f"max_deaths_in_a_row: {self._deaths_in_a_row} actors died and none committed"
        else:
            return
        raise FactoryError(
            f"fleet.{limit} (last: {_last_line(error)}); run again with fleet.runner=inline to see "
            "why"
        )


def run_units(
    fleet: FleetConfig,
    open_maker: OpenMaker,
    units: Sequence[int],
    on_done: OnDone,
    draining: Draining = never,
) -> None:
    """Make `units` on Ray actors; `on_done` is called in the driver, in order of completion."""
    connect(fleet)
    Fleet(fleet, open_maker, units).run(on_done, draining)


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def _cause(error: RayTaskError) -> Exception:
    """The maker's own error where it was meant for the user, else one that keeps the traceback."""
    cause = error.cause
    if isinstance(cause, FactoryError):
        return FactoryError(str(cause))
    return RuntimeError(str(error))
