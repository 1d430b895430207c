"""What dead writers leave in a release, and which of it may go."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from factory.errors import PlanError, Unavailable
from factory.shards import layout, locks
from factory.shards.manifest import committed_units, read_plan
from factory.shards.writer import shard_from_dict
from factory.store import Entry, Store

LIVE_S = 900.0
"""An upload of a release that is being made is that of a dead writer after so many seconds."""


@dataclass(frozen=True)
class Garbage:
    """Something that no release needs, and why it is there."""

    entry: Entry
    reason: str
    leftover: bool = False
    """Whether it is an unfinished upload or temporary file, not an object."""
    unit: int | None = None
    """The unit it belongs to, if any."""


def find(store: Store, older_than_s: float, now: float) -> list[Garbage]:
    """Garbage of the release in `store` that nobody has touched for `older_than_s` seconds.

    Files of a unit without commit record are kept while anything in the release is younger: its
    driver may be alive, and be about to commit them. Unfinished uploads and temporary files of a
    release that is not sealed are kept for `LIVE_S` at least.
    """
    entries = store.entries("")
    alive = [e for e in entries if not _is_released(e)]
    youngest = max((entry.modified_at for entry in alive), default=0.0)
    live_s = 0.0 if any(entry.name == layout.SUCCESS for entry in entries) else LIVE_S
    garbage = [_leftover(e) for e in store.leftovers() if now - e.modified_at >= live_s]
    garbage += [Garbage(e, "probe of a dead driver") for e in entries if _is_probe(e)]
    if now - youngest >= older_than_s:
        garbage += _orphans(store, entries)
    return [item for item in garbage if now - item.entry.modified_at >= older_than_s]


def find_measurements(scratch: Store, older_than_s: float, now: float) -> list[Garbage]:
    """What a measurement that was cut off has left, in the store at `layout.measurements_url`.

    It may hold templates of real people. All of it is kept while any of it is younger than
    `older_than_s` seconds: it may be measured now. Records that audit.keep_records asked for are
    no garbage.
    """
    entries = scratch.entries("")
    folders = {entry.name.partition("/")[0] for entry in entries}
    kept = {folder for folder in folders if scratch.exists(f"{folder}/{layout.KEPT_RECORDS}")}
    entries = [entry for entry in entries if entry.name.partition("/")[0] not in kept]
    if any(now - entry.modified_at < older_than_s for entry in entries):
        return []
    return [Garbage(entry, "measurement that was cut off") for entry in entries]


def find_private(release: Store, older_than_s: float, now: float) -> list[Garbage]:
    """What is private of the release in a store, which is sealed or was never planned.

    It holds templates of real people; it lies at `layout.private_url`. That of a release which is
    sealed and waits to be published is made anew if it goes on; it is kept while a driver is there.
    Of one that is being made only what dead writers left is garbage.
    """
    private, reason = layout.private_store(release), _reason(release)
    live_s = 0.0 if release.exists(layout.SUCCESS) else LIVE_S
    driver = max((e.modified_at for e in release.entries(layout.DRIVER)), default=-math.inf)
    if now - driver < max(older_than_s, live_s):
        return []
    found = [_leftover(e) for e in private.leftovers() if now - e.modified_at >= live_s]
    found += [Garbage(e, reason) for e in private.entries("")] if reason else []
    return [item for item in found if now - item.entry.modified_at >= older_than_s]


def _reason(release: Store) -> str:
    """Why what is private of a release is needed no more; empty while makers need it."""
    if release.exists(layout.SUCCESS):
        return "private of a release that is published"
    if release.exists(layout.SUMS):
        return "private of a release that is sealed and not published"
    return "" if release.exists(layout.PLAN) else "private of a release that is not there"


def _leftover(entry: Entry) -> Garbage:
    return Garbage(entry, "unfinished upload" if entry.upload else "temporary file", True)


def remove(store: Store, garbage: list[Garbage]) -> list[Garbage]:
    """Remove what `find` found and return it, less what a driver has come back for meanwhile.

    Files of a unit are deleted under its lock; a maker that is about to commit it waits meanwhile
    and then writes them again.
    """
    removed = []
    for unit, items in itertools.groupby(garbage, key=lambda item: item.unit):
        if unit is not None:
            removed += _remove_of_unit(store, unit, list(items))
            continue
        for item in items:
            if item.leftover:
                store.discard(item.entry)
            else:
                store.delete(item.entry.name)
            removed.append(item)
    return removed


def uncommit(store: Store, unit: int) -> list[str]:
    """Take back the commit of a unit whose files are lost, so that it is made anew; what is lost.

    Raises PlanError for a unit that is not committed or not damaged, or a release that is sealed.
    """
    name = layout.commit_name(unit)
    record = locks.content_of(store, name) or locks.RELEASED
    if store.exists(layout.SUMS) or not locks.is_record(len(record)):
        found = "is sealed" if store.exists(layout.SUMS) else f"unit {unit} is not committed"
        raise PlanError(f"{store.url}: {found}; want a committed unit of an unfinished release")
    lost = [
        file for file, sha256 in locks.files_of(record).items() if _is_lost(store, file, sha256)
    ]
    counts = shard_from_dict(json.loads(record)).counts
    if counts.quarantined and not store.exists(layout.quarantine_name(unit)):
        lost.append(layout.quarantine_name(unit))
    if not lost:
        raise PlanError(f"{store.url}: all files of unit {unit} are whole; nothing to take back")
    if not store.swap(name, record, locks.RELEASED):
        raise PlanError(f"{store.url}: unit {unit} has changed meanwhile; look again")
    return lost


def _is_lost(store: Store, name: str, sha256: str) -> bool:
    try:
        return store.sha256(name) != sha256
    except FileNotFoundError:
        return True


def _remove_of_unit(store: Store, unit: int, items: list[Garbage]) -> list[Garbage]:
    """Delete files of a unit that is not committed; those that were, none where it is in use."""
    removed: list[Garbage] = []
    with suppress(Unavailable, locks.LockLost):
        lock = locks.take(store, unit, "deleting its files", patience_s=2 * locks.HOLDS_S)
        if lock is not None:
            with lock.renewed():
                for item in items:
                    lock.delete(item.entry.name)
                    removed.append(item)
    return removed


def _is_released(entry: Entry) -> bool:
    """Whether it is a lock that nobody holds: what gc leaves, not a sign of life."""
    return entry.name.startswith(layout.COMMITS) and entry.size == len(locks.RELEASED)


def _is_probe(entry: Entry) -> bool:
    return entry.name.startswith("probe-")


def _orphans(store: Store, entries: Sequence[Entry]) -> list[Garbage]:
    plan = read_plan(store)
    if plan is None:
        begun = (layout.ROSTER, layout.EMBEDDINGS, layout.LINEAGE)
        return [Garbage(e, "roster without a plan") for e in entries if e.name in begun]
    done = committed_units(store)
    open_units = [unit.index for unit in plan.units if unit.index not in done]
    units = {name: unit for unit in open_units for name in layout.files_of(unit)}
    return [
        Garbage(entry, "unit without commit record", unit=units[entry.name])
        for entry in sorted(entries, key=lambda entry: units.get(entry.name, -1))
        if entry.name in units
    ]
