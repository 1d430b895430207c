"""lineage.json of a release: written once before its plan, and held to until it is published."""

from __future__ import annotations

import json
from typing import Any

from factory.errors import Conflict, PlanError
from factory.provenance.lineage import Lineage, read_lineage
from factory.shards import layout
from factory.shots.plan import first_difference
from factory.store import Store

CONSENT = ("consent", "consent_sha256")
"""Fields of a record of faces that are told by a ledger of consent."""


def put_lineage(store: Store, lineage: Lineage, key: str = "release.version") -> None:
    """Write a lineage, or keep the one that is there; raises PlanError where that is another.

    `key` names what it is of.
    """
    try:
        store.put_once(layout.LINEAGE, lineage.to_json())
    except Conflict:
        refuse_other_lineage(store, lineage, key)


def refuse_other_lineage(store: Store, lineage: Lineage, key: str = "release.version") -> None:
    """Raise PlanError where what is there was begun with other licenses, credits or networks."""
    if difference := _difference(store, lineage):
        raise PlanError(
            f"{key}: {store.url} was begun with another lineage ({difference}); choose another "
            "version, or the licenses and networks it was begun with"
        )


def what_stays(store: Store, lineage: Lineage) -> str:
    """What of a published lineage is asked otherwise, as words that go on; empty for nothing."""
    difference = _difference(store, lineage)
    return f", and its {layout.LINEAGE} stays ({difference})" if difference else ""


def _difference(store: Store, lineage: Lineage) -> str | None:
    """How a lineage differs from the one that is there, as `first_difference` says it.

    What a ledger of consent told is left out, because people renew their consent; what the first
    run was told stays. Of what an older factory began nothing is known, and nothing differs.
    """
    there = read_lineage(store)
    if there is None:
        return None
    wanted, planned = (json.loads(one.to_json()) for one in (lineage, there))
    return first_difference(_by_name(wanted), _by_name(planned))


def _by_name(body: dict[str, object]) -> dict[str, object]:
    """Lists as dictionaries, so that a difference names the record."""
    return {
        name: _entries(value) if isinstance(value, list) else value for name, value in body.items()
    }


def _entries(records: list[dict[str, Any]]) -> dict[str, object]:
    return {
        f"{number} ({record['role']})": {
            key: _entries(value) if key == "learned_from" else value
            for key, value in record.items()
            if key not in CONSENT
        }
        for number, record in enumerate(records)
    }
