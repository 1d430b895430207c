"""The source of a release against the one that was planned with."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from factory.config import SourceConfig, as_dict
from factory.errors import IntegrityError
from factory.shots.plan import first_difference
from factory.shots.request import PeopleFacts, SourceFacts, SourceRelease
from factory.sources import FaceSource
from factory.sources.alignment_facts import alignment_facts
from factory.sources.webdataset import release_of

Facts = TypeVar("Facts", SourceFacts, PeopleFacts)


def source_facts(config: SourceConfig, source: FaceSource) -> SourceFacts:
    """What a plan keeps of the source that a config names and `source` is.

    How it is aligned counts whatever the release's method: it decides the pixels of an edit, and
    for the others the real people whom the gate kept away from.
    """
    origin = release_of(config)
    return SourceFacts(
        kind=config.kind,
        fingerprint=source.fingerprint,
        num_images=len(source),
        num_identities=len(source.names),
        image_px=config.image_px,
        release=SourceRelease(**origin) if origin else None,
        alignment=alignment_facts(config),
    )


def as_planned(wanted: Facts, planned: Facts) -> Facts:
    """The facts wanted, in the form of the planned ones.

    Older plans do not say how faces were aligned. Where nothing is, the facts say nothing of it
    either; where something is, they differ from such a plan.
    """
    aligned = wanted.alignment is not None and wanted.alignment.aligns
    return wanted if aligned or planned.alignment else replace(wanted, alignment=None)


def refuse_other_source(config: SourceConfig, source: FaceSource, planned: SourceFacts) -> None:
    """Raise IntegrityError unless the source has the planned faces, aligned in the planned way."""
    if source.fingerprint != planned.fingerprint:
        raise IntegrityError(
            "source.path: holds other faces than the release was planned with; use that source"
        )
    actual = replace(planned, image_px=config.image_px)
    if planned.alignment is not None:  # older plans do not say
        actual = replace(actual, alignment=alignment_facts(config))
    difference = first_difference(as_dict(actual), as_dict(planned), "source")
    if difference:
        raise IntegrityError(
            f"{difference}; want the source aligned as the release was planned with"
        )
