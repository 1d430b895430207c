"""Records from several places as one list, in which each network and set of faces is once.

Of two records of one network that counts which tells what the network learned from, then that which
states a license; of two that are as good the first, with both licenses where they differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from factory.provenance.licenses import join
from factory.provenance.lineage import UNKNOWN, NetworkRecord, SourceRecord


def each_once(records: Iterable[NetworkRecord]) -> list[NetworkRecord]:
    """Records by digest, in the order in which the digests come first."""
    found: dict[str, NetworkRecord] = {}
    for record in records:
        there = found.get(record.sha256)
        found[record.sha256] = record if there is None else better(there, record)
    return list(found.values())


def better(first: NetworkRecord, second: NetworkRecord) -> NetworkRecord:
    """What is known of one network by two records of it."""
    if _rank(first) != _rank(second):
        return max(first, second, key=_rank)
    if first.license == second.license:
        return first
    return replace(first, license=join(one for one in (first.license, second.license) if one))


def faces_once(records: Iterable[SourceRecord]) -> list[SourceRecord]:
    """Sets of faces in their order, equal records once."""
    found: list[SourceRecord] = []
    for record in records:
        if record not in found:
            found.append(record)
    return found


def _rank(record: NetworkRecord) -> tuple[bool, bool]:
    return record.is_told, record.license not in ("", UNKNOWN)
