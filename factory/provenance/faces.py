"""What a source of faces is in a lineage, and whether real people are in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from factory.config import SourceConfig
from factory.config.addresses import in_bucket, on_hub
from factory.errors import ConfigError
from factory.provenance.consent import consent_facts
from factory.provenance.effective import AVOIDED, ONLY_LOOK, effective, sources_of
from factory.provenance.licenses import OTHER, find, join
from factory.provenance.lineage import HEAD_MODEL, UNKNOWN, Lineage, SourceRecord, is_rendered
from factory.sources.hub_source import commit_of, license_on_card
from factory.sources.tar_set import lineage_of, release_of

STARTER_LICENSE = "Apache-2.0"
"""Of the rendered pack, as of all of the package."""
STARTER_CREDIT = "head shapes: ICT-FaceKit, USC Institute for Creative Technologies, MIT"
HEAD_MODEL_LICENSE = "MIT"
WITHOUT_PEOPLE = ("starter", "rendered")
"""Kinds of a source whose people are rendered, so that nobody in them exists."""


def holds_real_people(config: SourceConfig) -> bool:
    """Whether photographs of people who exist are among the faces of a source.

    As source.real_people says; where it does not, everything but the rendered pack in the package
    and releases that hold nobody real.
    """
    if config.real_people is not None:
        return config.real_people
    if config.kind in WITHOUT_PEOPLE:
        return False
    origin = release_of(config)
    return origin is None or bool(origin["holds_real_identities"])


def descends_from_real(config: SourceConfig) -> bool:
    """Whether a source is a release that descends from images of people who exist.

    It does where any of its sources or of what its networks learned from holds or descends from
    them, and is taken to where that is not told of all of these. Only a gallery does not count.
    """
    if release_of(config) is None:
        return False
    sealed = lineage_of(config)
    if sealed is None:  # of an older factory
        return True
    lineage = Lineage.from_json(sealed)
    drawing = [one for one in lineage.networks if one.role not in ONLY_LOOK]
    knows_makers = bool(drawing) or is_rendered(lineage.sources)
    return not (knows_makers and all(one.is_told for one in drawing)) or any(
        one.real_people or one.descends_from_real
        for one in sources_of(lineage)
        if one.role != AVOIDED
    )


def source_record(
    config: SourceConfig, faces: Any, role: str = "source", labels: np.ndarray | None = None
) -> SourceRecord:
    """The record of a source that is open: `faces` has fingerprint, labels and a length.

    `labels` are those of the images that are used; None: of all that are in `faces`.
    """
    origin = release_of(config)
    used = faces.labels if labels is None else labels
    license, attribution = _rights(config)
    consent, ledger_sha256 = consent_facts(config, faces.names)
    return SourceRecord(
        kind=config.kind,
        fingerprint=faces.fingerprint,
        num_images=len(used),
        num_people=len(np.unique(used)),
        real_people=holds_real_people(config),
        license=license,
        attribution=attribution,
        release=f"{origin['dataset']} {origin['version']}" if origin else "",
        role=role,
        consent=consent,
        consent_sha256=ledger_sha256,
        descends_from_real=descends_from_real(config),
        commit=commit_of(config),
    )


def head_model_record(sha256: str) -> SourceRecord:
    """The head model of rendered people: shapes of heads, and nobody's image."""
    return SourceRecord(
        kind=HEAD_MODEL,
        fingerprint=sha256,
        num_images=0,
        num_people=0,
        real_people=False,
        license=HEAD_MODEL_LICENSE,
        attribution=STARTER_CREDIT,
        role=HEAD_MODEL,
    )


def require_license(config: SourceConfig, key: str = "source") -> None:
    """Raise ConfigError where nobody has stated the license of images that do not bring their own.

    `key` is the dotted key of the source. What is not there at all is for its reader to say.
    """
    if config.license is not None:
        find(config.license, f"{key}.license")
    elif config.kind not in WITHOUT_PEOPLE and _is_there(config) and release_of(config) is None:
        raise ConfigError(
            f"{key}.license: nothing given for {config.path}; want the license of its images, an "
            "SPDX id such as CC-BY-4.0, or permissive, attribution, share-alike, non-commercial, "
            "research-only or unknown (which lets nothing be released but as other or unknown)"
            + _told_by_card(config, key)
        )


def _told_by_card(config: SourceConfig, key: str) -> str:
    """What the card of a dataset of the hub says of its license, for its reader to confirm."""
    if not on_hub(config.path or ""):
        return ""
    stated = license_on_card(config)
    return f"; its card says {stated}: set {key}.license={stated} if it is so" if stated else ""


def _is_there(config: SourceConfig) -> bool:
    path = config.path or ""
    return in_bucket(path) or on_hub(path) or Path(path).exists()


def _rights(config: SourceConfig) -> tuple[str, str]:
    """License and credits: those that the config tells, and those that the faces bring."""
    told = ([config.license] if config.license else [], [config.attribution or ""])
    brought, credits = _brought(config)
    license = join([*brought, *told[0]]) if brought or told[0] else UNKNOWN
    return license, "; ".join(dict.fromkeys(text for text in [*credits, *told[1]] if text))


def _brought(config: SourceConfig) -> tuple[list[str], list[str]]:
    """Licenses and credits of faces that were made by this factory or lie in its package."""
    if config.kind in WITHOUT_PEOPLE:
        return [STARTER_LICENSE], [STARTER_CREDIT]
    if release_of(config) is None:
        return [], []
    sealed = lineage_of(config)
    if sealed is None:  # of an older factory
        return [] if config.license else [UNKNOWN], []
    lineage = Lineage.from_json(sealed)
    whole = effective(lineage)
    stated = lineage.license or OTHER
    if stated == OTHER and config.license:  # by whom may grant it
        return [whole.license], list(whole.attributions)
    return [whole.license, stated], list(whole.attributions)
