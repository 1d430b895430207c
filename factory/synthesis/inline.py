"""The runner without ray: the same units in this process, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from factory.config import FleetConfig
from factory.records import Shard


class Maker(Protocol):
    """What a runner needs of a ShardMaker."""

    def make(self, unit_index: int) -> Shard: ...


OpenMaker = Callable[[], Maker]
"""Builds a maker where it will work; must be picklable for the fleet."""
OnDone = Callable[[Shard], None]
"""Told of every committed shard, in the driver."""
RunUnits = Callable[[FleetConfig, OpenMaker, Sequence[int], OnDone], None]
"""A runner: makes all units, in any order; raises FactoryError when it cannot."""


def run_units(
    fleet: FleetConfig, open_maker: OpenMaker, units: Sequence[int], on_done: OnDone
) -> None:
    """Make `units` in order. `fleet` is not used; the signature is every runner's."""
    threads = torch.get_num_threads()
    try:
        maker = open_maker()
        for unit in units:
            on_done(maker.make(unit))
    finally:
        torch.set_num_threads(threads)
