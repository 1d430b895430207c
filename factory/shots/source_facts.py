"""The source of a release against the one that was planned with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

from factory.config import SourceConfig, as_dict
from factory.errors import IntegrityError
from factory.identities.private_people import NOBODY
from factory.shots.plan import first_difference
from factory.shots.request import PeopleFacts, SourceFacts, SourceRelease
from factory.sources import FaceSource
from factory.sources.alignment_facts import alignment_facts
from factory.sources.tar_set import release_of

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
    """The facts wanted, without a difference from the planned ones that decides nothing.

    A plan that aligns nothing was only written because every image had the size of the faces, so
    how others would be aligned is as it says. Older plans do not say how faces were aligned; where
    nothing is, or nothing but what is so by default, these facts do not either.
    """
    asked, there = wanted.alignment, planned.alignment
    if asked is None or (there is None and asked.aligns and not asked.aligns_by_default):
        return wanted
    if there is not None and there.aligns:
        return replace(wanted, alignment=asked)
    if there is not None:
        there = replace(there, max_pixels=asked.max_pixels, background=asked.background)
    return replace(wanted, alignment=there)


@dataclass(frozen=True)
class Remaining:
    """Who is left of a source, by a roster that people withdrew from."""

    labels: tuple[int, ...]
    """Of the roster's people in a source; -1 for one whom it has not."""
    num_withdrawn: int


def refuse_other_source(
    config: SourceConfig,
    source: FaceSource,
    planned: SourceFacts,
    remaining: Remaining | None = None,
) -> None:
    """Raise IntegrityError unless the source has the planned faces, aligned in the planned way.

    A source without those who withdrew passes for it: `remaining` are the others.
    """
    if source.fingerprint != planned.fingerprint:
        if remaining is None or not _lacks_only_withdrawn(source, planned, remaining):
            without = " or, without those alone who withdrew, what is left of it"
            raise IntegrityError(
                "source.path: holds other faces than the release was planned with; use that source"
                f"{without if remaining else ''}"
            )
    aligned = alignment_facts(config) if planned.alignment else None  # older plans do not say
    actual = as_planned(replace(planned, image_px=config.image_px, alignment=aligned), planned)
    difference = first_difference(as_dict(actual), as_dict(planned), "source")
    if difference:
        raise IntegrityError(f"{difference}; want the source as the release was planned with")


def _lacks_only_withdrawn(source: FaceSource, planned: SourceFacts, remaining: Remaining) -> bool:
    """Whether a source is the planned one without some of those who withdrew.

    By the people of the roster, how many people it has, and that images of theirs are gone: the
    fingerprint of the whole says nothing of a part.
    """
    gone = planned.num_identities - len(source.names)
    lacks = 1 <= gone <= remaining.num_withdrawn and NOBODY not in remaining.labels
    return lacks and len(source) <= planned.num_images - gone
