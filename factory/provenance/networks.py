"""Records of networks: of one that is being saved, and of those that a config names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from factory import checkpoint
from factory.config import Config
from factory.errors import FactoryError
from factory.provenance.lineage import (
    NetworkRecord,
    SourceRecord,
    networks_from_list,
    networks_to_list,
)


def provenance(
    config: Config, role: str, learned_from: Sequence[SourceRecord], trained_with: dict[str, str]
) -> list[dict[str, Any]]:
    """The records of checkpoint.json: of the network itself first, then of all its ancestors.

    Its own sha256 is filled in where it is saved. Ancestors are found among the checkpoints that
    the config names; of one that is not there, nothing but its digest is told.
    """
    own = NetworkRecord(role, "", tuple(learned_from), dict(trained_with))
    return networks_to_list([own, *ancestors(config, trained_with)])


def ancestors(config: Config, trained_with: dict[str, str]) -> list[NetworkRecord]:
    """Records of the networks with these digests and of theirs, each once."""
    named = {sha256: records for sha256, records in _named(config)}
    found: dict[str, NetworkRecord] = {}
    for role, sha256 in trained_with.items():
        for network in named.get(sha256) or [NetworkRecord(role, sha256, is_told=False)]:
            found.setdefault(network.sha256, network)
    return list(found.values())


def records_of(metadata: dict[str, Any]) -> list[NetworkRecord]:
    """The records in a checkpoint.json; of one without them, what can be told: its digests."""
    if metadata.get("provenance"):
        return list(networks_from_list(metadata["provenance"]))
    kind, trained_with = metadata["kind"], dict(metadata["lineage"])
    own = NetworkRecord(kind, metadata["sha256"], (), trained_with, is_told=False)
    return [own, *(NetworkRecord(role, s, is_told=False) for role, s in trained_with.items())]


def _named(config: Config) -> Iterator[tuple[str, list[NetworkRecord]]]:
    """Digest and records of every checkpoint of ours that a config names."""
    for name in _checkpoints(config):
        try:
            metadata = checkpoint.any_metadata(name)
        except (FactoryError, OSError):
            continue  # whoever needs it says what is wrong with it
        if metadata:
            yield metadata["sha256"], records_of(metadata)


def _checkpoints(section: Any) -> Iterator[str]:
    """Every value of a field that names a checkpoint, in all sections of a config."""
    for item in fields(section):
        value = getattr(section, item.name)
        if is_dataclass(value) and not isinstance(value, type):
            yield from _checkpoints(value)
        elif item.metadata.get("path") and isinstance(value, str) and value:
            yield value
