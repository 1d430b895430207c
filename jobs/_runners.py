"""What makes the units of a plan, and where its driver plans: this process, or Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING

from factory.config import Config

if TYPE_CHECKING:
    from factory.execution.inline import RunUnits
    from factory.execution.on_device import OnDevice


def runner_of(config: Config) -> RunUnits:
    """The runner that fleet.runner names."""
    if config.fleet.runner == "inline":
        from factory.execution.inline import run_units

        return run_units
    from cluster.fleet import run_units as run_on_actors

    return run_on_actors


def on_device_of(config: Config) -> OnDevice:
    """Where a driver computes what needs a device: where the runner's makers are."""
    if config.fleet.runner == "inline":
        from factory.execution.on_device import in_this_process

        return in_this_process
    from cluster.planning import on_device_of as on_a_worker

    return on_a_worker(config)
