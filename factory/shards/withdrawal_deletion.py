"""Deletes what a withdrawn version, or a set of LoRAs, holds of a person.

Of a version stay the plan and the mark, so that its number is never used again, and what is only of
others. The roster goes last, because it tells a second call where the person was; one in which only
their row is blank takes its place, so that all others are found when they withdraw.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from factory.errors import IntegrityError
from factory.provenance.withdrawn import mark_deleted
from factory.records import Counts
from factory.shards import layout
from factory.shards.withdrawal_search import Held, HeldLora
from factory.shards.writer import read_commit, record_bytes
from factory.store import Store


def names_held(held: Held) -> list[str]:
    """Files of a version that hold the person, in the order in which they are deleted.

    All files of their units, pages that show faces, and vectors. The roster is not among them.
    """
    store = held.version.store
    names = [
        name
        for unit in held.units
        for name in (*layout.files_of(unit), layout.quarantine_name(unit))
        if store.exists(name)
    ]
    names += store.list("report/")
    return names + [n for n in (layout.EMBEDDINGS,) if store.exists(n)]


def beside_held(held: Held, dataset: Store) -> Iterator[str]:
    """Names below the dataset of what lies beside a version: measurements, and what makers need."""
    for folder in ("evaluation", "private"):
        yield from dataset.list(f"{folder}/{held.version.version}/")


def delete_held(held: Held, dataset: Store, today: str) -> int:
    """Delete what a withdrawn version holds of the person; how many files that were.

    Their row of the roster is blank afterwards. The mark notes the digest of that roster before it
    is written, so that one of the two is always the one that is read.
    """
    store, names, beside = held.version.store, names_held(held), list(beside_held(held, dataset))
    for name in beside:
        dataset.delete(name)
    for name in names:
        store.delete(name)
    roster = held.roster_without()
    mark_deleted(store, today, hashlib.sha256(roster).hexdigest())
    store.put(layout.ROSTER, roster)
    return len(names) + len(beside)


def delete_lora(lora: HeldLora) -> int:
    """Delete a person's LoRA; the set goes on without them, as without one that failed.

    The commit record is replaced first, so that nobody looks for files that are gone.
    """
    names, name = lora.files, layout.commit_name(lora.unit)
    if lora.store.exists(name):
        current = lora.store.get(name)
        shard = read_commit(lora.store, lora.unit)
        counts = Counts(1, 0, 0, 1, 0, {"withdrawn": 1})
        emptied = replace(shard, files=[], counts=counts, remarks=["withdrawn"])
        if not lora.store.swap(name, current, record_bytes(emptied)):
            raise IntegrityError(f"{lora.store.url}/{name}: has changed meanwhile; run this again")
    for file in names:
        lora.store.delete(file)
    return len(names)
