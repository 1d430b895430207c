"""The fleet: actors pinned to their GPU or CPU share, units leased to them by the driver.

Every actor holds at most `units_in_flight` leases. When one dies its units go back to the queue and
another takes its place; Ray retries nothing, the lease loop does. A unit in hand at
`max_unit_deaths` deaths stops the release.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from cluster.runtime import connect, num_actors
from factory.config import FleetConfig
from factory.errors import FactoryError
from factory.records import Shard
from factory.synthesis.inline import OnDone, OpenMaker


class MakerActor:
    """A maker in its own process."""

    def __init__(self, open_maker: OpenMaker) -> None:
        self._maker = open_maker()

    def make(self, unit_index: int) -> Shard:
        return self._maker.make(unit_index)


class Worker:
    """The driver's view of one actor: its handle and its leases, oldest first."""

    def __init__(self, actor_class: Any, open_maker: OpenMaker) -> None:
        self._actor_class, self._open_maker = actor_class, open_maker
        self.leases: dict[ray.ObjectRef[Shard], int] = {}
        self._actor = actor_class.remote(open_maker)

    def lease(self, unit: int) -> None:
        self.leases[self._actor.make.remote(unit)] = unit

    def finished(self) -> list[Shard]:
        """Results that a dead actor had still handed over; their leases end."""
        shards = []
        for ref in list(self.leases):
            try:
                shards.append(ray.get(ref, timeout=5))
            except RayError:
                continue
            del self.leases[ref]
        return shards

    def restart(self) -> list[int]:
        """Replace a dead actor; the units it held, the one in hand first."""
        units = list(self.leases.values())
        self.leases.clear()
        ray.kill(self._actor)
        self._actor = self._actor_class.remote(self._open_maker)
        return units

    def stop(self) -> None:
        ray.kill(self._actor)


class Fleet:
    """Workers, the queue of units, and how often each unit was in hand at a death."""

    def __init__(self, config: FleetConfig, open_maker: OpenMaker, units: Sequence[int]) -> None:
        self._config = config
        self._queue = deque(units)
        self._deaths: dict[int, int] = {}
        count, gpus, cpus = num_actors(config, len(units))
        actor_class = ray.remote(
            num_gpus=gpus, num_cpus=cpus, max_restarts=0, max_task_retries=0, max_concurrency=1
        )(MakerActor)
        self._workers = [Worker(actor_class, open_maker) for _ in range(count)]

    def run(self, on_done: OnDone) -> None:
        """Lease, wait, take back, until the queue and all hands are empty."""
        try:
            while self._lease():
                self._collect(on_done)
        finally:
            for worker in self._workers:
                worker.stop()

    def _lease(self) -> bool:
        """Fill the emptiest hand first; False when every hand is empty."""
        while self._queue:
            worker = min(self._workers, key=lambda candidate: len(candidate.leases))
            if len(worker.leases) == self._config.units_in_flight:
                break
            worker.lease(self._queue.popleft())
        return any(worker.leases for worker in self._workers)

    def _collect(self, on_done: OnDone) -> None:
        owner = {ref: worker for worker in self._workers for ref in worker.leases}
        ready, _ = ray.wait(list(owner), num_returns=1)
        for ref in ready:
            worker = owner[ref]
            try:
                shard = ray.get(ref)
            except RayTaskError as error:
                raise _cause(error) from error
            except RayError as error:  # the actor, its node or its memory is gone
                self._take_back(worker, error, on_done)
            else:
                del worker.leases[ref]
                on_done(shard)

    def _take_back(self, worker: Worker, error: RayError, on_done: OnDone) -> None:
        if getattr(error, "actor_init_failed", False):
            raise FactoryError(f"fleet: an actor cannot start: {_last_line(error)}") from error
        for shard in worker.finished():
            on_done(shard)
        units = worker.restart()
        if not units:
            return
        in_hand = units[0]
        self._deaths[in_hand] = self._deaths.get(in_hand, 0) + 1
        if self._deaths[in_hand] >= self._config.max_unit_deaths:
            raise FactoryError(
                f"fleet.max_unit_deaths: {self._deaths[in_hand]} actors died with unit "
                f"{in_hand} in hand (last: {_last_line(error)}); run again with "
                "fleet.runner=inline to see why"
            )
        self._queue.extendleft(reversed(units))


def run_units(
    fleet: FleetConfig, open_maker: OpenMaker, units: Sequence[int], on_done: OnDone
) -> None:
    """Make `units` on Ray actors; `on_done` is called in the driver, in order of completion."""
    connect(fleet)
    Fleet(fleet, open_maker, units).run(on_done)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip()


def _cause(error: RayTaskError) -> Exception:
    """The maker's own error where it was meant for the user, else one that keeps the traceback."""
    cause = error.cause
    if isinstance(cause, FactoryError):
        return FactoryError(str(cause))
    return RuntimeError(str(error))
