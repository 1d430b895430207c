"""Work on the units of a sealed release that writes nothing into it: who does it is handed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

OneUnit = Callable[[int], list[str]]
"""Does something with a unit; lines that whoever asked for it should read."""
OpenUnits = Callable[[], OneUnit]
"""Makes one where it will work; must be picklable where that is another process."""
OnUnit = Callable[[int, int], None]
"""Hears (units done, units in all)."""
DoUnits = Callable[[OpenUnits, Sequence[int], OnUnit], list[str]]
"""Does all units, in any order; their lines in the order of units."""


def one_by_one(open_units: OpenUnits, units: Sequence[int], on_unit: OnUnit) -> list[str]:
    """In this process, in their order."""
    one_unit, lines = open_units(), []
    for done, unit in enumerate(units, start=1):
        lines += one_unit(unit)
        on_unit(done, len(units))
    return lines


def unheard(done: int, total: int) -> None:
    """For work whose progress nobody wants to know."""
