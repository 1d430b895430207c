"""Releases of a few painted people, made by the real maker, of whom some shots fail as told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from factory.config import PlanConfig
from factory.identities.people import People
from factory.identities.roster import Roster
from factory.identities.roster_building import planned_shots
from factory.quality.scores import Scorer
from factory.records import DrawnBatch, Manifest, Shot
from factory.shards import layout, manifest
from factory.shards.latest import point_latest
from factory.shards.writer import Encoding
from factory.shots.plan import Plan, cut_units
from factory.store import Store
from factory.synthesis.commit_queue import CommitQueue
from factory.synthesis.maker import ShardMaker
from tests.conftest import draw_face
from tests.planned import request_with

DIM = 64
LIMITS = {
    "min_own_cosine": 0.5,
    "min_identity_gap": None,
    "min_brightness": None,
    "max_brightness": None,
}
Fails = Callable[[int, int, int], bool]
"""Whether (identity, image, attempt) is rejected."""


def never(identity: int, image: int, attempt: int) -> bool:
    return False


def often(identity: int, image: int, attempt: int) -> bool:
    """About two of five shots of most people, all of every seventh."""
    drawn = hashlib.sha256(f"{identity} {image} {attempt}".encode()).digest()[0]
    return identity % 7 == 3 or drawn < 100


class Painter:
    """Draws a face with its identity, image and attempt in the first pixel."""

    remarks: Sequence[str] = ()

    def generate(self, shots: list[Shot], batch_size: int) -> DrawnBatch:
        images = np.zeros((batch_size, 16, 16, 3), np.uint8)
        for shot in shots:
            images[shot.slot] = draw_face(shot.identity, 10 * shot.image + shot.attempt, 16)
            images[shot.slot, 0, 0] = shot.identity, shot.image, shot.attempt
        return DrawnBatch(images)


class Reader:
    """The painted identity as a vector, or another one where the shot fails."""

    sha256, dim = "e" * 64, DIM

    def __init__(self, fails: Fails) -> None:
        self._fails = fails

    def embed(self, images_BHWC: np.ndarray) -> np.ndarray:
        unit_BD = np.zeros((len(images_BHWC), DIM), np.float32)
        for row, (identity, image, attempt) in enumerate(images_BHWC[:, 0, 0].tolist()):
            failed = self._fails(identity, image, attempt)
            unit_BD[row, DIM - 1 if failed else identity] = 1
        return unit_BD


def plan_of(
    people: int,
    *,
    version: str = "0.1.0",
    first: int = 0,
    first_unit: int = 0,
    extends: Plan | None = None,
    **plan: Any,
) -> tuple[Plan, Roster]:
    """A plan for so many people, and their roster; `plan` are fields of PlanConfig."""
    settings = PlanConfig(
        **({"images_per_identity": 4, "identities_per_unit": 3, "micro_batch": 5} | plan)
    )
    count = settings.num_admitted(people)
    roster = Roster(
        People.filled(
            count,
            index=first + np.arange(count),
            kind="virtual",
            proposal="pca",
            attempt=0,
            nearest_real_cosine=0.1,
            nearest_other_cosine=0.2,
            num_shots=planned_shots(settings, count),
        ),
        np.eye(DIM, dtype=np.float32)[first : first + count],
    )
    request = request_with(
        filters=LIMITS,
        plan=vars(settings),
        release={"version": version},
        identities={"num_virtual": people},
    )
    if extends:
        named = replace(request.identities, extends=extends.request.release.version)
        request = replace(request, identities=named, extends_plan_hash=extends.hash)
    contents = {layout.ROSTER: roster.parquet(), layout.EMBEDDINGS: roster.embeddings()}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    return Plan(request, digests, cut_units(roster.people, settings.unit_size, first_unit)), roster


def begin(store: Store, plan: Plan, roster: Roster) -> None:
    """Write what a driver writes before anything is drawn."""
    store.put_once(layout.ROSTER, roster.parquet())
    store.put_once(layout.EMBEDDINGS, roster.embeddings())
    store.put_once(layout.PLAN, plan.to_json())


def make_units(
    store: Store,
    plan: Plan,
    roster: Roster,
    fails: Fails,
    units: Sequence[int] | None = None,
    painter: Painter | None = None,
) -> None:
    """Draw some units, or all, in this order, by one maker."""
    scorer = Scorer(
        roster.unit_ND,
        np.eye(1, DIM, DIM - 2, dtype=np.float32),
        {},
        first_identity=roster.first_identity,
    )
    queue = CommitQueue(store, roster.identities, Encoding("jpeg", 90), 1 << 20)
    maker = ShardMaker(plan, roster, painter or Painter(), Reader(fails), scorer, queue)
    try:
        for unit in units if units is not None else [unit.index for unit in plan.units]:
            maker.make(unit)
        maker.flush()
        assert queue.budget.used == 0, "bytes of withdrawn faces are given back"
    finally:
        maker.close()


def publish(dataset: Store, store: Store, plan: Plan, *, keep_vectors: bool = False) -> Manifest:
    """Seal a release whose units are made, and mark it as done."""
    sealed = manifest.seal(store, plan, 1.0, keep_vectors=keep_vectors)
    manifest.seal_extras(store)
    point_latest(dataset, plan)
    store.put_once(layout.SUCCESS, b"")
    manifest.drop_what_makers_needed(store)
    return sealed


def make_release(
    dataset: Store, people: int, fails: Fails = never, *, keep_vectors: bool = False, **plan: Any
) -> Plan:
    """A sealed release in a dataset; `plan` as of `plan_of`."""
    planned, roster = plan_of(people, **plan)
    store = dataset.below(layout.release_path(planned.request.release.version))
    begin(store, planned, roster)
    make_units(store, planned, roster, fails)
    publish(dataset, store, planned, keep_vectors=keep_vectors)
    return planned
