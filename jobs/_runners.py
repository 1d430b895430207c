"""What makes the units of a plan: this process, or Ray actors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factory.config import Config

if TYPE_CHECKING:
    from factory.execution.inline import RunUnits


def runner_of(config: Config) -> RunUnits:
    """The runner that fleet.runner names."""
    if config.fleet.runner == "inline":
        from factory.execution.inline import run_units

        return run_units
    from cluster.fleet import run_units as run_on_actors

    return run_on_actors
