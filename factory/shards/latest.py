"""latest.json: which version of a dataset is the newest that is published.

It never goes back. Versions that differ in numbers alone (0.9 and 0.10, v2-large and v10-large) and
versions of numbers alone (1.0 and 1.0.1) are ordered by their numbers. All others (1.0-rc1 and 1.0)
are ordered by when their plans were written, as the store says.
"""

from __future__ import annotations

import json
import re

from factory.errors import IntegrityError
from factory.provenance.withdrawn import WITHDRAWN
from factory.shards import layout
from factory.shots.plan import Plan
from factory.store import Store

LATEST = "latest.json"
ATTEMPTS = 100
NUMBERS_ALONE = re.compile(r"v?\d+([._-]\d+)*")


def point_latest(dataset: Store, plan: Plan) -> str | None:
    """Swap <dataset>/latest.json to this release by compare-and-set, unless a newer one is there.

    Returns the version that it goes on pointing at, None where it points at this release now.
    """
    version = plan.request.release.version
    body = {"version": version, "plan_hash": plan.hash, "path": layout.release_path(version)}
    data = (json.dumps(body, indent=1, allow_nan=False) + "\n").encode()
    for _ in range(ATTEMPTS):
        current = dataset.get(LATEST) if dataset.exists(LATEST) else None
        pointed_at = _version(current)
        if pointed_at is not None and _is_newer(dataset, pointed_at, version):
            return pointed_at
        if dataset.swap(LATEST, current, data):
            return None
    raise IntegrityError(
        f"{LATEST}: was changed by another process a hundred times; find out which"
    )


def by_numbers(first: str, second: str) -> int | None:
    """Below 0 where `first` is older, above where it is newer; None where numbers do not say."""
    (first_texts, first_numbers), (second_texts, second_numbers) = _parts(first), _parts(second)
    alone = NUMBERS_ALONE.fullmatch(first) and NUMBERS_ALONE.fullmatch(second)
    if not alone and first_texts != second_texts:
        return None
    return (first_numbers > second_numbers) - (first_numbers < second_numbers)


def _parts(version: str) -> tuple[list[str], list[int]]:
    """What stands between the numbers of a version, and the numbers."""
    parts = re.split(r"(\d+)", version)
    return parts[::2], [int(number) for number in parts[1::2]]


def _version(current: bytes | None) -> str | None:
    """The version that a latest.json names; None where it names none."""
    try:
        return str(json.loads(current or b"{}")["version"])
    except (ValueError, KeyError, TypeError):
        return None


def _is_newer(dataset: Store, other: str, version: str) -> bool:
    """Whether the other version is newer than this one, still there, and not withdrawn."""
    other_at, version_at = (_planned_at(dataset, name) for name in (other, version))
    if other == version or other_at is None or _is_withdrawn(dataset, other):
        return False
    order = by_numbers(other, version)
    return order > 0 if order else other_at > (version_at or 0.0)


def _is_withdrawn(dataset: Store, version: str) -> bool:
    return dataset.exists(f"{layout.release_path(version)}/{WITHDRAWN}")


def _planned_at(dataset: Store, version: str) -> float | None:
    """When the plan of a version was written, by the store's clock; None where it is gone."""
    entries = dataset.entries(f"{layout.release_path(version)}/{layout.PLAN}")
    return entries[0].modified_at if entries else None
