"""Several versions of a dataset as one release that refers to their shards and copies none.

Labels, keys, units and names of files stay: the versions must follow each other as those of a chain
of identities.extends do. The union holds a roster, commit records and an index of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np

from factory.errors import PlanError
from factory.identities.people import People
from factory.identities.roster import npy_bytes
from factory.records import Manifest
from factory.shards import layout
from factory.shards.derived import (
    Member,
    begin,
    joined_lineage,
    open_member,
    publish,
    renamed,
)
from factory.shards.derived_card import short_card
from factory.shards.plan_files import earlier_plans
from factory.shards.writer import record_bytes
from factory.shots.plan import Derived, Plan
from factory.shots.request import PlanRequest
from factory.store import Store
from factory.store.parquet import table_to_parquet

UNION = "union"


def chain_of(dataset: Store, version: str) -> list[str]:
    """A version and all that it extends, the oldest first; raises as `earlier_plans` does."""
    plans = earlier_plans(dataset, version)
    return [plan.request.release.version for plan in reversed(plans)]


def write_union(dataset: Store, versions: Sequence[str], version: str) -> Manifest:
    """Write the union of sealed versions as `version`, sealed; the same call goes on.

    Raises PlanError for versions that do not follow each other in one recognizer's space, are not
    sealed or were withdrawn, or where another release was begun as `version`.
    """
    members = [open_member(dataset, name) for name in dict.fromkeys(versions)]
    members.sort(key=lambda member: member.plan.first_identity)
    check(members)
    people = People.joined([member.roster.people for member in members])
    unit_ND = np.concatenate([member.roster.published_rows() for member in members])
    files = {layout.ROSTER: table_to_parquet(people.table()), layout.EMBEDDINGS: npy_bytes(unit_ND)}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    plan = Plan(
        _request(members, version),
        digests,
        [unit for member in members for unit in member.plan.units],
        derived=Derived(UNION, tuple(member.ancestor for member in members)),
    )
    store = dataset.below(layout.release_path(version))
    begin(store, plan, joined_lineage(members) | files)
    for member in members:
        _refer(store, plan, member)
    return publish(dataset, store, plan, card=partial(short_card, store, plan))


def check(members: Sequence[Member]) -> None:
    """Raise PlanError unless versions, by first label, can be one release."""
    if len(members) < 2:
        raise PlanError("union: got one version; want at least two, or one that extends another")
    for first, second in pairwise(members):
        one, other = first.plan, second.plan
        gap = (one.next_identity, one.next_unit) != (other.first_identity, other.units[0].index)
        if gap:
            raise PlanError(
                f"union: {first.version} has {_numbers(one)}, {second.version} {_numbers(other)}; "
                "want versions whose labels and units follow each other, as those of a chain of "
                "identities.extends do"
            )
        _refuse_unlike(first, second, _alike)
    if any(member.plan.request.pairs for member in members):
        raise PlanError(
            "union: got a release with release.kind=benchmark, whose pairs are fixed; want "
            "training sets, or a larger benchmark under another version"
        )
    real = [member for member in members if member.plan.request.holds_real_people]
    for first, second in pairwise(real):
        _refuse_unlike(first, second, lambda request: {"release.pseudonyms": request.pseudonyms})


def _refuse_unlike(
    first: Member, second: Member, facts: Callable[[PlanRequest], dict[str, str | int]]
) -> None:
    mine, theirs = (facts(member.plan.request) for member in (first, second))
    for key in mine:
        if mine[key] != theirs[key]:
            raise PlanError(
                f"union: {key} is {mine[key]} in {first.version}, {theirs[key]} in "
                f"{second.version}; want versions that are alike"
            )


def _alike(request: PlanRequest) -> dict[str, str | int]:
    """What must be the same in all versions, by its key."""
    return {
        "weights.recognizer": request.weights.get("recognizer", "none"),
        "release.method": request.release.method,
        "source.image_px": request.source.image_px,
        "shards.image_format": request.shards.image_format,
    }


def _numbers(plan: Plan) -> str:
    units = f"units {plan.units[0].index} to {plan.next_unit - 1}"
    return f"labels {plan.first_identity} to {plan.next_identity - 1} in {units}"


def _request(members: Sequence[Member], version: str) -> PlanRequest:
    """That of the newest member, or of the newest with real people, for all of them.

    What a judge chose of any member it chose of the union, so the newest choice is kept.
    """
    newest = members[-1].plan.request
    real = [m.plan.request for m in members if m.plan.request.holds_real_people]
    request, oldest = (real[-1] if real else newest), members[0].plan.request
    identities = replace(
        request.identities,
        num_virtual=sum(member.plan.request.identities.num_virtual for member in members),
        extends=oldest.identities.extends,
    )
    chosen = [m.plan.request.spared for m in members if m.plan.request.spared]
    named = replace(
        request,
        identities=identities,
        extends_plan_hash=oldest.extends_plan_hash,
        spared=chosen[-1] if chosen else None,
    )
    return renamed(named, version)


def _refer(store: Store, plan: Plan, member: Member) -> None:
    """Commit the units of a version by reference; what was quarantined is listed again."""
    for shard in member.manifest.shards:
        files = [replace(file, version=file.version or member.version) for file in shard.files]
        if shard.counts.quarantined:
            name = layout.quarantine_name(shard.unit)
            store.put(name, member.store.get(name))
        record = replace(shard, plan_hash=plan.hash, files=files)
        store.put_once(layout.commit_name(shard.unit), record_bytes(record))
