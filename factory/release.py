"""The story of a release: preflight, plan, synthesize, seal, evaluate, report, publish.

Running it again is resuming it: every step looks at what is in the store and does what is missing.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from factory.config import Config
from factory.errors import PlanError
from factory.identities.plan import Plan, cut_units, first_difference
from factory.preflight import Inputs, preflight
from factory.records import Manifest
from factory.shards import layout, manifest
from factory.store import Store, open_store
from factory.synthesis.inline import RunUnits
from factory.synthesis.progress import Progress

Say = Callable[[str], None]


@dataclass(frozen=True)
class Release:
    """A sealed release: its store, plan and manifest."""

    store: Store
    plan: Plan
    manifest: Manifest


def build(config: Config, run_units: RunUnits, *, dry_run: bool = False, say: Say = print) -> None:
    """Make the release a config describes; raises FactoryError and leaves what is done intact."""
    prefix = layout.prefix(config.release.dataset, config.release.version)
    store = open_store(config.store.url).below(prefix)
    inputs = preflight(config)
    standing = manifest.plan_of(store)
    if standing is not None:
        refuse_other_plan(standing, inputs, store)
    if store.exists(layout.SUCCESS):
        say(f"{store.url} is sealed already; nothing to do")
        return
    if dry_run:
        say(f"checked; {describe(config, inputs)} would be made in {store.url}")
        return
    plan = standing or write_plan(config, inputs, store, say)
    synthesize(config, plan, prefix, store, run_units, say)
    release = Release(store, plan, manifest.seal(store, plan, config.release.max_failed_fraction))
    say("sealed; measuring")
    metrics = evaluate_and_report(config, inputs, release)
    publish(config, release)
    summarize(release, metrics, say)


def describe(config: Config, inputs: Inputs) -> str:
    """What a plan of this config holds, in words."""
    virtual, each = config.identities.num_virtual, config.plan.images_per_identity
    real = f", real people filled up to {config.plan.fill_to}" if config.plan.fill_to else ""
    return f"{virtual} virtual identities x {each} images (gate {inputs.max_cosine:.3f}){real}"


def refuse_other_plan(standing: Plan, inputs: Inputs, store: Store) -> None:
    """Raise PlanError when the version was begun with another request."""
    difference = first_difference(inputs.request, standing.request)
    if difference:
        raise PlanError(
            f"release.version: {store.url} was begun with another plan ({difference}); "
            "choose another version, or the settings it was begun with"
        )


def write_plan(config: Config, inputs: Inputs, store: Store, say: Say) -> Plan:
    """Decide who exists and what is made, and write it down before anything is drawn."""
    from factory.identities.roster import build_roster, open_recognizer

    roster = build_roster(config, open_recognizer(config), inputs.source, inputs.max_cosine)
    contents = {layout.ROSTER: roster.parquet(), layout.EMBEDDINGS: roster.embeddings()}
    digests = {name: manifest.sha256_of(content) for name, content in contents.items()}
    units = cut_units(roster.identities, config.plan.identities_per_unit)
    plan = Plan(inputs.request, digests, units)
    for name, content in contents.items():
        store.put_once(name, content)
    store.put_once(layout.PLAN, plan.to_json())
    say(f"planned {len(roster.identities)} identities, {plan.num_shots} shots, {len(units)} shards")
    return plan


def synthesize(
    config: Config, plan: Plan, prefix: str, store: Store, run_units: RunUnits, say: Say
) -> None:
    """Make every unit that has no commit record yet."""
    from factory.synthesis.maker import ShardMaker

    done = manifest.committed_units(store)
    missing = [unit.index for unit in plan.units if unit.index not in done]
    if done:
        say(f"resuming: {len(done)} of {len(plan.units)} shards are committed")
    if missing:
        with Progress(plan, missing, config.release.max_failed_fraction) as progress:
            open_maker = functools.partial(ShardMaker.open, config, prefix)
            run_units(config.fleet, open_maker, missing, progress.shard_done)


def evaluate_and_report(config: Config, inputs: Inputs, release: Release) -> dict[str, Any]:
    """Measure the sealed release, write metrics/, report/ and the card."""
    from factory.evaluation import measure
    from factory.report.page import render_card, render_page

    metrics, faces = measure(config, inputs.source, release.store, release.plan, release.manifest)
    store, title = release.store, config.release.title
    for name, content in metrics.items():
        store.put(f"metrics/{name}.json", (json.dumps(content, indent=1) + "\n").encode())
    store.put(layout.REPORT, render_page(title, release.plan, release.manifest, metrics, faces))
    store.put(layout.CARD, render_card(title, release.plan, release.manifest, "other"))
    manifest.seal_extras(store)
    return metrics


def publish(config: Config, release: Release) -> None:
    """Mark the release as done, then point latest.json at it."""
    release.store.put_once(layout.SUCCESS, b"")
    manifest.point_latest(open_store(config.store.url).below(config.release.dataset), release.plan)


def summarize(release: Release, metrics: dict[str, Any], say: Say) -> None:
    """What a person wants to know at the end."""
    counts = release.manifest.counts
    say(f"release      {release.store.url}")
    say(
        f"kept         {counts.kept} of {counts.shots} shots ({counts.kept_share:.1%}); "
        f"{counts.shortfall} of {counts.planned} planned faces are missing"
    )
    say(f"speed        {metrics['throughput']['faces_per_s']} faces/s")
    say(f"report       {release.store.url}/{layout.REPORT}")
