"""Refuses to seal a release in which identities have too few images (plan.on_shortfall=fail)."""

from __future__ import annotations

from factory.errors import PlanError
from factory.records import Manifest
from factory.shards.plan_files import open_roster
from factory.shards.reader import metadata_rows
from factory.shots.plan import Plan, members
from factory.shots.shortfall import too_few
from factory.store import Store


def refuse_shortfall(store: Store, plan: Plan, manifest: Manifest) -> None:
    """Raise PlanError where an identity has fewer images than plan.min_images.

    Only units that lack images are looked at, one after the other.
    """
    settings = plan.request.plan
    if settings.on_shortfall != "fail" or plan.derived is not None:
        return
    found, roster = [], open_roster(store, plan)
    for shard in manifest.shards:
        if shard.counts.shortfall:
            kept = [(row["identity"], row["image"]) for row in metadata_rows(store, shard.unit)]
            people = members(plan.unit(shard.unit), roster)
            found += [one.index for one in too_few(plan.request, people, kept)]
    if found:
        raise PlanError(
            f"plan.on_shortfall: {len(found)} of {len(roster.identities)} identities have fewer "
            f"than plan.min_images={settings.min_images} images, first "
            f"{found[0]:0{roster.key_digits}d}; loosen the filters, raise plan.max_rounds, or use "
            "drop or replace, and release under another version"
        )
