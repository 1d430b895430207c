"""A release of 30,000 units x 800 faces from its last commit on: status, seal, card, gc, verify.

    python -m tests.benchmarks.many_units [--units 30000] [--verify]

Nothing is drawn: the commit records are those of units that kept all their shots, and all units
share the bytes of one tar and one table of metadata, 800 rows long. Prints JSON: seconds and
seconds of a processor of each phase, and the largest memory that this process has had until then.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from factory.config import ReleaseConfig
from factory.identities.roster import Roster
from factory.records import Counts, Face, FileRecord, Identity, Manifest, Scores, Shard, Timings
from factory.report.croissant import render_croissant
from factory.report.page import render_card
from factory.shards import layout, manifest, writer
from factory.shards.garbage import find
from factory.shards.status import StatusReader
from factory.shards.verify import verify
from factory.shots.plan import Plan, cut_units, plan_shots
from factory.store import LocalStore
from factory.store.parquet import to_parquet
from tests.measured import full_metrics
from tests.memory import peak_bytes
from tests.planned import request_with

EACH, IMAGES = 16, 50
"""Identities of a unit and images of each: 800 faces."""
OF_THE_GOAL = ("seal", "card", "seal_extras", "status")
"""Phases that together may take two minutes of a processor, and 2 GiB."""


def planned(store: LocalStore, num_units: int) -> Plan:
    """The plan of so many units, written as a release has it."""
    people = [Identity(i, "virtual", "pca", 0, 0.1, 0.2, IMAGES) for i in range(EACH * num_units)]
    unit_ND = np.zeros((len(people), 2), np.float32)
    unit_ND[:, 0] = 1
    roster = Roster(people, unit_ND)
    contents = {layout.ROSTER: roster.parquet(), layout.EMBEDDINGS: roster.embeddings()}
    for name, content in contents.items():
        store.put(name, content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    plan = Plan(request_with(plan={"micro_batch": 64}), digests, cut_units(people, EACH))
    store.put(layout.PLAN, plan.to_json())
    return plan


def commit_all(store: LocalStore, plan: Plan) -> None:
    """Files and a commit record of every unit; the files of all are one on the disk."""
    people = [Identity(i, "virtual", "pca", 0, 0.1, 0.2, IMAGES) for i in range(EACH)]
    roster = Roster(people, np.eye(EACH, dtype=np.float32))
    wanted = [(i, image) for i in range(EACH) for image in range(IMAGES)]
    scores = Scores(0.8, 1, 0.2, 0.1, 100.0, 120.0)
    shots = plan_shots(plan.request, wanted, roster, attempt=0)
    data, rows = writer.pack([Face(shot, b"\xff" * 40, scores) for shot in shots], people)
    samples = {
        layout.tar_name: data,
        layout.metadata_name: to_parquet(rows, layout.METADATA_SCHEMA),
        layout.rejects_name: to_parquet([], layout.REJECTS_SCHEMA),
    }
    sizes = {of: (len(body), hashlib.sha256(body).hexdigest()) for of, body in samples.items()}
    for folder in (*manifest.FOLDERS, layout.COMMITS):
        store.path(folder + "x").parent.mkdir(parents=True, exist_ok=True)
    links: dict[Callable[[int], str], Path] = {}
    for unit in plan.units:
        for name_of, body in samples.items():
            path = store.path(name_of(unit.index))
            if unit.index % 10_000 == 0:  # because a file has at most so many names
                path.write_bytes(body)
                links[name_of] = path
            else:
                os.link(links[name_of], path)
        files = [FileRecord(name_of(unit.index), *sizes[name_of]) for name_of in samples]
        counts = Counts(unit.num_shots, 0, unit.num_shots, 0, 0, {})
        begun = float(unit.index)
        shard = Shard(unit.index, plan.hash, files, counts, Timings(begun, begun + 60, 40.0, 50.0))
        record = (json.dumps(asdict(shard), indent=1, sort_keys=True) + "\n").encode()
        store.path(layout.commit_name(unit.index)).write_bytes(record)


def render(plan: Plan, sealed: Manifest, store: LocalStore) -> None:
    """The card and croissant.json, as the release writes them."""
    metrics, config = full_metrics(), ReleaseConfig(dataset="tiny", version="0.1.0")
    store.put(layout.CARD, render_card(config, plan, sealed, metrics))
    store.put(layout.CROISSANT, render_croissant(config, plan, sealed, metrics))


def run(
    store: LocalStore, num_units: int, *, and_verify: bool = False
) -> dict[str, dict[str, Any]]:
    """What each phase took."""
    phases: dict[str, dict[str, Any]] = {}

    def timed(name: str, phase: Callable[[], Any]) -> Any:
        began, cpu_began = time.perf_counter(), time.process_time()
        result = phase()
        phases[name] = {
            "seconds": round(time.perf_counter() - began, 2),
            "cpu_seconds": round(time.process_time() - cpu_began, 2),
            "peak_bytes": peak_bytes(),
        }
        return result

    plan = timed("plan", lambda: planned(store, num_units))
    timed("commit", lambda: commit_all(store, plan))
    timed("gc", lambda: find(store, 0.0, time.time() + 60))
    plan = Plan.from_json(store.get(layout.PLAN))
    sealed = timed("seal", lambda: manifest.seal(store, plan, 0.0))
    timed("card", lambda: render(plan, sealed, store))
    timed("seal_extras", lambda: manifest.seal_extras(store))
    store.put_once(layout.SUCCESS, b"")
    timed("status", lambda: StatusReader(store).read().rows(time.time(), 1.0))
    if and_verify:
        problems = timed("verify", lambda: verify(store))
        assert not problems, problems[:3]
    return phases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=30_000)
    parser.add_argument("--verify", action="store_true", help="re-read every byte as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        phases = run(LocalStore(folder), args.units, and_verify=args.verify)
    together = {
        "seal_card_status_s": sum(phases[name]["seconds"] for name in OF_THE_GOAL),
        "seal_card_status_cpu_s": sum(phases[name]["cpu_seconds"] for name in OF_THE_GOAL),
        "peak_bytes": max(phases[name]["peak_bytes"] for name in OF_THE_GOAL),
    }
    print(json.dumps({"units": args.units, "phases": phases, **together}))


if __name__ == "__main__":
    main()
