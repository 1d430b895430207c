"""What dead writers leave in a release, and which of it may go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factory.shards import layout
from factory.shards.manifest import committed_units, read_plan
from factory.store import Entry, Store


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
    driver may be alive, and be about to commit them.
    """
    entries = store.entries("")
    youngest = max((entry.modified_at for entry in entries), default=0.0)
    garbage = [
        Garbage(entry, "unfinished upload" if entry.upload else "temporary file", True)
        for entry in store.leftovers()
    ]
    garbage += [Garbage(e, "probe of a dead driver") for e in entries if _is_probe(e)]
    if now - youngest >= older_than_s:
        garbage += _orphans(store, entries)
    return [item for item in garbage if now - item.entry.modified_at >= older_than_s]


def remove(store: Store, garbage: list[Garbage]) -> list[Garbage]:
    """Remove what `find` found and return it, less what a driver has come back for meanwhile."""
    removed = []
    for item in garbage:
        if item.leftover:
            store.discard(item.entry)
        elif item.unit is None or not store.exists(layout.commit_name(item.unit)):
            store.delete(item.entry.name)
        else:
            continue
        removed.append(item)
    return removed


def _is_probe(entry: Entry) -> bool:
    return entry.name.startswith("probe-")


def _orphans(store: Store, entries: Sequence[Entry]) -> list[Garbage]:
    plan = read_plan(store)
    if plan is None:
        begun = (layout.ROSTER, layout.EMBEDDINGS)
        return [Garbage(e, "roster without a plan") for e in entries if e.name in begun]
    done = committed_units(store)
    open_units = [unit.index for unit in plan.units if unit.index not in done]
    units = {name: unit for unit in open_units for name in layout.files_of(unit)}
    return [
        Garbage(entry, "unit without commit record", unit=units[entry.name])
        for entry in entries
        if entry.name in units
    ]
