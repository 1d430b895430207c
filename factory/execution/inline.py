"""The runner without ray: the same units in this process, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Protocol

from factory.config import FleetConfig
from factory.execution.fleet_state import FleetState, OnState, unheard
from factory.execution.retries import Heartbeat, RetryState, unwatched
from factory.records import Shard
from factory.training.distributed import kept_threads


class Maker(Protocol):
    """What a runner needs of a maker of units.

    Shards come back when they are committed, which may be at a later call.
    """

    def make(
        self, unit_index: int, retry: RetryState | None = None, heartbeat: Heartbeat = unwatched
    ) -> list[Shard]:
        """Make a unit; `heartbeat` hears of the shots in hand."""
        ...

    def flush(self, heartbeat: Heartbeat = unwatched) -> list[Shard]:
        """Wait for the units that are still on their way."""
        ...

    def close(self) -> None: ...


OpenMaker = Callable[[], Maker]
"""Builds a maker where it will work; must be picklable for the fleet."""
OnDone = Callable[[Shard], None]
"""Called with every committed shard, in the driver."""
Draining = Callable[[], bool]
"""Whether no further unit is to be begun; what is in hand is finished."""
RunUnits = Callable[[FleetConfig, OpenMaker, Sequence[int], OnDone, Draining, OnState], None]
"""A runner: makes all units, in any order; raises FactoryError when it cannot."""


def never() -> bool:
    """The answer when nobody can ask for draining."""
    return False


def run_units(
    fleet: FleetConfig,
    open_maker: OpenMaker,
    units: Sequence[int],
    on_done: OnDone,
    draining: Draining = never,
    on_state: OnState = unheard,
) -> None:
    """Make `units` in order. `fleet` is not used; the signature is every runner's."""
    began = time.monotonic()
    with kept_threads(), closing(open_maker()) as maker:
        for unit in units:
            on_state(FleetState(time.monotonic() - began))
            if draining():
                break
            for shard in maker.make(unit):
                on_done(shard)
        for shard in maker.flush():
            on_done(shard)
    on_state(FleetState(time.monotonic() - began))
