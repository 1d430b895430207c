"""What a release would take: units, shots, bytes, hours, cost; nothing is written."""

from __future__ import annotations

import json
from dataclasses import dataclass

from factory.config import Config
from factory.evaluation.metrics.json_form import from_json
from factory.evaluation.metrics.release import Throughput
from factory.planning.batches import describe_batches
from factory.planning.budget import minutes
from factory.planning.cluster_simulation import Forecast, Work, simulate
from factory.planning.preflight import Inputs
from factory.records import Counts
from factory.shards import layout
from factory.shards.manifest import read_metrics, read_plan
from factory.shots.plan import Plan
from factory.store import Store


@dataclass(frozen=True)
class Rates:
    """The rates that an estimate rests on; None where a rate is unknown."""

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
    """Size, hours and cost of a release, from its plan or else from the config.

    Rates are those of estimate.*, else of the dataset's last release in the same store.
    """
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


def on_a_cluster(result: Estimate, config: Config) -> Forecast | None:
    """The release simulated on the cluster of config.estimate; None without nodes or rates."""
    rates, settings = result.rates, config.estimate
    if not (settings.num_nodes and rates.faces_per_s and result.shots_with_topups and result.units):
        return None
    work = Work(
        result.units,
        result.shots_with_topups / result.units / rates.faces_per_s,
        (result.num_bytes or 0.0) / result.units,
    )
    gpus = config.fleet.gpus_per_actor or 1.0
    return simulate(settings, max(1, int(settings.gpus_per_node / gpus)), work)


def describe_forecast(forecast: Forecast, config: Config) -> list[str]:
    """The forecast of a cluster as lines for a person."""
    price = config.estimate.node_hour
    cost = (
        "unknown; set estimate.node_hour" if price is None else f"{forecast.node_hours * price:.2f}"
    )
    return [
        f"cluster      {config.estimate.num_nodes} nodes x {config.estimate.gpus_per_node} GPUs: "
        f"{forecast.hours:.3g} hours, {forecast.node_hours:.3g} node-hours",
        f"             actors idle {forecast.idle_fraction:.1%}, "
        f"driver busy {forecast.driver_fraction:.1%}, "
        f"{forecast.preemptions} preemptions, {forecast.lost_fraction:.2%} drawn for nothing",
        f"             cost of nodes {cost}",
    ]


def describe_estimate(result: Estimate, config: Config) -> list[str]:
    """The estimate as lines for a person."""
    workers = config.fleet.num_workers or 1
    shots = f"{'at most ' * result.at_most}{result.shots} in {result.units} shards"
    if result.shots_with_topups:
        shots += f", about {result.shots_with_topups:.0f} drawn with top-ups"
    rates = f"rates        {result.rates.origin}"
    if result.rates.faces_per_s:
        rates += f": {result.rates.faces_per_s:.2f} shots/s an actor"
    time, cost = "unknown; set estimate.faces_per_s and estimate.kept_fraction", "unknown"
    if result.actor_hours is not None:
        seconds = result.actor_hours * 3600
        time = f"{minutes(seconds)} of an actor, {minutes(seconds / workers)} with "
        time += f"{workers} (fleet.num_workers)"
    if result.cost is not None:
        cost = f"{result.cost:.2f} to make"
    if result.cost_per_month is not None:
        cost += f", {result.cost_per_month:.2f} a month to keep"
    if result.cost is None and result.cost_per_month is None:
        cost += "; set estimate.actor_hour and estimate.gb_month"
    size = (
        f"{result.num_bytes / 1e6:.1f} MB"
        if result.num_bytes
        else "unknown; set estimate.face_bytes"
    )
    return [
        f"shots        {shots}",
        f"bytes        {size}",
        rates,
        f"time         {time}",
        f"cost         {cost}",
        *_batches(result, config),
    ]


def _batches(result: Estimate, config: Config) -> list[str]:
    """How full batches are, where the fraction that is kept is known."""
    kept = result.rates.kept_fraction
    if not kept or not result.units or config.plan.micro_batch is None:
        return []
    on_gpu = config.compute.device != "cpu"
    return describe_batches(result.shots // result.units, config.plan, kept, on_gpu=on_gpu)


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
    """The configured rates; those that are None as measured, if anything was."""
    settings, measured = config.estimate, _measured(dataset)
    configured = Rates(
        settings.faces_per_s,
        settings.kept_fraction,
        settings.face_bytes,
        "as configured in estimate",
    )
    if None not in (configured.faces_per_s, configured.kept_fraction, configured.face_bytes):
        return configured
    return Rates(
        _first(configured.faces_per_s, measured.faces_per_s),
        _first(configured.kept_fraction, measured.kept_fraction),
        _first(configured.face_bytes, measured.face_bytes),
        measured.origin,
    )


def _first(configured: float | None, measured: float | None) -> float | None:
    return measured if configured is None else configured


def _measured(dataset: Store) -> Rates:
    """Rates of the release that latest.json points at."""
    if not dataset.exists("latest.json"):
        return Rates(None, None, None, "no earlier release of this dataset to take rates from")
    version = json.loads(dataset.get("latest.json"))["version"]
    release = dataset.below(f"releases/{version}")
    speed = from_json(Throughput, read_metrics(release, "throughput") or {})
    body = json.loads(release.get(layout.MANIFEST))
    counts = Counts(**body["counts"])
    num_bytes = sum(file["size"] for shard in body["shards"] for file in shard["files"])
    return Rates(
        faces_per_s=speed.faces_per_s / max(speed.mean_makers_at_work, 1e-9),
        kept_fraction=counts.kept_fraction,
        face_bytes=num_bytes / max(counts.kept, 1),
        origin=f"as measured in release {version}",
    )
