"""From commit records to a sealed release, and back: seal, digests of the extras, verify."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict

from factory.errors import IntegrityError, PlanError
from factory.identities.plan import Plan
from factory.records import Manifest
from factory.shards import layout
from factory.shards.writer import read_commit
from factory.store import Store


def committed_units(store: Store) -> set[int]:
    """Units that have a commit record."""
    names = store.list(layout.COMMITS)
    return {int(name.removeprefix(layout.COMMITS).removesuffix(".json")) for name in names}


def seal(store: Store, plan: Plan, max_failed_fraction: float) -> Manifest:
    """Check that every unit is there and the counts add up, then freeze names and digests.

    Raises PlanError while units are missing or too many shots failed, IntegrityError when a count
    contradicts the plan.
    """
    missing = sorted({unit.index for unit in plan.units} - committed_units(store))
    if missing:
        raise PlanError(
            f"seal: {len(missing)} units are not committed, first {missing[0]}; run again"
        )
    shards = [read_commit(store, unit.index) for unit in plan.units]
    for unit, shard in zip(plan.units, shards, strict=True):
        if shard.counts.planned != unit.num_shots or not shard.counts.adds_up():
            raise IntegrityError(
                f"seal: unit {unit.index} counts {shard.counts} for {unit.num_shots} planned shots"
            )
    asked = plan.request["release"]
    manifest = Manifest(asked["dataset"], asked["version"], plan.hash, shards)
    check_failures(manifest, max_failed_fraction)
    store.put_once(layout.WIDS, _wids(manifest))
    store.put_once(layout.MANIFEST, manifest_json(manifest))
    store.put_once(layout.SUMS, _sums(store, manifest))
    return manifest


def check_failures(manifest: Manifest, max_failed_fraction: float) -> None:
    """Raise PlanError when more than the allowed share of shots was quarantined."""
    counts = manifest.counts
    if counts.quarantined > max_failed_fraction * counts.shots:
        raise PlanError(
            f"release.max_failed_fraction: {counts.quarantined} of {counts.shots} shots failed, "
            f"more than {max_failed_fraction:.1%}; read quarantine/*.jsonl, mend the cause, and "
            "release under another version"
        )


def manifest_json(manifest: Manifest) -> bytes:
    """index/manifest.json: digests and counts, no times."""
    body = {
        "dataset": manifest.dataset,
        "version": manifest.version,
        "plan_hash": manifest.plan_hash,
        "counts": asdict(manifest.counts),
        "shards": [
            {
                "unit": shard.unit,
                "files": [asdict(file) for file in shard.files],
                "counts": asdict(shard.counts),
            }
            for shard in manifest.shards
        ],
    }
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()


def seal_extras(store: Store) -> None:
    """SHA256SUMS.extra over commits, metrics, report and card; rewritten whenever they are."""
    names = [
        *store.list(layout.COMMITS),
        *store.list("metrics/"),
        *store.list("report/"),
        *store.list(layout.CARD),
    ]
    store.put(layout.EXTRA_SUMS, _listing((store.sha256(name), name) for name in names))


def verify(store: Store, progress: Callable[[str], None] = lambda name: None) -> list[str]:
    """Re-read every byte of a sealed release; the list of what is wrong, empty when all is well."""
    problems = []
    if not store.exists(layout.SUCCESS):
        problems.append(f"{layout.SUCCESS} is missing: the release is not sealed")
    expected: dict[str, str] = {}
    for sums in (layout.SUMS, layout.EXTRA_SUMS):
        if not store.exists(sums):
            problems.append(f"{sums} is missing")
            continue
        for line in store.get(sums).decode(errors="replace").splitlines():
            digest, _, name = line.partition("  ")
            expected[name] = digest
    for name, digest in expected.items():
        progress(name)
        try:
            if store.sha256(name) != digest:
                problems.append(f"{name} does not have its sha256")
        except (OSError, ValueError):
            problems.append(f"{name} is missing or cannot be read")
    for folder in ("data/", "metadata/", "rejects/", "index/"):
        strays = set(store.list(folder)) - set(expected)
        problems += [f"{name} is not in {layout.SUMS}" for name in sorted(strays)]
    if not problems:
        Plan.from_json(store.get(layout.PLAN))  # raises when it contradicts its own hash
    return problems


def _sums(store: Store, manifest: Manifest) -> bytes:
    small = (layout.PLAN, layout.ROSTER, layout.EMBEDDINGS, layout.WIDS, layout.MANIFEST)
    lines = [(store.sha256(name), name) for name in small]
    lines += [(file.sha256, file.name) for shard in manifest.shards for file in shard.files]
    return _listing(lines)


def _listing(lines: Iterable[tuple[str, str]]) -> bytes:
    ordered = sorted(lines, key=lambda line: line[1])
    return "".join(f"{digest}  {name}\n" for digest, name in ordered).encode()


def _wids(manifest: Manifest) -> bytes:
    shardlist = []
    for shard in manifest.shards:
        tar = next(file for file in shard.files if file.name == layout.tar(shard.unit))
        entry = {"url": "../" + tar.name, "nsamples": shard.counts.kept, "filesize": tar.size}
        shardlist.append(entry)
    body = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": manifest.dataset,
        "shardlist": shardlist,
    }
    return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()


def plan_of(store: Store) -> Plan | None:
    """The plan under a release, or None where there is none yet."""
    return Plan.from_json(store.get(layout.PLAN)) if store.exists(layout.PLAN) else None


def point_latest(dataset: Store, plan: Plan) -> None:
    """Swap <dataset>/latest.json to this release, by compare-and-set until it sticks."""
    version = plan.request["release"]["version"]
    body = {"version": version, "plan_hash": plan.hash, "path": f"releases/{version}"}
    data = (json.dumps(body, indent=1) + "\n").encode()
    for _ in range(100):
        found = dataset.get("latest.json") if dataset.exists("latest.json") else None
        if dataset.swap("latest.json", found, data):
            return
    raise IntegrityError("latest.json: changed under us a hundred times; look who writes it")


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
