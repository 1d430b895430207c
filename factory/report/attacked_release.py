"""The sealed release whose generator was attacked: what it lends to the attack, and gets of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.config import Config
from factory.errors import IntegrityError
from factory.evaluation.metrics.attack import Attack
from factory.evaluation.metrics.json_form import from_json, to_json
from factory.evaluation.metrics.release import Metrics
from factory.report.page import render_card
from factory.shards import layout, manifest
from factory.shards.plan_files import open_roster
from factory.shots.plan import Plan
from factory.store import Store


@dataclass(frozen=True)
class AttackedRelease:
    """A sealed release that was drawn by the generator of a config."""

    store: Store
    plan: Plan
    virtual_VD: np.ndarray
    """Unit vectors of its virtual people, no more than attack.num_free_draws."""


def attacked_release(config: Config, generator: str) -> AttackedRelease | None:
    """The release that a config names, where it is sealed; `generator` is the sha256 attacked.

    Raises IntegrityError where another generator drew it, or its metrics cannot be read.
    """
    store = layout.release_store(config)
    plan = manifest.read_plan(store)
    if plan is None or not store.exists(layout.SUMS):
        return None
    drew = plan.request.weights.get("generator", "none")
    if drew != generator:
        raise IntegrityError(
            f"generator.checkpoint: has sha256 {generator[:12]}, {store.url} was drawn by "
            f"{drew[:12]}; attack that one, or name another release.version"
        )
    _metrics(store)
    roster = open_roster(store, plan)
    rows = np.flatnonzero(roster.virtual_N)[: config.attack.num_free_draws]
    return AttackedRelease(store, plan, np.asarray(roster.unit_ND[rows]))


def add_attack(config: Config, release: AttackedRelease, found: Attack) -> None:
    """Write metrics/attack.json of a sealed release, and its card anew where it has been measured.

    report/index.html shows faces, which jobs.evaluate reads.
    """
    store, plan = release.store, release.plan
    manifest.put_metrics(store, {layout.ATTACK: to_json(found)})
    if metrics := _metrics(store):
        sealed = manifest.sealed_manifest(store, plan)
        store.put(layout.CARD, render_card(config.release, plan, sealed, metrics))
    manifest.seal_extras(store)


def _metrics(store: Store) -> Metrics | None:
    """All metrics; None where nothing was measured, as of successors of withdrawn versions.

    Raises IntegrityError for metrics that lack something.
    """
    if not store.exists(layout.metrics_name("counts")):
        return None
    folder = "metrics/"
    stems = [name.removeprefix(folder).removesuffix(".json") for name in store.list(folder)]
    return from_json(Metrics, {stem: manifest.read_metrics(store, stem) for stem in stems})
