"""What makes the units of a plan, and where its driver plans: this process, or Ray."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from factory.config import Config
from jobs._arguments import flag

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


FLEET = flag("--fleet", "read and write units on the actors of a Ray cluster (RAY_ADDRESS)")
"""Option of jobs that do something with every unit of a sealed release."""


def on_fleet(release: str, store: list[str], fleet: bool) -> dict[str, Any]:
    """What such a job hands on with --fleet: who does units, and the release's address."""
    if not fleet:
        return {}
    from cluster.fleet import run_units
    from factory.config.addresses import in_bucket
    from factory.config.loading import store_settings
    from factory.execution.unit_jobs import units_on

    url = release if in_bucket(release) else str(Path(release).absolute())
    return {"do_units": units_on(run_units), "address": store_settings(url, store)}
