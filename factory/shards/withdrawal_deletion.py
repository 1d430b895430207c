"""Deletes what a withdrawn version, or a set of LoRAs, holds of a person.

Of a version stay the plan and the mark, so that its number is never used again, and what is only of
others. The roster goes last, because it tells a second call where the person was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from factory.errors import IntegrityError
from factory.provenance.withdrawn import mark_deleted
from factory.records import Counts
from factory.shards import layout
from factory.shards.withdrawal_search import Held, HeldLora
from factory.shards.writer import read_commit
from factory.store import Store


def names_held(held: Held) -> list[str]:
    """Files of a version that hold the person, in the order in which they are deleted.

    All files of their units, pages that show faces, their vectors, and the roster.
    """
    store = held.version.store
    names = [
        name
        for unit in held.units
        for name in (*layout.files_of(unit), layout.quarantine_name(unit))
        if store.exists(name)
    ]
    names += store.list("report/")
    return names + [n for n in (layout.EMBEDDINGS, layout.ROSTER) if store.exists(n)]


def measurements_held(held: Held, dataset: Store) -> Iterator[str]:
    """Names below the dataset of what is kept of measurements of a version."""
    yield from dataset.list(f"evaluation/{held.version.version}/")


def delete_held(held: Held, dataset: Store, today: str) -> int:
    """Delete what a withdrawn version holds of the person; how many files that were."""
    names, measured = names_held(held), list(measurements_held(held, dataset))
    for name in measured:
        dataset.delete(name)
    for name in names:
        if name == layout.ROSTER:
            mark_deleted(held.version.store, today)
        held.version.store.delete(name)
    return len(names) + len(measured)


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
        data = (json.dumps(emptied.to_dict(), indent=1, sort_keys=True) + "\n").encode()
        if not lora.store.swap(name, current, data):
            raise IntegrityError(f"{lora.store.url}/{name}: has changed meanwhile; run this again")
    for file in names:
        lora.store.delete(file)
    return len(names)
