"""Checks a sealed release: every byte against its digest, every list against the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from factory.errors import StoreError
from factory.shards import layout
from factory.shots.plan import Plan
from factory.store import Store

READERS = 8
"""Files read at once: a bucket's latency is hidden, hashing releases the interpreter."""


def verify(store: Store, on_file: Callable[[int, int], None] = lambda done, all: None) -> list[str]:
    """Re-read every byte; the list of what is wrong, empty when all is well.

    `on_file` hears (files read, files in all) after each.
    """
    problems = []
    if not store.exists(layout.SUCCESS):
        problems.append(f"{layout.SUCCESS} is missing: the release is not sealed")
    sealed = _read_sums(store, layout.SUMS, problems)
    extras = _read_sums(store, layout.EXTRA_SUMS, problems)
    problems += [f"{name} is in both lists of digests" for name in sorted({*sealed} & {*extras})]
    promised = [*sealed.items(), *extras.items()]
    with ThreadPoolExecutor(READERS) as pool:
        checked = pool.map(lambda item: _wrong(store, *item), promised)
        for done, wrong in enumerate(checked, start=1):
            problems += wrong
            on_file(done, len(promised))
    for folder in ("data/", "metadata/", "rejects/", "index/"):
        strays = set(store.list(folder)) - set(sealed)
        problems += [f"{name} is not in {layout.SUMS}" for name in sorted(strays)]
    return problems or _contradictions(store, sealed)


def _wrong(store: Store, name: str, digest: str) -> list[str]:
    try:
        return [] if store.sha256(name) == digest else [f"{name} does not have its sha256"]
    except StoreError:
        raise  # the store's fault, not the file's
    except (OSError, ValueError):
        return [f"{name} is missing or cannot be read"]


def _read_sums(store: Store, name: str, problems: list[str]) -> dict[str, str]:
    if not store.exists(name):
        problems.append(f"{name} is missing")
        return {}
    lines = store.get(name).decode(errors="replace").splitlines()
    return {file: digest for digest, _, file in (line.partition("  ") for line in lines)}


def _contradictions(store: Store, sealed: dict[str, str]) -> list[str]:
    """What whole files say against each other: a digest list that leaves something out."""
    for name in (layout.PLAN, layout.MANIFEST):
        if name not in sealed:
            return [f"{name} is not in {layout.SUMS}"]
    plan = Plan.from_json(store.get(layout.PLAN))  # raises when it contradicts its own hash
    manifest = json.loads(store.get(layout.MANIFEST))
    promised = dict(plan.roster_sha256)
    for shard in manifest["shards"]:
        promised |= {file["name"]: file["sha256"] for file in shard["files"]}
    problems = [
        f"{name} is not in {layout.SUMS} with the digest that was committed"
        for name, digest in promised.items()
        if sealed.get(name) != digest
    ]
    if manifest["plan_hash"] != plan.hash or len(manifest["shards"]) != len(plan.units):
        problems.append(f"{layout.MANIFEST} is not that of {layout.PLAN}")
    return problems
