"""From commit records to a sealed release: seal, index, digests of the extras."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from factory.config import as_dict
from factory.errors import IntegrityError, PlanError
from factory.provenance.lineage import Lineage, read_lineage
from factory.records import Manifest
from factory.shards import layout, locks
from factory.shards.writer import read_commit
from factory.shots.plan import Plan, UnitPlan
from factory.store import Store
from factory.store.json_text import json_text

READERS = 16
"""Small files read at once."""
FOLDERS = ("data/", "metadata/", "rejects/", layout.VECTORS, "loras/")
"""Where files of units lie."""
NEVER_TRAIN = "Never train on this release: it is a test set."
MAX_ASKED = 1000
"""Missing commit records that are asked for one by one before a listing is believed."""
SEALED_VECTORS = re.compile(rb"  (\.\./[^/]+/)?" + layout.VECTORS.encode())
COMMIT_NAME = re.compile(re.escape(layout.COMMITS) + r"(\d{6})\.json")


def committed_units(store: Store) -> set[int]:
    """Units that have a commit record; one that is only locked has none."""
    records = (e.name for e in store.entries(layout.COMMITS) if locks.is_record(e.size))
    matches = map(COMMIT_NAME.fullmatch, records)
    return {int(match[1]) for match in matches if match}


def seal(
    store: Store, plan: Plan, max_failed_fraction: float, *, keep_vectors: bool = False
) -> Manifest:
    """Check that every unit is there and the counts add up, then freeze names and digests.

    With `keep_vectors` vectors/ is part of the release. Raises PlanError while units are missing,
    too many shots failed or somebody has too few images, IntegrityError when a count contradicts
    the plan.
    """
    from factory.shards.pair_files import write_pairs  # because it reads what is committed
    from factory.shards.shortfall import refuse_shortfall  # because it reads what is listed here

    missing = _missing(store, plan)
    if missing:
        raise PlanError(
            f"seal: {len(missing)} of {len(plan.units)} shards are not committed, first "
            f"{missing[0]}; the same command goes on from here"
        )
    manifest = collect(store, plan)
    for unit, shard in zip(plan.units, manifest.shards, strict=True):
        if shard.plan_hash != plan.hash:
            raise IntegrityError(f"seal: unit {unit.index} was committed for another plan")
        if shard.counts.planned != unit.num_shots or not shard.counts.adds_up():
            raise IntegrityError(
                f"seal: unit {unit.index} counts {shard.counts} for {unit.num_shots} planned shots"
            )
    sealed = manifest if keep_vectors else without_vectors(manifest)
    check_files(store, sealed)
    check_failures(manifest, max_failed_fraction)
    refuse_shortfall(store, plan, manifest)
    if not manifest.counts.kept:
        raise PlanError(
            f"filters: none of {manifest.counts.shots} shots was kept ({manifest.counts.reasons}); "
            "loosen the filters and release under another version"
        )
    pairs = write_pairs(store, plan)
    store.put_once(layout.WIDS, _wids(sealed))
    store.put_once(layout.MANIFEST, manifest_json(sealed, plan, read_lineage(store)))
    store.put_once(layout.SUMS, _sums(store, plan, sealed, pairs))
    return sealed


def sealed_manifest(store: Store, plan: Plan) -> Manifest:
    """The shards of a sealed release, with the files that belong to it."""
    manifest = collect(store, plan)
    return manifest if _keeps_vectors(store) else without_vectors(manifest)


def _keeps_vectors(store: Store) -> bool:
    """Whether vectors/, own ones or another version's, are part of a sealed release."""
    return SEALED_VECTORS.search(store.get(layout.SUMS)) is not None


def without_vectors(manifest: Manifest) -> Manifest:
    """A manifest of the same shards that does not list vectors/."""
    shards = [
        replace(shard, files=[f for f in shard.files if not f.name.startswith(layout.VECTORS)])
        for shard in manifest.shards
    ]
    return replace(manifest, shards=shards)


def drop_what_makers_needed(store: Store) -> None:
    """Delete what is private of a published release, and vectors/ unless it is part of it.

    Of what is private also what a writer that died has left: it holds the same templates.
    """
    plan, private = read_plan(store), layout.private_store(store)
    for leftover in private.leftovers() if plan and (plan.private or plan.request.spared) else []:
        private.discard(leftover)
    for name in private.list(""):
        private.delete(name)
    private.prune()
    if not _keeps_vectors(store):
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(store.delete, store.list(layout.VECTORS)))
        store.below(layout.VECTORS.rstrip("/")).prune()


def collect(store: Store, plan: UnitPlan) -> Manifest:
    """The commit records of all units; raises FileNotFoundError while one is missing."""
    with ThreadPoolExecutor(READERS) as pool:
        shards = list(pool.map(lambda unit: read_commit(store, unit.index), plan.units))
    dataset, version = plan.request.dataset_and_version
    return Manifest(dataset, version, plan.hash, shards)


def _missing(store: Store, plan: UnitPlan) -> list[int]:
    """Units without a commit record; where few are missing, by the records and not by a listing."""
    missing = sorted({unit.index for unit in plan.units} - committed_units(store))
    if len(missing) > MAX_ASKED:
        return missing
    with ThreadPoolExecutor(READERS) as pool:
        sizes = pool.map(lambda unit: store.size(layout.commit_name(unit)), missing)
        return [u for u, size in zip(missing, sizes, strict=True) if not locks.is_record(size)]


def check_files(store: Store, manifest: Manifest) -> None:
    """Raise IntegrityError when a committed file is gone or has another size.

    Also when the quarantine does not list what the counts say. A listing may be older than the
    objects, so those that it has wrong are asked for themselves.
    """
    versions = {file.version for shard in manifest.shards for file in shard.files} | {""}
    stores = {version: store.beside(version) if version else store for version in versions}
    listed = {
        (version, entry.name): entry.size
        for version, owner in stores.items()
        for folder in FOLDERS
        for entry in owner.entries(folder)
    }
    for shard in manifest.shards:
        for file in shard.files:
            found, owner = listed.get((file.version, file.name)), stores[file.version]
            if found == file.size or (size := owner.size(file.name)) == file.size:
                continue
            raise IntegrityError(
                f"seal: {file.path} {'is gone' if size is None else f'has {size} bytes'}, its "
                f"commit record says {file.size} bytes; {_remedy(store, shard.unit)}"
            )
        if shard.counts.quarantined:
            name = layout.quarantine_name(shard.unit)
            num_lines = len((locks.content_of(store, name) or b"").decode().splitlines())
            if num_lines != shard.counts.quarantined:
                raise IntegrityError(
                    f"seal: {name} lists {num_lines} failures, its commit record says "
                    f"{shard.counts.quarantined}; {_remedy(store, shard.unit)}"
                )


def _remedy(store: Store, unit: int) -> str:
    return (
        f"restore it from a copy, or give the unit up with `python -m jobs.gc {store.url} "
        f"--uncommit {unit}` and run again to make it anew"
    )


def check_failures(manifest: Manifest, max_failed_fraction: float) -> None:
    """Raise PlanError when more than the allowed fraction of shots was quarantined."""
    counts = manifest.counts
    if counts.quarantined > max_failed_fraction * counts.shots:
        raise PlanError(
            f"release.max_failed_fraction: {counts.quarantined} of {counts.shots} shots failed, "
            f"more than {max_failed_fraction:.1%}; read quarantine/*.jsonl, fix the cause, and "
            "release under another version"
        )


def manifest_json(manifest: Manifest, plan: Plan, lineage: Lineage | None) -> bytes:
    """index/manifest.json: digests and counts, no times; says whether real people are in it.

    Its lineage tells whether people of its source exist.
    """
    request = plan.request
    edited = request.source.release if request.edits else None
    body = {
        "holds_real_identities": request.shows_real_people(lineage.sources if lineage else ()),
        "augments": as_dict(edited) if edited else None,
        "dataset": manifest.dataset,
        "version": manifest.version,
        "plan_hash": manifest.plan_hash,
        "counts": manifest.counts.to_dict(),
        "shards": [
            {
                "unit": shard.unit,
                "files": [file.to_dict() for file in shard.files],
                "counts": shard.counts.to_dict(),
            }
            for shard in manifest.shards
        ],
    }
    if request.pairs:
        body |= {"kind": layout.BENCHMARK, "note": NEVER_TRAIN}
    return (json_text(body, indent=1, sort_keys=True) + "\n").encode()


def seal_extras(store: Store) -> None:
    """Write SHA256SUMS.extra over commits, metrics, report, card, croissant, spdx and licenses.

    It is rewritten whenever they are.

    By compare-and-set, because two drivers may end at once and each may have rewritten a page after
    the other had hashed it: the later listing is made again.
    """
    own = (layout.COMMITS, layout.PROOFS, layout.DIFFERENCES, layout.QUARANTINE)
    folders = (*own, "metrics/", "report/")
    for _ in range(100):
        current = store.get(layout.EXTRA_SUMS) if store.exists(layout.EXTRA_SUMS) else None
        names = [name for folder in folders for name in store.list(folder)]
        names += [name for name in layout.ABOUT if store.exists(name)]
        with ThreadPoolExecutor(READERS) as pool:
            listing = _listing(zip(pool.map(store.sha256, names), names, strict=True))
        if listing == current or store.swap(layout.EXTRA_SUMS, current, listing):
            return
    raise IntegrityError(
        f"{layout.EXTRA_SUMS}: was changed by another process a hundred times; find out which"
    )


def _sums(store: Store, plan: Plan, manifest: Manifest, pairs: list[str]) -> bytes:
    small = [layout.PLAN, layout.WIDS, layout.MANIFEST, *pairs]
    small += [layout.LINEAGE] if store.exists(layout.LINEAGE) else []
    lines = [(store.sha256(name), name) for name in small]
    lines += [(digest, name) for name, digest in plan.roster_sha256.items()]
    lines += [(file.sha256, file.path) for shard in manifest.shards for file in shard.files]
    return _listing(lines)


def _listing(lines: Iterable[tuple[str, str]]) -> bytes:
    ordered = sorted(lines, key=lambda line: line[1])
    return "".join(f"{digest}  {name}\n" for digest, name in ordered).encode()


def _wids(manifest: Manifest) -> bytes:
    shardlist = []
    for shard in manifest.shards:
        tar = next(file for file in shard.files if file.name == layout.tar_name(shard.unit))
        entry = {"url": "../" + tar.path, "nsamples": shard.counts.kept, "filesize": tar.size}
        shardlist.append(entry)
    body = {
        "__kind__": "wids-shard-index-v1",
        "wids_version": 1,
        "name": manifest.dataset,
        "shardlist": shardlist,
    }
    return (json_text(body, indent=1, sort_keys=True) + "\n").encode()


def sealed_plan(store: Store) -> Plan:
    """The plan of a sealed release; raises PlanError for one that is not."""
    plan = read_plan(store)
    if plan is None or not store.exists(layout.SUMS):
        raise PlanError(f"{store.url}: is not a sealed release; run jobs.release first")
    return plan


def read_metrics(store: Store, stem: str) -> dict[str, Any] | None:
    """Metrics that were measured before, or None."""
    name = layout.metrics_name(stem)
    return dict(json.loads(store.get(name))) if store.exists(name) else None


def put_metrics(store: Store, metrics: dict[str, Any]) -> None:
    """Write metrics/<stem>.json of a sealed release; `seal_extras` must follow.

    A file with the same metrics under the name that an older factory gave it is deleted.
    """
    for stem, content in metrics.items():
        put_json(store, layout.metrics_name(stem), content)
        if stem in layout.OLDER_METRICS:
            store.delete(layout.metrics_name(layout.OLDER_METRICS[stem]))


def put_json(store: Store, name: str, content: dict[str, Any]) -> None:
    """Write figures as they are written everywhere."""
    store.put(name, (json_text(content, indent=1) + "\n").encode())


def read_plan(store: Store) -> Plan | None:
    """The plan under a release, or None where there is none yet."""
    return Plan.from_json(store.get(layout.PLAN)) if store.exists(layout.PLAN) else None
