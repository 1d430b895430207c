"""Units of a sealed release that are read or exported by whatever runs makers."""

from __future__ import annotations

from collections.abc import Sequence

from factory.config import FleetConfig
from factory.execution.fleet_state import unheard
from factory.execution.inline import RunUnits, never
from factory.execution.retries import Heartbeat, RetryState, unwatched
from factory.records import Counts, Shard, Timings
from factory.shards.units import DoUnits, OneUnit, OnUnit, OpenUnits

FLEET = FleetConfig(gpus_per_actor=0.0)
"""Actors that read and write: one for each CPU."""


def done(unit: int, retry: RetryState | None, lines: Sequence[str] = ()) -> Shard:
    """A runner's sign that work on a unit is done; it counts no shots and no time of makers."""
    nothing, no_time = Counts(0, 0, 0, 0, 0), Timings(0.0, 0.0, 0.0, 0.0)
    return Shard(unit, "", [], nothing, no_time, retry.attempt if retry else 0, list(lines))


class UnitJob:
    """A function of units in the place of a maker."""

    def __init__(self, one_unit: OneUnit) -> None:
        self._one_unit = one_unit

    def make(
        self, unit_index: int, retry: RetryState | None = None, heartbeat: Heartbeat = unwatched
    ) -> list[Shard]:
        """Do a unit; the shard is a sign that it is done, its remarks are the lines."""
        heartbeat(())
        return [done(unit_index, retry, self._one_unit(unit_index))]

    def flush(self, heartbeat: Heartbeat = unwatched) -> list[Shard]:
        """Nothing is on its way."""
        return []

    def close(self) -> None:
        """Nothing is held open."""


class _OpenJob:
    """Opens a job where it will work."""

    def __init__(self, open_units: OpenUnits) -> None:
        self._open_units = open_units

    def __call__(self) -> UnitJob:
        return UnitJob(self._open_units())


def units_on(run_units: RunUnits) -> DoUnits:
    """Does units by a runner; a unit whose actor dies is done again, as those of makers are."""

    def do_units(open_units: OpenUnits, units: Sequence[int], on_unit: OnUnit) -> list[str]:
        lines: dict[int, list[str]] = {}

        def on_done(shard: Shard) -> None:
            lines[shard.unit] = shard.remarks
            on_unit(len(lines), len(units))

        if units:
            run_units(FLEET, _OpenJob(open_units), units, on_done, never, unheard)
        return [line for unit in sorted(lines) for line in lines[unit]]

    return do_units
