"""The story of a release: preflight, plan, synthesize, seal, evaluate and audit, report, publish.

Running it again is resuming it: every step looks at what is in the store and does what is missing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from factory.config import Config, absolute
from factory.evaluation.metrics.release import Metrics
from factory.execution.driver import make_missing
from factory.execution.driver_lease import DriverLease, driving
from factory.execution.inline import RunUnits
from factory.execution.on_device import OnDevice, in_this_process
from factory.identities.gallery_files import OpenGalleries, open_here
from factory.planning.plan_writer import describe, going_on, refuse_other_plan, write_plan
from factory.planning.preflight import preflight
from factory.records import Log, Manifest
from factory.report.summary import summary
from factory.shards import layout, manifest
from factory.shards.latest import point_latest
from factory.shards.lineage import what_stays
from factory.shots.plan import Plan
from factory.sources import FaceSource
from factory.store import Store, open_store


@dataclass(frozen=True)
class Release:
    """A sealed release: its store, plan and manifest."""

    store: Store
    plan: Plan
    manifest: Manifest


def build(
    config: Config,
    run_units: RunUnits,
    *,
    open_galleries: OpenGalleries = open_here,
    on_device: OnDevice = in_this_process,
    dry_run: bool = False,
    log: Log = print,
) -> None:
    """Make the release a config describes; raises FactoryError and leaves what is done intact."""
    store = layout.release_store(config)
    inputs = preflight(config)
    existing = manifest.read_plan(store)
    if existing is not None:
        refuse_other_plan(existing, inputs, store)
    if existing and store.exists(layout.SUCCESS):
        manifest.seal_extras(store)  # a driver may have died while it measured again
        manifest.drop_what_makers_needed(store)
        log(f"{store.url} is sealed already; nothing to do{what_stays(store, inputs.lineage)}")
        return
    if dry_run:
        log("\n".join([*inputs.remarks, f"checked; {describe(config, inputs)} for {store.url}"]))
        return
    store.probe(log)
    with driving(config, store, log) as lease:
        plan = going_on(config, inputs, store, existing)
        plan = plan or write_plan(config, inputs, store, open_galleries, on_device)
        planned = f"planned {len(plan.units)} shards of {plan.num_shots} shots in {store.url}"
        log("\n".join([*inputs.remarks, planned]))
        synthesize(config, plan, store, run_units, log, lease)
        keep, allowed = config.release.keep_vectors, config.release.max_failed_fraction
        release = Release(store, plan, manifest.seal(store, plan, allowed, keep_vectors=keep))
        log("sealed; measuring")
        metrics = evaluate_and_report(config, inputs.source, release, run_units, log)
        publish(config, release, metrics, log)
    for line in summary(store.url, release.manifest.counts, metrics):
        log(line)


def synthesize(
    config: Config,
    plan: Plan,
    store: Store,
    run_units: RunUnits,
    log: Log,
    lease: DriverLease,
) -> None:
    """Make every unit that has no commit record yet."""
    from factory.synthesis.maker import ShardMaker

    prefix = layout.release_prefix(config.release.dataset, config.release.version)
    open_maker = functools.partial(ShardMaker.open, absolute(config), prefix)
    make_missing(config, plan, store, open_maker, run_units, log, lease)


def evaluate_and_report(
    config: Config, source: FaceSource, release: Release, run_units: RunUnits, log: Log
) -> Metrics:
    """Measure the sealed release, write metrics/, report/ and all that says what it is."""
    from factory.evaluation.evaluate import evaluate
    from factory.report.documents import write_documents

    store, made = release.store, (release.plan, release.manifest)
    metrics, pictures = evaluate(config, source, store, *made, run_units, log)
    manifest.put_metrics(store, metrics.files())
    write_documents(config.release, store, *made, metrics, pictures)
    manifest.seal_extras(store)
    return metrics


def publish(config: Config, release: Release, metrics: Metrics, log: Log) -> None:
    """Point latest.json at the release, then mark it as done: _SUCCESS is last of all.

    Raises LeakError or YieldError, and leaves the release sealed, as `refuse_to_publish` says.
    """
    from factory.evaluation.verdict import refuse_to_publish

    refuse_to_publish(metrics, release.manifest.counts)
    if newer := point_latest(open_store(config.store).below(config.release.dataset), release.plan):
        log(f"latest.json stays at {newer}, which is newer than {config.release.version}")
    release.store.put_once(layout.SUCCESS, b"")
    manifest.drop_what_makers_needed(release.store)
