"""From a checked config to the plan in the store: refuse another one, or write it down."""

from __future__ import annotations

import hashlib

from factory.config import Config
from factory.errors import Conflict, PlanError
from factory.identities.gallery_files import OpenGalleries, open_here
from factory.planning.preflight import Inputs
from factory.shards import layout
from factory.shards.manifest import read_plan
from factory.shots.plan import Plan, cut_units, first_difference
from factory.store import Store, open_store
from factory.training.distributed import kept_threads


def describe(config: Config, inputs: Inputs) -> str:
    """What a plan of this config holds, in words."""
    if config.release.method == "edit":
        return (
            f"{config.editing.edits_per_image} edits (editing.method={config.editing.method}) of "
            f"each of {len(inputs.source)} images of {len(inputs.source.names)} people"
        )
    virtual, each = config.identities.num_virtual, config.plan.images_per_identity
    real = f", real people filled up to {config.plan.fill_to}" if config.plan.fill_to else ""
    limit = f"max cosine {inputs.request.max_cosine:.3f}"
    return f"{virtual} virtual identities x {each} images ({limit}){real}"


def refuse_other_plan(existing: Plan, inputs: Inputs, store: Store) -> None:
    """Raise PlanError when the version was begun with another request."""
    difference = first_difference(inputs.request.to_dict(), existing.request.to_dict())
    if difference:
        raise PlanError(
            f"release.version: {store.url} was begun with another plan ({difference}); "
            "choose another version, or the settings it was begun with"
        )


def write_plan(
    config: Config, inputs: Inputs, store: Store, open_galleries: OpenGalleries = open_here
) -> Plan:
    """Decide who exists and what is made, and write it before anything is drawn.

    The plan comes last: a roster without one is what a dead driver left, and the same config
    writes the same roster again.
    """
    from factory.identities.roster import build_roster, open_recognizer
    from factory.shards.plan_files import earlier_plans, earlier_vectors, numbers_after
    from factory.synthesis.tuning import tuned_micro_batch

    dataset = open_store(config.store).below(config.release.dataset)
    first_identity, first_unit = numbers_after(earlier_plans(dataset, config.identities.extends))
    with kept_threads():
        roster = build_roster(
            config,
            open_recognizer(config),
            inputs.source,
            inputs.request.max_cosine,
            further=open_galleries(config),
            unit_earlier_ED=earlier_vectors(dataset, config.identities.extends),
            first_identity=first_identity,
        )
    request = inputs.request
    if request.plan.micro_batch is None:
        request = request.with_micro_batch(tuned_micro_batch(config))
    contents = {layout.ROSTER: roster.parquet(), layout.EMBEDDINGS: roster.embeddings()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    units = cut_units(roster.identities, config.plan.identities_per_unit, first_unit)
    plan = Plan(request, digests, units)
    try:
        for name, content in contents.items():
            store.put_once(name, content)
    except Conflict as error:
        raise _begun_otherwise(error) from None
    try:
        store.put_once(layout.PLAN, plan.to_json())
    except Conflict as error:
        existing = read_plan(store)
        if existing and plan.is_tuned_otherwise(existing) and config.plan.micro_batch is None:
            return existing  # another driver tried out at the same moment
        raise _begun_otherwise(error) from None
    return plan


def _begun_otherwise(error: Conflict) -> PlanError:
    return PlanError(
        f"release.version: {error}; it was begun with other settings, choose another version or "
        "remove its folder"
    )
