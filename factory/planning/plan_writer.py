"""From a checked config to the plan in the store: refuse another one, or write it down."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from factory.config import Config, absolute
from factory.errors import Conflict, PlanError
from factory.execution.on_device import OnDevice, in_this_process
from factory.identities.gallery_files import OpenGalleries, open_here
from factory.identities.roster import Roster
from factory.planning.gate_limit import describe_capacity
from factory.planning.preflight import Inputs
from factory.planning.sparing import restore
from factory.provenance.naming import release_naming
from factory.shards import layout
from factory.shards.lineage import put_lineage, refuse_other_lineage
from factory.shards.manifest import read_plan
from factory.shots.plan import Plan, asked_otherwise, cut_units
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
    limit = f"max cosine {inputs.request.max_cosine:.3f}{describe_capacity(inputs.capacity)}"
    return (
        f"{virtual} virtual identities x {each} images ({limit}){real}{describe_shortfall(config)}"
    )


def describe_shortfall(config: Config) -> str:
    """What becomes of identities with too few images; empty where they stay."""
    plan = config.plan
    if plan.on_shortfall == "keep":
        return ""
    reserves = plan.num_admitted(config.identities.num_virtual) - config.identities.num_virtual
    what = {
        "drop": "are dropped",
        "replace": f"are replaced by {reserves} reserves ({plan.num_reserves} a unit)",
        "fail": "stop the release",
    }[plan.on_shortfall]
    return f"; identities with fewer than {plan.min_images} images {what}"


def refuse_other_plan(existing: Plan, inputs: Inputs, store: Store) -> None:
    """Raise PlanError when the version was begun with another request.

    Also for another lineage, unless it is published: then no run can change it any more.
    """
    difference = asked_otherwise(inputs.request, existing.request)
    if difference:
        raise PlanError(
            f"release.version: {store.url} was begun with another plan ({difference}); "
            "choose another version, or the settings it was begun with"
        )
    if not store.exists(layout.SUCCESS):
        refuse_other_lineage(store, inputs.lineage)


def write_plan(
    config: Config,
    inputs: Inputs,
    store: Store,
    open_galleries: OpenGalleries = open_here,
    on_device: OnDevice = in_this_process,
) -> Plan:
    """Decide who exists and what is made, and write it before anything is drawn.

    Who exists is decided in this process, on its CPU where it has no GPU; what only a device can
    tell is computed by `on_device`. The plan comes last: a roster without one is what a dead driver
    left, and the same config writes the same roster again.
    """
    from factory.planning.device_part import complete
    from factory.shards.private_files import write_private

    plan, roster, contents = decide(config, inputs, open_galleries)
    put_lineage(store, inputs.lineage)
    try:
        for name, content in contents.items():
            store.put_once(name, content)
        write_private(store, roster)
        inputs.sparing.write(store)
        prefix = layout.release_prefix(config.release.dataset, config.release.version)
        plan = on_device(complete, absolute(config), prefix, plan)
        store.put_once(layout.PLAN, plan.to_json())
    except Conflict as error:
        return _of_another_driver(inputs, store, error)
    return plan


def decide(
    config: Config, inputs: Inputs, open_galleries: OpenGalleries = open_here
) -> tuple[Plan, Roster, dict[str, bytes]]:
    """Who exists and what is made of them, and the files of the roster; nothing is written.

    The plan lacks the part that only a device can tell (device_part.py).
    """
    from factory.identities.rendered_people import build_rendered_roster
    from factory.identities.roster_building import build_roster, open_recognizer
    from factory.shards.plan_files import earlier_plans, earlier_vectors, numbers_after
    from factory.synthesis.lora_loading import lora_units

    dataset = open_store(config.store).below(config.release.dataset)
    first_identity, first_unit = numbers_after(earlier_plans(dataset, config.identities.extends))
    if config.release.method == "render":
        roster = build_rendered_roster(config, inputs.request.max_cosine)
        return _planned(config, inputs, roster, first_unit)
    with kept_threads():
        roster = build_roster(
            config,
            open_recognizer(config),
            inputs.source,
            inputs.request.max_cosine,
            further=open_galleries(config),
            unit_earlier_ED=earlier_vectors(dataset, config.identities.extends),
            first_identity=first_identity,
            naming=release_naming(config),
            loras=lora_units(config, inputs.source) if config.release.method == "lora" else None,
        )
    return _planned(config, inputs, roster, first_unit)


def _planned(
    config: Config, inputs: Inputs, roster: Roster, first_unit: int
) -> tuple[Plan, Roster, dict[str, bytes]]:
    """The plan of a roster, and the roster's files."""
    from factory.shards.private_files import private_digests

    contents = {layout.ROSTER: roster.parquet(), layout.EMBEDDINGS: roster.embeddings()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    units = cut_units(roster.identities, config.plan.unit_size, first_unit)
    plan = Plan(inputs.request, digests, units, private=private_digests(roster))
    return plan, roster, contents


def going_on(config: Config, inputs: Inputs, store: Store, existing: Plan | None) -> Plan | None:
    """The plan that is there, for its makers to go on with; None where none is.

    They have no key of pseudonyms, so what is private of its real people is made anew here where it
    is gone. Raises IntegrityError where this machine does not make the same of it.
    """
    from factory.shards.plan_files import open_public_roster
    from factory.shards.private_files import make_again, put_again, read_private
    from factory.synthesis.lora_loading import lora_units

    if existing is not None:
        restore(config, store, existing, inputs.source)
    if existing is None or existing.private is None or read_private(store, existing) is not None:
        return existing
    private = make_again(config, existing, open_public_roster(store, existing), inputs.source)
    if config.release.method == "lora":
        units, names = lora_units(config, inputs.source), inputs.source.names
        private = replace(private, loras=tuple(units[names[label]] for label in private.labels))
    put_again(store, existing, private)
    return existing


def _of_another_driver(inputs: Inputs, store: Store, error: Conflict) -> Plan:
    """The plan that another driver wrote meanwhile, on another machine perhaps.

    Raises PlanError where it was asked otherwise, or is not there.
    """
    existing = read_plan(store)
    if existing and not asked_otherwise(inputs.request, existing.request):
        return existing
    raise PlanError(
        f"release.version: {error}; it was begun with other settings, choose another version or "
        "remove its folder, and that in private/"
    ) from None
