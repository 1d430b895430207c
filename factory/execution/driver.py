"""The units of a plan that have no commit record yet, made by any runner: releases and LoRAs."""

from __future__ import annotations

from collections.abc import Callable

from factory.config import Config
from factory.errors import Interrupted
from factory.execution.driver_lease import DriverLease
from factory.execution.event_log import EventLog
from factory.execution.fleet_state import FleetState
from factory.execution.inline import OpenMaker, RunUnits
from factory.execution.progress_bar import ProgressBar
from factory.execution.shutdown import shutdown_on_sigterm
from factory.records import BadNode, Progress, Shard
from factory.shards import manifest
from factory.shots.plan import UnitPlan
from factory.store import Store


def make_missing(
    config: Config,
    plan: UnitPlan,
    store: Store,
    open_maker: OpenMaker,
    run_units: RunUnits,
    log: Callable[[str], None],
    lease: DriverLease,
) -> None:
    """Make the missing units of a plan, with progress and draining; `store` is the plan's.

    Raises FactoryError where the release was paused, has cost its limit, or is another driver's.
    """
    done = manifest.committed_units(store)
    missing = [unit.index for unit in plan.units if unit.index not in done]
    if done:
        log(_progress(plan, len(done)).line("resuming"))
    if missing:
        named: list[BadNode] = []
        allowed, events = config.release.max_failed_fraction, EventLog(config.fleet.events)
        with ProgressBar(plan, missing, allowed) as progress, shutdown_on_sigterm(log) as sigterm:
            news = [_progress(plan, len(done) + 1).line("progress")]

            def on_done(shard: Shard) -> None:
                events.committed(shard)
                if news:  # of the first commit alone; the bar tells of the others
                    log(news.pop())
                progress.shard_done(shard)

            def draining() -> bool:
                return sigterm() or lease.must_stop()

            def on_state(state: FleetState) -> None:
                for bad in state.bad_nodes[len(named) :]:
                    named.append(bad)
                    log(f"{bad}; it gets no more actors")
                lease.heard(state)

            run_units(config.fleet, open_maker, missing, on_done, draining, on_state)
            interrupted = sigterm()
        for bad in named:
            log(f"to be looked at: {bad}")
        lease.refuse_if_stopped()
        left = len(plan.units) - len(manifest.committed_units(store))
        if interrupted and left:
            raise Interrupted(
                f"SIGTERM: {left} of {len(plan.units)} units are not made; the same command goes on"
            )


def _progress(plan: UnitPlan, num_committed: int) -> Progress:
    return Progress(num_committed, len(plan.units), "units are committed")
