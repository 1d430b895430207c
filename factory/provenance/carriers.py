"""Which networks carry what they learned from a person, and what training them again takes.

A network carries somebody whose images it learned from, and so does every network that was trained
with such a one. They are known by the records in checkpoints and in lineages of releases.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any

from factory.provenance.lineage import NetworkRecord, SourceRecord
from factory.provenance.merging import better
from factory.provenance.networks import records_of
from factory.store import open_url

SUBSET = re.compile(r"(.*)\[(\d+):(\d+)\]")
CHECKPOINT = "checkpoint.json"


@dataclass(frozen=True)
class Sources:
    """Sets of faces that a person is in."""

    labels: Mapping[str, int | None]
    """Place of the person among the people of a set, by its fingerprint; None: not known."""
    releases: Collection[str] = ()
    """`dataset version` of releases that hold them."""

    def hold(self, record: SourceRecord) -> bool:
        """Whether the person is in a set that was learned from.

        Of a part of a set whose place for the person is not known, it is taken to be so.
        """
        if record.release and record.release in self.releases:
            return True
        whole, parts = whole_of(record.fingerprint)
        for fingerprint, label in self.labels.items():
            known, offsets = whole_of(fingerprint)
            if known != whole:
                continue
            place = None if label is None else label + sum(start for start, _ in offsets)
            if place is None or _is_in(place, parts):
                return True
        return False


@dataclass(frozen=True)
class Network:
    """A network that is at hand, or that a lineage tells of."""

    record: NetworkRecord
    where: str
    names: frozenset[str] = field(default=frozenset(), repr=False)
    """People it has a class for (recognizers)."""
    hours: float | None = None
    """What its training took; None: not known."""
    is_here: bool = True
    """False: a lineage tells of it."""


def whole_of(fingerprint: str) -> tuple[str, list[tuple[int, int]]]:
    """The fingerprint of a whole set and the parts taken of it, the first taken first."""
    parts: list[tuple[int, int]] = []
    while match := SUBSET.fullmatch(fingerprint):
        fingerprint = match[1]
        parts.insert(0, (int(match[2]), int(match[3])))
    return fingerprint, parts


def span_of(fingerprint: str) -> tuple[str, float, float]:
    """The fingerprint of a whole set, and which of its people a part of it holds: first, stop.

    The stop is infinite where these are all from the first on.
    """
    whole, parts = whole_of(fingerprint)
    start, end = 0.0, math.inf
    for first, stop in parts:
        start, end = start + first, min(end, start + stop)
    return whole, start, end


def is_part_of(fingerprint: str, other: str) -> bool:
    """Whether everybody in a set or part of one is in another too, by their fingerprints."""
    (whole, start, stop), (other_whole, other_start, other_stop) = map(
        span_of, (fingerprint, other)
    )
    return whole == other_whole and other_start <= start and stop <= other_stop


def networks_below(address: str, settings: Iterable[str] = ()) -> list[Network]:
    """Every checkpoint in a folder, or below an address, and the ancestors that these tell of."""
    store, found = open_url(address, list(settings)), []
    for name in store.list(""):
        if PurePath(name).name != CHECKPOINT:
            continue
        metadata = json.loads(store.get(name))
        if not {"kind", "sha256", "lineage"} <= set(metadata):
            continue
        own, *others = records_of(metadata)
        folder = f"{store.url}/{PurePath(name).parent}"
        names = frozenset(metadata["config"].get("real_names") or ())
        found.append(Network(own, folder, names, _hours(metadata)))
        found += told_of(others, folder)
    return found


def told_of(records: Iterable[NetworkRecord], where: str) -> list[Network]:
    """Networks that a lineage tells of."""
    return [Network(record, f"told by {where}", is_here=False) for record in records]


def carriers(
    networks: Iterable[Network], sources: Sources, names: Collection[str]
) -> list[Network]:
    """Networks that carry a person, each once, in the order in which they would be trained again.

    `names` are what the person is called.
    """
    known = _each_once(networks)
    found = {
        sha256
        for sha256, network in known.items()
        if network.names & set(names) or any(map(sources.hold, network.record.learned_from))
    }
    while more := {
        sha256
        for sha256, network in known.items()
        if sha256 not in found and found & set(network.record.trained_with.values())
    }:
        found |= more
    return _in_order({sha256: known[sha256] for sha256 in sorted(found)})


def cost_lines(carrying: list[Network]) -> list[str]:
    """A line for each network and one for all: hours of training again, one after the other."""
    lines = [
        f"{number}. {network.record.role} {network.record.sha256[:12]} ({network.where}): "
        + ("hours not known" if network.hours is None else f"{network.hours:.2f} h")
        for number, network in enumerate(carrying, start=1)
    ]
    known = [network.hours for network in carrying if network.hours is not None]
    unknown = len(carrying) - len(known)
    beside = f", and {unknown} whose hours are not known" if unknown else ""
    return [*lines, f"training them again in this order: {sum(known):.2f} h{beside}"]


def _hours(metadata: dict[str, Any]) -> float | None:
    metrics = metadata.get("metrics", {})
    hours = metrics.get("hours", metrics.get("train", {}).get("hours"))  # as recognizers keep it
    return float(hours) if isinstance(hours, int | float) else None


def _is_in(place: int, parts: list[tuple[int, int]]) -> bool:
    for start, stop in parts:
        if not start <= place < stop:
            return False
        place -= start
    return True


def _each_once(networks: Iterable[Network]) -> dict[str, Network]:
    """By digest: those at hand first, with what any record tells of what they learned from."""
    known: dict[str, Network] = {}
    for network in sorted(networks, key=lambda one: not one.is_here):
        there = known.setdefault(network.record.sha256, network)
        record = better(there.record, network.record)
        known[network.record.sha256] = replace(there, record=record)
    return known


def _in_order(found: dict[str, Network]) -> list[Network]:
    """Each after those it was trained with."""
    ordered: dict[str, Network] = {}
    seen: set[str] = set()

    def put(sha256: str) -> None:
        if sha256 in found and sha256 not in seen:
            seen.add(sha256)
            for other in sorted(found[sha256].record.trained_with.values()):
                put(other)
            ordered[sha256] = found[sha256]

    for sha256 in found:
        put(sha256)
    return list(ordered.values())
