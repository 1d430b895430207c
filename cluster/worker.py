"""The driver's view of one actor: where it is, open calls, units that are not committed yet."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.exceptions import RayError

from cluster.maker_actor import Place
from factory.execution.retries import RetryState
from factory.records import Shard

Ref = Any
"""A reference to what a call of an actor returns: its Place, or shards."""


class Worker:
    """An actor that may wait long for a place in the cluster; it gets no unit before it is open."""

    def __init__(self, number: int, actor: Any) -> None:
        self.number, self._actor = number, actor
        self.calls: dict[Ref, int | None] = {actor.place.remote(): None}
        """Open calls in their order, and the unit of those that make one."""
        self.held: dict[int, RetryState] = {}
        self.place: Place | None = None
        self.ready = self.leaving = False
        self.placed_at: float | None = None
        self.busy_since = time.monotonic()

    @property
    def node(self) -> str:
        """Ray's id of its node; '' while it waits for a place."""
        return self.place.node if self.place else ""

    @property
    def alone(self) -> bool:
        return any(retry.alone for retry in self.held.values())

    @property
    def seconds(self) -> float:
        """How long it has had its place."""
        return time.monotonic() - self.placed_at if self.placed_at is not None else 0.0

    def placed(self, place: Place, notes: Any) -> None:
        """Begin to open the maker, with the notes of its node."""
        self.place, self.placed_at = place, time.monotonic()
        self.calls.clear()
        self._call(self._actor.open.remote(notes))

    def lease(self, unit: int, retry: RetryState) -> None:
        self.held[unit] = retry
        self._call(self._actor.make.remote(unit, retry), unit)

    def flush(self) -> None:
        self._call(self._actor.flush.remote())

    def leave(self) -> None:
        """Take nothing more, and give back the units that are not begun."""
        self.leaving = True
        for ref, unit in list(self.calls.items())[1:]:
            if unit is not None:
                ray.cancel(ref)

    def returned(self, ref: Ref, shards: list[Shard]) -> None:
        self.calls.pop(ref)
        self.ready = True
        self.busy_since = time.monotonic()
        for shard in shards:
            self.held.pop(shard.unit)

    def give_back(self, ref: Ref) -> int:
        """The unit of a call that was canceled before it began."""
        unit = self.calls.pop(ref)
        assert unit is not None, "only units are canceled"
        del self.held[unit]
        return unit

    def results_left(self) -> list[tuple[Ref, list[Shard]]]:
        """Results that a dead actor had still handed over."""
        left = []
        for ref in self.calls:
            try:
                result = ray.get(ref, timeout=0)
            except RayError:
                continue
            if isinstance(result, list):
                left.append((ref, result))
        return left

    def stop(self) -> None:
        ray.kill(self._actor)

    def _call(self, ref: Ref, unit: int | None = None) -> None:
        if not self.calls:
            self.busy_since = time.monotonic()
        self.calls[ref] = unit
