"""The record of who makes a release now (execution/driver_lease.py keeps it up)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from factory.records import BadNode
from factory.shards import layout
from factory.store import Store


@dataclass(frozen=True)
class DriverRecord:
    """Who drives a release, and what is known of its processes."""

    driver: str
    """A name that no other driver has."""
    where: str
    """Host and process, for people."""
    process: str
    """The process, told from every other one of its machine; '' where that cannot be told."""
    since: str
    beat: int = 0
    ended: bool = False
    actor_s: float = 0.0
    """Seconds of actors, those of earlier drivers included."""
    bad_nodes: tuple[BadNode, ...] = ()

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=1, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes) -> DriverRecord:
        body: dict[str, Any] = json.loads(data)
        return cls(**body | {"bad_nodes": tuple(BadNode(**bad) for bad in body["bad_nodes"])})


def read_driver(store: Store) -> DriverRecord | None:
    """The record of a release's driver, or None where there is none."""
    try:
        return DriverRecord.from_json(store.get(layout.DRIVER))
    except FileNotFoundError:
        return None
