"""What a source of faces is in a lineage, and whether real people are in it."""

from __future__ import annotations

from typing import Any

from factory.config import SourceConfig
from factory.provenance.consent import consent_facts
from factory.provenance.lineage import UNKNOWN, SourceRecord
from factory.sources.tar_set import release_of


def holds_real_people(config: SourceConfig) -> bool:
    """Whether photographs of people who exist are among the faces of a source.

    As source.real_people says; where it does not, everything but the rendered pack in the package
    and releases that hold nobody real.
    """
    if config.real_people is not None:
        return config.real_people
    if config.kind == "starter":
        return False
    origin = release_of(config)
    return origin is None or bool(origin["holds_real_identities"])


def source_record(config: SourceConfig, faces: Any, role: str = "source") -> SourceRecord:
    """The record of a source that is open: `faces` has fingerprint, names and a length."""
    origin = release_of(config)
    consent, ledger_sha256 = consent_facts(config, faces.names)
    return SourceRecord(
        kind=config.kind,
        fingerprint=faces.fingerprint,
        num_images=len(faces),
        num_people=len(faces.names),
        real_people=holds_real_people(config),
        license=config.license or UNKNOWN,
        attribution=config.attribution or "",
        release=f"{origin['dataset']} {origin['version']}" if origin else "",
        role=role,
        consent=consent,
        consent_sha256=ledger_sha256,
    )
