"""What a release would take: units, shots, bytes, hours, cost; nothing is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from factory.config import Config
from factory.planning.cluster_simulation import Forecast, Work, simulate
from factory.planning.preflight import Inputs
from factory.shards import layout
from factory.shards.manifest import read_plan
from factory.shots.plan import Plan
from factory.store import Store


@dataclass(frozen=True)
class Rates:
    """What the reckoning rests on; None where nobody knows."""

    faces_per_s: float | None
    kept_fraction: float | None
    face_bytes: float | None
    origin: str


@dataclass(frozen=True)
class Estimate:
    """A release in numbers. `at_most`: real people's images are not counted yet."""

    units: int
    shots: int
    at_most: bool
    rates: Rates
    shots_with_topups: float | None
    num_bytes: float | None
    actor_hours: float | None
    cost: float | None
    cost_per_month: float | None


def estimate(config: Config, inputs: Inputs, dataset: Store) -> Estimate:
    """Reckon from the standing plan, or from the config; rates from prices.*, else from the
    dataset's last release in the same store."""
    plan = read_plan(dataset.below(f"releases/{config.release.version}"))
    units, shots = _size(config, inputs, plan)
    rates, settings = _rates(config, dataset), config.estimate
    made = shots / rates.kept_fraction if rates.kept_fraction else None
    if made is not None:
        made = min(made, float(shots * config.plan.max_rounds))
    num_bytes = shots * rates.face_bytes if rates.face_bytes else None
    hours = made / rates.faces_per_s / 3600 if made and rates.faces_per_s else None
    priced = settings.actor_hour is not None and hours is not None
    stored = settings.gb_month is not None and num_bytes is not None
    return Estimate(
        units=units,
        shots=shots,
        at_most=plan is None and config.plan.fill_to > 0,
        rates=rates,
        shots_with_topups=made,
        num_bytes=num_bytes,
        actor_hours=hours,
        cost=hours * settings.actor_hour if priced else None,  # type: ignore[operator]
        cost_per_month=num_bytes / 1e9 * settings.gb_month if stored else None,  # type: ignore[operator]
    )


def on_a_cluster(found: Estimate, config: Config) -> Forecast | None:
    """The release on config.estimate, by the model of capacity.py; None without nodes or rates."""
    rates, settings = found.rates, config.estimate
    if not (settings.num_nodes and rates.faces_per_s and found.shots_with_topups and found.units):
        return None
    work = Work(
        found.units,
        found.shots_with_topups / found.units / rates.faces_per_s,
        (found.num_bytes or 0.0) / found.units,
    )
    share = config.fleet.gpus_per_actor or 1.0
    return simulate(settings, max(1, int(settings.gpus_per_node / share)), work)


def describe_forecast(seen: Forecast, config: Config) -> list[str]:
    """Lines for a person."""
    price = config.estimate.node_hour
    cost = "unknown; set estimate.node_hour" if price is None else f"{seen.node_hours * price:.2f}"
    return [
        f"cluster      {config.estimate.num_nodes} nodes x {config.estimate.gpus_per_node} GPUs: "
        f"{seen.hours:.3g} hours, {seen.node_hours:.3g} node-hours",
        f"             actors idle {seen.idle_fraction:.1%}, driver busy {seen.driver_fraction:.1%}, "
        f"{seen.preemptions} preemptions, {seen.lost_fraction:.2%} drawn for nothing",
        f"             cost of nodes {cost}",
    ]


def describe_estimate(found: Estimate, config: Config) -> list[str]:
    """Lines for a person."""
    workers = config.fleet.num_workers or 1
    shots = f"{'at most ' * found.at_most}{found.shots} in {found.units} shards"
    if found.shots_with_topups:
        shots += f", about {found.shots_with_topups:.0f} drawn with top-ups"
    rates = f"rates        {found.rates.origin}"
    if found.rates.faces_per_s:
        rates += f": {found.rates.faces_per_s:.2f} shots/s an actor"
    hours, cost = "unknown; set estimate.faces_per_s and estimate.kept_fraction", "unknown"
    if found.actor_hours is not None:
        hours = f"{found.actor_hours:.3g} of an actor, {found.actor_hours / workers:.3g} with "
        hours += f"{workers} (fleet.num_workers)"
    if found.cost is not None:
        cost = f"{found.cost:.2f} to make"
    if found.cost_per_month is not None:
        cost += f", {found.cost_per_month:.2f} a month to keep"
    if found.cost is None and found.cost_per_month is None:
        cost += "; set estimate.actor_hour and estimate.gb_month"
    size = (
        f"{found.num_bytes / 1e6:.1f} MB" if found.num_bytes else "unknown; set estimate.face_bytes"
    )
    return [
        f"shots        {shots}",
        f"bytes        {size}",
        rates,
        f"hours        {hours}",
        f"cost         {cost}",
    ]


def _size(config: Config, inputs: Inputs, plan: Plan | None) -> tuple[int, int]:
    if plan:
        return len(plan.units), plan.num_shots
    real = len(inputs.source.names) if config.plan.fill_to else 0
    people = config.identities.num_virtual + real
    if config.release.method == "edit":
        people, images = (
            len(inputs.source.names),
            config.editing.edits_per_image * len(inputs.source),
        )
        return -(-people // config.plan.identities_per_unit), images
    shots = config.identities.num_virtual * config.plan.images_per_identity
    return -(-people // config.plan.identities_per_unit), shots + real * config.plan.fill_to


def _rates(config: Config, dataset: Store) -> Rates:
    settings = config.estimate
    asked: dict[str, Any] = {
        "faces_per_s": settings.faces_per_s,
        "kept_fraction": settings.kept_fraction,
        "face_bytes": settings.face_bytes,
    }
    measured, origin = _measured(dataset)
    known = {name: measured.get(name) if value is None else value for name, value in asked.items()}
    missing = [name for name, value in asked.items() if value is None]
    return Rates(**known, origin=origin if missing else "as configured in estimate")


def _measured(dataset: Store) -> tuple[dict[str, float], str]:
    """Rates of the release that latest.json points at."""
    if not dataset.exists("latest.json"):
        return {}, "no release of this dataset to measure by"
    version = json.loads(dataset.get("latest.json"))["version"]
    release = dataset.below(f"releases/{version}")
    speed = json.loads(release.get("metrics/throughput.json"))
    body = json.loads(release.get(layout.MANIFEST))
    counts = body["counts"]
    size = sum(file["size"] for shard in body["shards"] for file in shard["files"])
    shots = counts["planned"] + counts["topups"]
    return {
        "faces_per_s": speed["faces_per_s"] / max(speed["mean_makers_at_work"], 1e-9),
        "kept_fraction": counts["kept"] / max(shots, 1),
        "face_bytes": size / max(counts["kept"], 1),
    }, f"as measured in release {version}"
