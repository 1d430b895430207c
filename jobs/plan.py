"""Estimate what a release would take: units, shots, bytes, hours and cost.

    python -m jobs.plan configs/demo.yaml estimate.actor_hour=0.05 estimate.gb_month=0.023
    python -m jobs.plan configs/demo.yaml estimate.num_nodes=64 estimate.gpus_per_node=8

Nothing is written. With --dry-run it stops after the checks, before anything is estimated.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import RELEASE


def plan(config: Config, dry_run: bool) -> None:
    from factory.planning.estimate import (
        describe_estimate,
        describe_forecast,
        estimate,
        on_a_cluster,
    )
    from factory.planning.plan_writer import describe, refuse_other_plan
    from factory.planning.preflight import preflight
    from factory.shards import layout, manifest
    from factory.store import open_store

    dataset = open_store(config.store).below(config.release.dataset)
    store = open_store(config.store).below(
        layout.release_prefix(config.release.dataset, config.release.version)
    )
    inputs = preflight(config)
    existing = manifest.read_plan(store)
    if existing:
        refuse_other_plan(existing, inputs, store)
    print(f"release      {store.url} ({'started' if existing else 'not started'})")
    print(f"identities   {describe(config, inputs)}")
    if dry_run:
        return
    needs = estimate(config, inputs, dataset)
    print("\n".join(describe_estimate(needs, config)))
    forecast = on_a_cluster(needs, config)
    if forecast:
        print("\n".join(describe_forecast(forecast, config)))


JOB = Job(__doc__, plan, reads=RELEASE)

if __name__ == "__main__":
    JOB.main()
