"""lineage.json of a release: written once before its plan, and the same at every later run."""

from __future__ import annotations

import json

from factory.errors import Conflict, PlanError
from factory.provenance.lineage import Lineage, read_lineage
from factory.shards import layout
from factory.shots.plan import first_difference
from factory.store import Store


def put_lineage(store: Store, lineage: Lineage, key: str = "release.version") -> None:
    """Write a lineage; raises PlanError where another one is there. `key` names what it is of."""
    try:
        store.put_once(layout.LINEAGE, lineage.to_json())
    except Conflict:
        refuse_other_lineage(store, lineage, key)
        raise


def refuse_other_lineage(store: Store, lineage: Lineage, key: str = "release.version") -> None:
    """Raise PlanError where what is there was begun with other licenses, credits or networks.

    Of what an older factory began nothing is known, and nothing is refused.
    """
    there = read_lineage(store)
    if there is None:
        return
    wanted, planned = (json.loads(one.to_json()) for one in (lineage, there))
    difference = first_difference(_by_name(wanted), _by_name(planned))
    if difference:
        raise PlanError(
            f"{key}: {store.url} was begun with another lineage ({difference}); choose another "
            "version, or the licenses and networks it was begun with"
        )


def _by_name(body: dict[str, object]) -> dict[str, object]:
    """Lists as dictionaries, so that a difference names the record."""
    return {
        name: _entries(value) if isinstance(value, list) else value for name, value in body.items()
    }


def _entries(records: list[dict[str, object]]) -> dict[str, object]:
    return {
        f"{number} ({record['role']})": {
            key: _entries(value) if key == "learned_from" and isinstance(value, list) else value
            for key, value in record.items()
        }
        for number, record in enumerate(records)
    }
