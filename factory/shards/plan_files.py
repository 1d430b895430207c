"""Plans and rosters back from a store, and in what a machine differs from them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config, as_dict
from factory.errors import IntegrityError, PlanError
from factory.identities.people import WITHDRAWN, People
from factory.identities.private_people import NOBODY
from factory.identities.roster import Roster
from factory.provenance.naming import naming_of
from factory.provenance.withdrawn import withdrawal_of
from factory.shards import layout
from factory.shards.private_files import make_again, read_private
from factory.shots.environment import CPU_FACTS, environment
from factory.shots.plan import Plan, UnitPlan, first_difference
from factory.shots.source_facts import Remaining, refuse_other_source
from factory.sources import FaceSource, open_source
from factory.store import Store
from factory.store.cache import file_here

MAPPED_BYTES = 64 << 20
"""Size from which the vectors of a roster are mapped from a file, instead of read into memory."""


def open_plan(store: Store, config: Config | None = None) -> tuple[Plan, Roster]:
    """Plan and roster of a release; raises IntegrityError for a roster that was not planned."""
    plan = Plan.from_json(store.get(layout.PLAN))
    return plan, open_roster(store, plan, config)


def open_roster(store: Store, plan: Plan, config: Config | None = None) -> Roster:
    """The roster of a plan; raises IntegrityError for one that was not planned.

    Once a release is published its real people's vectors are gone: they are made anew of the source
    and the recognizer of its `config`, and are missing without one. Raises as `make_again` does.
    """
    roster = open_public_roster(store, plan)
    if len(roster.unit_ND) == len(roster.identities):  # nobody is real, or an older factory's
        return roster
    private = read_private(store, plan)
    if private is None and config is not None:
        source = open_source(config.source)
        refuse_other_inputs(config, plan, source, roster.people)
        private = make_again(config, plan, roster, source)
    return roster if private is None else roster.with_private(private)


def open_public_roster(store: Store, plan: Plan) -> Roster:
    """The roster of a plan with the vectors that are published, none of a real person.

    These are mapped where they are many: all processes of a machine share one copy. Raises
    IntegrityError for one that was not planned.
    """
    table = _planned(store, plan, layout.ROSTER)
    if (store.size(layout.EMBEDDINGS) or 0) < MAPPED_BYTES:
        roster = Roster.read(table, _planned(store, plan, layout.EMBEDDINGS))
    else:
        sha256 = plan.roster_sha256[layout.EMBEDDINGS]
        roster = Roster.read(table, file_here(store, layout.EMBEDDINGS, sha256))
    if roster.first_identity != plan.first_identity:
        raise IntegrityError(
            f"{layout.ROSTER}: begins with identity {roster.first_identity}, the plan with "
            f"{plan.first_identity}; restore both"
        )
    return roster


def _planned(store: Store, plan: Plan, name: str) -> bytes:
    content = store.get(name)
    if hashlib.sha256(content).hexdigest() != plan.roster_sha256[name]:
        raise IntegrityError(f"{name}: is not the one the plan was made with; restore it")
    return content


def refuse_other_inputs(
    config: Config, plan: Plan, source: FaceSource, people: People | None = None
) -> None:
    """Raise IntegrityError unless source and recognizer are those that the plan was made with.

    Of a plan without a recognizer any may look at what was made.

    Of a roster with `people` who withdrew, a source that lacks them passes too. Raises ConfigError
    where the environment lacks the key of the others' pseudonyms that this needs.
    """
    remaining = remaining_in(source, plan, people) if people is not None else None
    refuse_other_source(config.source, source, plan.request.source, remaining)
    recognizer = checkpoint.read_metadata(
        config.recognizer.checkpoint, "recognizer", "recognizer.checkpoint"
    )
    planned = plan.request.weights.get("recognizer")
    if planned and recognizer["sha256"] != planned:
        raise IntegrityError(
            f"recognizer.checkpoint: has sha256 {recognizer['sha256'][:12]}, the release was "
            f"planned with {planned[:12]}; use that one"
        )


def remaining_in(source: FaceSource, plan: Plan, people: People) -> Remaining | None:
    """Who is left of a roster in a source; None where nobody withdrew or the source is unchanged.

    Raises ConfigError where the environment lacks the key of their pseudonyms.
    """
    num_withdrawn = int(people.where("kind", WITHDRAWN).sum())
    if not num_withdrawn or source.fingerprint == plan.request.source.fingerprint:
        return None
    naming = naming_of(plan.request.pseudonyms)
    label_of = {naming.of(name): label for label, name in enumerate(source.names)}
    names = [name for name in people.texts("name").to_pylist() if name]
    return Remaining(tuple(label_of.get(name, NOBODY) for name in names), num_withdrawn)


def earlier_plans(dataset: Store, version: str | None) -> list[Plan]:
    """Plans of a version and of those it extends, the newest first; none for no version.

    Raises PlanError when one is missing, not sealed, in another recognizer's space, or not the one
    that was extended.
    """
    plans: list[Plan] = []
    promised = None
    while version is not None:
        store = dataset.below(f"releases/{version}")
        if not store.exists(layout.SUCCESS):
            raise PlanError(
                f"identities.extends: {store.url} is not a sealed release; finish it first, or "
                "extend another"
            )
        plan = Plan.from_json(store.get(layout.PLAN))
        weights = plan.request.weights.get("recognizer")
        if plans and weights != plans[0].request.weights.get("recognizer"):
            raise PlanError(f"identities.extends: {store.url} has another recognizer's space")
        if promised not in (None, plan.hash):
            raise PlanError(
                f"identities.extends: {store.url} is not the release that was extended; restore it"
            )
        plans.append(plan)
        version = plan.request.identities.extends
        promised = plan.request.extends_plan_hash
    return plans


def numbers_after(plans: list[Plan]) -> tuple[int, int]:
    """(first identity, first unit) of a release that extends these: none of theirs comes again.

    (0, 0) for no plans. Not every version goes on after the one that it extends: a plan that an
    older factory wrote begins at 0, so the largest number of all of them counts.
    """
    first_identity = max((plan.next_identity for plan in plans), default=0)
    return first_identity, max((plan.next_unit for plan in plans), default=0)


def earlier_vectors(dataset: Store, version: str | None) -> np.ndarray | None:
    """Unit vectors [E, D] of the virtual people in a version and in those it extends, oldest first.

    Real people of theirs are among the recognizer's prototypes, and versions that an older factory
    made have them here too. None for no version. Of one that people withdrew from, its successor's
    count, which has the same rows without theirs. Raises PlanError as `earlier_plans` does.
    """
    earlier: list[np.ndarray] = []
    for plan in earlier_plans(dataset, version):
        store = _in_force(dataset, plan.request.release.version)
        current = Plan.from_json(store.get(layout.PLAN))
        earlier.insert(0, open_public_roster(store, current).unit_ND)
    return np.concatenate(earlier) if earlier else None


def _in_force(dataset: Store, version: str) -> Store:
    """The store of a version, or of the last successor of one that people withdrew from."""
    store = dataset.below(f"releases/{version}")
    mark = withdrawal_of(store)
    return _in_force(dataset, mark.successor) if mark and mark.successor else store


def difference_from(plan: UnitPlan, device: torch.device) -> str | None:
    """First way in which this software, or the kind of device, is not the plan's, or None.

    The CPU counts where the plan is older than canaries, which say more than its flags do.
    """
    actual: dict[str, Any] = {"environment": as_dict(environment()), "device": device.type}
    planned: dict[str, Any] = {
        "environment": as_dict(plan.request.environment),
        "device": plan.request.compute.device,
    }
    if plan.canary:
        for body in (actual, planned):
            stack = body["environment"]["stack"]
            body["environment"]["stack"] = {n: stack[n] for n in stack if n not in CPU_FACTS}
    return first_difference(actual, planned)
