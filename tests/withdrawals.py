"""Sealed versions with real people, made by hand in milliseconds, for tests of withdrawals."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq

from factory.config import BaseModelConfig, EditingConfig, PersonalizationConfig
from factory.identities.roster import Roster
from factory.records import Counts, Face, Failure, Identity, Scores, Unit
from factory.shards import layout
from factory.shards.latest import point_latest
from factory.shards.manifest import seal, seal_extras
from factory.shards.withdrawal import find
from factory.shards.writer import Encoding, commit, commit_files
from factory.shots.plan import LoraPlan, Plan, cut_units, plan_shots
from factory.shots.request import (
    ComputeFacts,
    EditRequest,
    Environment,
    LoraRequest,
    PeopleFacts,
    SourceRelease,
)
from factory.store import LocalStore, Store
from tests.conftest import draw_face
from tests.planned import request_with, unit_result

NAMES = ("anna", "ben", "cem", "dora")
NUM_VIRTUAL, IMAGES = 2, 3
TODAY, KEY = "2026-11-26", "k" * 32
CARD = b"---\nlicense: cc-by-4.0\n---\n# Tiny\n\n| identities | 6 |\n"


class Crash(Exception):
    """Stands for a process that dies."""


def version_of(root: Store, version: str, dataset: str = "tiny") -> Store:
    return root.below(layout.release_prefix(dataset, version))


def forget(root: LocalStore, person: str, dataset: str = "tiny", **named):
    withdrawal = find(f"{root.url}/{dataset}", person)
    withdrawal.write(TODAY, lambda line: None, **named)
    return withdrawal


def everything(root: LocalStore) -> dict[str, bytes]:
    return {name: root.get(name) for name in root.list("")}


def labels_in(store: Store) -> set[int]:
    names = [name for name in store.list("metadata/")]
    tables = [pq.read_table(io.BytesIO(store.get(name))) for name in names]
    return {label for table in tables for label in table["identity"].to_pylist()}


def roster_of(
    names: tuple[str, ...] = NAMES, num_virtual: int = NUM_VIRTUAL, first: int = 0
) -> Roster:
    """Virtual people first, then real ones of these names; everybody has three shots."""
    virtual = [
        Identity(i, "virtual", "pca", 0, 0.1, 0.2, IMAGES, (i + 1) % 2)
        for i in range(first, first + num_virtual)
    ]
    real = [
        Identity(i, "real", "source", 0, 0.1, 0.2, IMAGES, 0, name, "", (f"{name}/0.png",))
        for i, name in enumerate(names, start=first + num_virtual)
    ]
    count = len(virtual) + len(real)
    return Roster([*virtual, *real], np.eye(count, 8, dtype=np.float32))


def write_version(
    root: Store,
    dataset: str = "tiny",
    version: str = "0.1.0",
    *,
    names: tuple[str, ...] = NAMES,
    num_virtual: int = NUM_VIRTUAL,
    source: SourceRelease | None = None,
    fingerprint: str = "f" * 64,
    finish: bool = True,
    keep_vectors: bool = False,
    after: Plan | None = None,
) -> Plan:
    """A version with two people a unit. The first image of everybody in the second unit and after
    it is rejected once and made again; the last of them has an image that failed. Labels and units
    follow those of the version `after` which it comes."""
    store = root.below(layout.release_prefix(dataset, version))
    first, first_unit = (after.next_identity, after.next_unit) if after else (0, 0)
    roster = roster_of(names, num_virtual, first)
    request = request_with(
        release={"dataset": dataset, "version": version, "allow_real": True},
        source={"release": source, "fingerprint": fingerprint},
        plan={"fill_to": IMAGES},
    )
    if source:
        request = replace(request, edits=EditRequest(EditingConfig(method="drawn"), None))
    contents = {layout.ROSTER: roster.parquet(), layout.EMBEDDINGS: roster.embeddings()}
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    plan = Plan(request, digests, cut_units(roster.identities, 2, first_unit))
    for name, data in {**contents, layout.PLAN: plan.to_json()}.items():
        store.put_once(name, data)
    for unit in plan.units:
        _make(store, plan, roster, unit.index, keep_vectors)
    if finish:
        seal(store, plan, 1.0, keep_vectors=keep_vectors)
        store.put(layout.CARD, CARD)
        store.put(layout.metrics_name("balance"), b"{}\n")
        store.put(layout.REPORT, b"<html>faces</html>")
        seal_extras(store)
        point_latest(root.below(dataset), plan)
        store.put_once(layout.SUCCESS, b"")
    return plan


def write_loras(
    root: Store, dataset: str, name: str, people: tuple[str, ...]
) -> tuple[Store, LoraPlan]:
    """A finished set of LoRAs whose files hold nothing."""
    store = root.below(layout.loras_prefix(dataset, name))
    request = LoraRequest(
        dataset,
        name,
        0,
        PeopleFacts("f" * 64, people),
        {"base": "b" * 64},
        PersonalizationConfig(),
        BaseModelConfig(),
        "ddim",
        ComputeFacts("cpu", "fp32"),
        Environment("0" * 64, {}),
    )
    plan = LoraPlan(request, {}, [Unit(index, index, 1, 1) for index in range(len(people))])
    store.put_once(layout.PLAN, plan.to_json())
    for unit in plan.units:
        counts = Counts(1, 0, 1, 0, 0)
        result = replace(unit_result(unit.index, plan.hash, []), counts=counts)
        names = (layout.lora_name(unit.index), layout.lora_metadata_name(unit.index))
        commit_files(store, result, {one: b"weights" for one in names})
    store.put_once(layout.SUCCESS, b"")
    return store, plan


def _make(store: Store, plan: Plan, roster: Roster, index: int, vectors: bool) -> None:
    unit, encoding = plan.unit(index), Encoding("jpeg", 90)
    members = [unit.first_identity + i for i in range(unit.num_identities)]
    wanted = [(person, image) for person in members for image in range(IMAGES)]
    request = replace(plan.request, edits=None)
    shots = plan_shots(request, wanted, roster, attempt=0)
    made = [Face(s, encoding.encode(draw_face(s.identity, s.image, 16)), SCORES) for s in shots]
    rejected, failures = [], []
    if index:
        again = plan_shots(request, [(person, 0) for person in members], roster, attempt=1)
        rejected = [(replace(face, encoded=b""), "own_cosine") for face in made[::IMAGES]]
        failures = [Failure(made[-1].shot, "ValueError: no face", "Traceback")]
        made = [
            Face(again[place // IMAGES], face.encoded, SCORES) if place % IMAGES == 0 else face
            for place, face in enumerate(made[:-1])
        ]
    result = unit_result(index, plan.hash, made, rejected=rejected, failures=failures)
    counts = replace(result.counts, planned=len(shots), topups=len(rejected))
    known = {"1" * 64: np.ones((len(made), 8), np.float16)} if vectors else {}
    commit(store, replace(result, counts=counts, vectors=known), roster.identities)


SCORES = Scores(0.9, -1, 0.1, 0.2, 30.0, 0.5)
