"""A maker in a process of its own, as a Ray actor."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from factory.errors import Unavailable
from factory.execution.inline import OpenMaker
from factory.execution.retries import RetryState, ShotId
from factory.records import Shard

OPEN_ATTEMPTS = 4
"""Times a maker is opened while the store does not answer, besides the store's own retries."""


@dataclass(frozen=True)
class Place:
    """Where an actor was put."""

    node: str
    """Ray's id of the node."""
    address: str


class MakerActor:
    """A maker that notes what it has in hand before it draws.

    Its calls come one after the other: where it is, then open, then units.
    """

    def __init__(self, open_maker: OpenMaker, worker: int) -> None:
        """Nothing that could fail or hang: a call can be given a deadline and has typed errors."""
        self._open_maker, self._worker = open_maker, worker
        self._notes: Any = None
        self._unit: int | None = None
        self._has_killed = False

    def place(self) -> Place:
        return Place(ray.get_runtime_context().get_node_id(), ray.util.get_node_ip_address())

    def open(self, notes: Any) -> list[Shard]:
        """Load what the maker needs; raises its errors."""
        self._notes = notes
        for attempt in range(OPEN_ATTEMPTS):
            self._note(())
            try:
                self._maker = self._open_maker()
                break
            except Unavailable:  # hundreds of actors that open at once are asked to slow down
                if attempt + 1 == OPEN_ATTEMPTS:
                    raise
                time.sleep(random.uniform(0.5, 1.0) * 2**attempt)
        return []

    def make(self, unit: int, retry: RetryState) -> list[Shard]:
        self._unit, self._has_killed = unit, retry.deaths > 0
        self._note(())
        return self._maker.make(unit, retry, self._note)

    def flush(self) -> list[Shard]:
        self._note(())
        return self._maker.flush(self._note)

    def _note(self, shots: tuple[ShotId, ...]) -> None:
        """Note the shots in hand; wait until that is done where the next draw is likely to kill.

        After a first death it does not matter which shots were in hand, so nobody waits for the
        note before.
        """
        noted = self._notes.write.remote(self._worker, self._unit, shots)
        if shots and self._has_killed:
            with suppress(RayError):  # without notes the death is one with nothing in hand
                ray.get(noted)
