"""Records of networks: of one that is being saved, and of those that a config names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from factory import checkpoint
from factory.config import CheckpointConfig, Config
from factory.errors import ConfigError, FactoryError
from factory.provenance.licenses import find
from factory.provenance.lineage import (
    UNKNOWN,
    NetworkRecord,
    SourceRecord,
    networks_from_list,
    networks_to_list,
    untold_networks,
)
from factory.provenance.merging import each_once

NAMED_AT = {
    "recognizer": ["recognizer.checkpoint"],
    "autoencoder": ["autoencoder.checkpoint"],
    "generator": ["generator.checkpoint"],
    "turns": ["turns.checkpoint"],
    "start": ["generator.init_from", "autoencoder.init_from"],
    "teacher": ["distillation.teacher"],
    "editor": ["editing.checkpoint"],
    "backbone": ["recognizer.checkpoint"],
}
"""Keys of a config that may name the checkpoint of a role."""


def provenance(
    config: Config,
    role: str,
    learned_from: Sequence[SourceRecord],
    trained_with: dict[str, str],
    known: Sequence[NetworkRecord] = (),
) -> list[dict[str, Any]]:
    """The records of checkpoint.json: of the network itself first, then of all its ancestors.

    Its own sha256 is filled in where it is saved. Ancestors are found among `known` and the
    checkpoints that the config names; of one that is not there, only its digest is stated.
    """
    own = NetworkRecord(role, "", tuple(learned_from), dict(trained_with))
    return networks_to_list([own, *ancestors(config, trained_with, known)])


def ancestors(
    config: Config, trained_with: Mapping[str, str], known: Sequence[NetworkRecord] = ()
) -> list[NetworkRecord]:
    """Records of the networks with these digests, by role, and of theirs, each once.

    Of several records of one network the better counts (`merging.each_once`).
    """
    records = [
        record for role, digest in trained_with.items() for record in _at(config, role, digest)
    ]
    return each_once([*known, *records, *untold_networks(trained_with)])


def of_somebody_else(role: str, sha256: str, stated: CheckpointConfig) -> NetworkRecord:
    """The record of weights that were not trained here, with what the config tells of them."""
    license, attribution = stated.license or UNKNOWN, stated.attribution or ""
    return NetworkRecord(role, sha256, license=license, is_told=False, attribution=attribution)


def require_weights_license(stated: CheckpointConfig, what: str) -> None:
    """Raise ConfigError where nobody has stated the license of weights of somebody else.

    `what` is the setting that names them.
    """
    if stated.license is None:
        raise ConfigError(
            f"checkpoint.license: nothing given for {what}; want the license of its weights: an "
            "SPDX id, a name of the hub such as creativeml-openrail-m, or permissive, attribution, "
            "share-alike, non-commercial, research-only or unknown"
        )
    find(stated.license, "checkpoint.license")


def records_of(metadata: dict[str, Any]) -> list[NetworkRecord]:
    """The records in a checkpoint.json; of one without them, what can be told: its digests."""
    try:
        if metadata.get("provenance"):
            return list(networks_from_list(metadata["provenance"]))
    except (TypeError, KeyError, AttributeError):
        pass  # of a newer factory: what it tells more is not understood
    kind, trained_with = metadata["kind"], dict(metadata["lineage"])
    own = NetworkRecord(kind, metadata["sha256"], (), trained_with, is_told=False)
    return [own, *untold_networks(trained_with)]


def _at(config: Config, role: str, sha256: str) -> list[NetworkRecord]:
    """The records in the checkpoint that a config names for a role, if it has this digest."""
    for key in NAMED_AT.get(role, []):
        section, _, name = key.partition(".")
        address = getattr(getattr(config, section), name)
        try:
            metadata = checkpoint.any_metadata(address) if address else None
        except FactoryError:
            metadata = None  # whoever needs it says what is wrong with it
        if metadata and metadata["sha256"] == sha256:
            return records_of(metadata)
    return []


def starts_of(records: Sequence[NetworkRecord]) -> list[str]:
    """sha256 of the networks that the first of some records was begun with, nearest first.

    `records` are those of a checkpoint.json: the network's own, then of all its ancestors.
    """
    by_digest = {record.sha256: record for record in records}
    digests: list[str] = []
    record: NetworkRecord | None = next(iter(records), None)
    while record and "start" in record.trained_with:
        digests.append(record.trained_with["start"])
        record = by_digest.get(digests[-1])
    return digests
