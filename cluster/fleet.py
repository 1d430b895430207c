"""The fleet: actors pinned to their GPUs or CPUs, units leased to them by the driver.

An actor has at most `units_in_flight` calls open, and units it has drawn but not committed yet.
When it is lost all of them go back to the queue and another actor takes its place; Ray retries
nothing, the lease loop does, and it never waits for a single node. The notes of an actor's node
(cluster/notes.py) say which shots were in hand, so a unit that kills is made alone and bisected
(factory/execution/retries.py). Errors are counted by node and kind (cluster/trouble.py): a node
that makes trouble gets no more actors, and the release goes on.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import (
    ActorUnavailableError,
    RayActorError,
    RayError,
    RayTaskError,
    TaskCancelledError,
)

from cluster.maker_actor import MakerActor, Place
from cluster.metrics import FleetMetrics
from cluster.notes import AllNotes, InHand, read_answer
from cluster.runtime import (
    actor_class,
    capacities,
    connect,
    dead_nodes,
    draining_nodes,
    first_actors,
    room_for_actors,
)
from cluster.trouble import DIED, SILENT, NodeTroubles, as_met, is_final, kind_of, last_line
from cluster.unit_queue import UnitQueue
from cluster.worker import Ref, Worker
from factory.config import FleetConfig
from factory.errors import DeviceError, FactoryError
from factory.execution.event_log import EventLog
from factory.execution.fleet_state import FleetState, OnState, unheard
from factory.execution.inline import Draining, OnDone, OpenMaker, never
from factory.execution.retries import RetryState
from factory.records import Shard

UNCOMMITTED = 2
"""Units that an actor may have drawn and not committed, besides those it is called for."""
GROW_S = 5.0
"""How often the driver looks whether nodes have joined."""
LOOK_S = 1.0
"""How often the driver looks whether nodes are about to go."""
WAIT_S = 1.0
"""Longest wait for a result before the driver looks at deadlines and draining."""
NOTES_S = 5.0
"""How long the notes of a lost actor are waited for, while the others go on."""


@dataclass(frozen=True)
class Loss:
    """A worker that was lost, and whose node is asked what it had in hand."""

    worker: Worker
    error: Exception
    kind: str
    notes: Ref | None
    """The answer of its node; None where nobody can be asked."""
    until: float
    """When the answer is no longer waited for."""


class Fleet:
    """Workers, the queue of units, and what is known of nodes and units that made trouble."""

    def __init__(self, config: FleetConfig, open_maker: OpenMaker, units: Sequence[int]) -> None:
        self._config, self._open_maker = config, open_maker
        self._queue = UnitQueue(units)
        self._losses: list[Loss] = []
        self._numbers = itertools.count()
        self._looked = self._grew = self._watched = time.monotonic()
        self._failed_starts = self._deaths_in_a_row = 0
        self._actor_s = 0.0
        self._metrics, self._events = FleetMetrics(), EventLog(config.events)
        self._notes, self._troubles = AllNotes(), NodeTroubles(config)
        self._going: set[str] = set()
        self._resources, count = first_actors(config, len(units))
        self._workers = [self._start_worker() for _ in range(count)]

    def run(self, on_done: OnDone, draining: Draining = never, on_state: OnState = unheard) -> None:
        """Lease, wait, take back, until the queue is empty and every unit is committed."""
        try:
            while True:
                if draining():
                    self._queue.clear()
                    self._workers = [worker for worker in self._workers if self._is_needed(worker)]
                self._look(on_state)
                self._grow()
                self._lease()
                if not self._num_left():
                    return
                self._collect(on_done)
                self._settle_losses()
                self._watch_deadlines(on_done)
        finally:
            on_state(self._state())
            for worker in self._workers:
                worker.stop()
            self._notes.end()

    def _num_left(self) -> int:
        """Units that are not committed and not given up."""
        held = sum(len(worker.held) for worker in self._workers)
        lost = sum(len(loss.worker.held) for loss in self._losses)
        return len(self._queue) + held + lost

    def _state(self) -> FleetState:
        seconds = self._actor_s + sum(worker.seconds for worker in self._workers)
        return FleetState(seconds, tuple(self._troubles.bad.values()))

    def _is_needed(self, worker: Worker) -> bool:
        """Whether a worker has units; one that has none is stopped, because none will come."""
        if worker.held:
            return True
        self._end(worker)
        return False

    def _end(self, worker: Worker) -> None:
        """Stop a worker and forget it."""
        worker.stop()
        self._actor_s += worker.seconds
        self._notes.forget(worker.number, worker.node)

    def _excluded(self) -> set[str]:
        """Nodes that get no actors: those that made trouble, and those that will go soon."""
        return {*self._troubles.bad, *self._going}

    def _start_worker(self) -> Worker:
        """A new actor on any node but the excluded ones.

        Ray keeps it waiting while there is no room.
        """
        gpus, cpus = self._resources
        options: dict[str, Any] = {}
        if excluded := self._excluded():
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(sorted(excluded))})"}
        kind = actor_class(
            MakerActor,
            num_gpus=gpus,
            num_cpus=cpus,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=1,
            scheduling_strategy="SPREAD",
            **options,
        )
        number = next(self._numbers)
        return Worker(number, kind.remote(self._open_maker, number))

    def _look(self, on_state: OnState) -> None:
        """See which nodes will go soon, and empty them.

        Their actors get no more units and commit what they have drawn, then others take their
        places elsewhere.
        """
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        going = draining_nodes()
        for node in going - self._going:
            self._events.write("node_going", node=node)
        self._going |= going
        for worker in list(self._workers):
            if worker.node in self._going and not worker.leaving:
                worker.leave()
            if worker.leaving and not worker.held:
                self._end(worker)
                self._workers[self._workers.index(worker)] = self._start_worker()
        on_state(self._state())

    def _grow(self) -> None:
        """Start workers on nodes that have joined.

        Nodes that leave take their actors along, whose successors wait for room.
        """
        now = time.monotonic()
        if now - self._grew < GROW_S:
            return
        self._grew = now
        left = self._num_left()
        most = min(self._config.num_workers or left, left)
        room = room_for_actors(self._resources, most, self._excluded())
        self._workers += [self._start_worker() for _ in range(room - len(self._workers))]
        ready = sum(worker.ready for worker in self._workers)
        waiting = len(self._queue)
        self._metrics.hands(waiting, left - waiting, len(self._workers), ready)
        self._troubles.stop_if_alike(capacities(self._resources))

    def _lease(self) -> None:
        """Lease units, the worker with the fewest first; one without any waits for its commits."""
        while True:
            free = [worker for worker in self._workers if self._is_free(worker)]
            taken = self._queue.take(functools.partial(self._least_busy, free)) if free else None
            if taken is None:
                break
            unit, retry, worker = taken
            worker.lease(unit, retry)
            self._events.write("leased", unit=unit, worker=worker.number, attempt=retry.attempt)
        for worker in self._workers:
            if worker.held and not worker.calls:
                worker.flush()

    def _least_busy(self, free: list[Worker], retry: RetryState) -> Worker | None:
        """The least busy of the free workers that may have a unit."""
        fitting = [worker for worker in free if self._may_take(worker, retry)]
        return min(fitting, key=lambda worker: len(worker.calls), default=None)

    def _is_free(self, worker: Worker) -> bool:
        if not worker.ready or worker.leaving or worker.alone:
            return False
        limit = self._config.units_in_flight
        return len(worker.calls) < limit and len(worker.held) < limit + UNCOMMITTED

    def _may_take(self, worker: Worker, retry: RetryState) -> bool:
        """Whether a free worker may have a unit that has failed so and so often."""
        if retry.alone and worker.held:
            return False
        return worker.node not in retry.failed_on or not self._others(retry.failed_on)

    def _others(self, nodes: frozenset[str]) -> bool:
        """Whether there are open workers on further nodes."""
        return any(worker.ready and worker.node not in nodes for worker in self._workers)

    def _collect(self, on_done: OnDone) -> None:
        owner = {ref: worker for worker in self._workers for ref in worker.calls}
        if not owner:  # all are lost, and their nodes are asked
            time.sleep(0.05)
            return
        ready, _ = ray.wait(list(owner), num_returns=1, timeout=WAIT_S)
        for ref in ready:
            worker = owner[ref]
            try:
                result = ray.get(ref)
            except TaskCancelledError:
                self._queue.put_back([worker.give_back(ref)])
            except RayTaskError as error:
                self._failed(worker, _told(error), on_done)
            except RayError as error:  # the actor, its node or its memory is gone
                self._lost(worker, error, DIED, on_done)
            else:
                if isinstance(result, Place):
                    self._placed(worker, result)
                else:
                    self._count(worker, ref, result, on_done)

    def _placed(self, worker: Worker, place: Place) -> None:
        """Let a worker open, unless its node has become one that gets no actors meanwhile."""
        if place.node in self._excluded():
            self._end(worker)
            self._workers[self._workers.index(worker)] = self._start_worker()
        else:
            worker.placed(place, self._notes.of(place.node))

    def _count(self, worker: Worker, ref: Ref, shards: list[Shard], on_done: OnDone) -> None:
        worker.returned(ref, shards)
        self._failed_starts = 0
        for shard in shards:
            self._deaths_in_a_row = 0
            self._queue.committed(shard.unit)
            self._troubles.committed(worker.node)
            self._metrics.committed(shard)
            on_done(shard)

    def _watch_deadlines(self, on_done: OnDone) -> None:
        """Replace actors that open or have work and have given no sign of life for long."""
        deadline_s, now = self._config.deadline_s, time.monotonic()
        if now - self._watched < min(deadline_s, 60.0) / 4:
            return
        self._watched = now
        self._notes.listen()
        for worker in list(self._workers):
            heard_at = max(worker.busy_since, self._notes.heard_at(worker.number))
            at_work = worker.held or (worker.place and not worker.ready)
            if at_work and now - heard_at > deadline_s:
                reason = f"no sign of life for {now - heard_at:.0f} s (fleet.deadline_s)"
                self._lost(worker, TimeoutError(reason), SILENT, on_done)

    def _failed(self, worker: Worker, error: Exception, on_done: OnDone) -> None:
        """An actor has raised: stop the release, or give up this actor and go on."""
        if is_final(error, opening=not worker.ready):
            raise error
        self._lost(worker, error, kind_of(error), on_done)

    def _lost(self, worker: Worker, error: Exception, kind: str, on_done: OnDone) -> None:
        """Give up an actor; its node is asked what it had in hand, and nobody waits for that."""
        for ref, shards in worker.results_left():
            self._count(worker, ref, shards, on_done)
        worker.stop()
        self._actor_s += worker.seconds
        self._workers.remove(worker)
        asked = self._notes.of(worker.node).read.remote(worker.number) if worker.place else None
        self._losses.append(Loss(worker, error, kind, asked, time.monotonic() + NOTES_S))

    def _settle_losses(self) -> None:
        """Take back the units of lost actors whose nodes have answered, or will not."""
        asked = [loss.notes for loss in self._losses if loss.notes is not None]
        ready = ray.wait(asked, num_returns=len(asked), timeout=0)[0] if asked else []
        for loss in list(self._losses):
            if loss.notes is None or loss.notes in ready or time.monotonic() > loss.until:
                self._losses.remove(loss)
                self._settle(loss, read_answer(loss.notes))

    def _settle(self, loss: Loss, in_hand: InHand) -> None:
        """Learn from a loss, take its units back, start another actor."""
        worker, (unit, shots) = loss.worker, in_hand
        self._events.write(
            "lost",
            worker=worker.number,
            node=worker.node,
            units=list(worker.held),
            unit_in_hand=unit,
            shots_in_hand=[list(shot) for shot in shots],
            error=last_line(loss.error),
        )
        again = {held: retry.begun_again() for held, retry in worker.held.items()}
        self._queue.retries |= again
        gone = self._has_gone(loss)
        if gone:
            self._notes.drop(worker.node)
        elif isinstance(loss.error, ActorUnavailableError):  # out of reach, as before a node is
            self._deaths_in_a_row += 1  # known to be lost: that says nothing of unit or node
            self._stop_if_hopeless(loss.error)
        else:
            self._blame(loss, in_hand)
        if gone or loss.kind in (DIED, SILENT):
            self._queue.put_back(worker.held)
        else:
            self._queue.put_back_later(worker.held)
        self._metrics.died()
        self._notes.forget(worker.number, worker.node)
        self._troubles.stop_if_alike(capacities(self._resources))
        self._workers.append(self._start_worker())

    def _has_gone(self, loss: Loss) -> bool:
        """Whether the node went and took the actor along; then nobody is blamed."""
        preempted = isinstance(loss.error, RayActorError) and loss.error.preempted
        return preempted or loss.worker.node in self._going | dead_nodes()

    def _blame(self, loss: Loss, in_hand: InHand) -> None:
        """Count a loss for its unit and, unless the unit may be to blame, for its node.

        It may be where it has failed on another node or, because a shot can kill, where it has
        killed before. A device that fails may fail for the shot in hand, so that counts as a death.
        Raises when it is one too many.
        """
        worker, error = loss.worker, loss.error
        process = loss.kind in (DIED, SILENT) or isinstance(error, DeviceError)
        unit, shots = in_hand
        suspect = unit if unit in worker.held else next(iter(worker.held), None)
        before = worker.held[suspect] if suspect is not None else RetryState()
        if process:
            self._deaths_in_a_row += 1
            self._failed_starts += worker.place is None
            if suspect is not None:
                self._queue.retries[suspect] = before.after_death(
                    shots if suspect == unit else (), worker.node
                )
            self._stop_if_hopeless(error)
        elif suspect is not None:
            self._queue.retries[suspect] = before.after_error(worker.node)
            if before.errors + 1 >= self._config.max_unit_deaths and loss.kind != "store":
                times = before.errors + 1
                raise as_met(error, f"unit {suspect}: failed {times} times, the last: {error}")
        unit_is_suspect = before.deaths if process else before.failed_on - {worker.node}
        if worker.place and not unit_is_suspect:
            address = worker.place.address
            if self._troubles.note(worker.node, address, loss.kind, error):
                bad = self._troubles.bad[worker.node]
                self._metrics.bad(bad)
                self._events.write("bad_node", node=worker.node, address=address, kind=bad.kind)

    def _stop_if_hopeless(self, error: Exception) -> None:
        unit, deaths = self._queue.most_blind_deaths()
        if deaths >= self._config.max_unit_deaths:
            limit = f"max_unit_deaths: {deaths} actors died with unit {unit} and no shot in hand"
        elif self._failed_starts >= self._config.max_unit_deaths:
            limit = (
                f"max_unit_deaths: {self._failed_starts} actors in a row died while they started"
            )
        elif self._deaths_in_a_row >= self._config.max_deaths_in_a_row:
            limit = f"max_deaths_in_a_row: {self._deaths_in_a_row} actors died and none committed"
        else:
            return
        raise FactoryError(
            f"fleet.{limit} (last: {last_line(error)}); run again with fleet.runner=inline to see "
            "why"
        )


def run_units(
    fleet: FleetConfig,
    open_maker: OpenMaker,
    units: Sequence[int],
    on_done: OnDone,
    draining: Draining = never,
    on_state: OnState = unheard,
) -> None:
    """Make `units` on Ray actors; `on_done` is called in the driver, in order of completion."""
    connect(fleet)
    Fleet(fleet, open_maker, units).run(on_done, draining, on_state)


def _told(error: RayTaskError) -> Exception:
    """What an actor has raised, where its type says something; else all of it as text."""
    cause = error.cause
    if isinstance(cause, FactoryError | OSError | MemoryError):
        return cause
    return RuntimeError(str(error))
