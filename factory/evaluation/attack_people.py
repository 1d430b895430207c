"""Who is compared: people that a generator learned from, and people of the same source held out.

The split of a source is by the order of names, so the two sides may differ by more than having been
learned from; what an attack finds is read against scores that never ask the generator
(attack_scores.py). Shapes: N images, P people.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.config import AttackConfig, SourceConfig
from factory.errors import ConfigError, SourceError
from factory.provenance.lineage import SourceRecord
from factory.seeds import stream_seed
from factory.sources import FaceSource, SourceFace, open_source, read_ahead, subset
from factory.sources.base import first_heldout

MIN_PEOPLE = 2
"""Fewest people of a side."""


@dataclass(frozen=True)
class AttackedPeople:
    """Chosen images of both sides, those of members first."""

    images_NHWC: np.ndarray
    """RGB uint8."""
    person_N: np.ndarray
    """People numbered from 0, members first."""
    num_members: int
    num_people: int

    @property
    def is_member_N(self) -> np.ndarray:
        """Of which images the person is a member."""
        return np.asarray(self.person_N < self.num_members)

    def images_of(self, person: int) -> np.ndarray:
        """Rows of a person's images."""
        return np.flatnonzero(self.person_N == person)


def open_sides(config: SourceConfig) -> tuple[FaceSource, FaceSource]:
    """(members, held-out people) of a source; raises ConfigError where nobody is held out."""
    source = open_source(config)
    if config.heldout is not None:
        return source, open_source(config.other)
    if not config.holdout_identities:
        raise ConfigError(
            "source.holdout_identities: got 0; an attack compares people that the generator "
            "learned from with people of the same source that it did not, want the number that it "
            "was trained with, or others by source.heldout"
        )
    first = first_heldout(config.holdout_identities, len(source.names))
    return subset(source, 0, first), subset(source, first, len(source.names))


def is_learned_from(records: list[SourceRecord], members: FaceSource) -> bool | None:
    """Whether a network's own records name the members' faces; None where it has none."""
    if not records:
        return None
    return any(record.fingerprint == members.fingerprint for record in records)


def choose_people(members: FaceSource, heldout: FaceSource, config: AttackConfig) -> AttackedPeople:
    """Some people of each side and some images of each, by config.seed.

    Raises SourceError for too few people, and for an image that is on both sides.
    """
    sides = [_chosen(side, name, config) for side, name in ((members, "in"), (heldout, "out"))]
    for key, (_, people) in zip(("members", "held-out people"), sides, strict=True):
        if len(np.unique(people)) < MIN_PEOPLE:
            raise SourceError(
                f"source: {len(np.unique(people))} {key} with readable images; an attack wants at "
                f"least {MIN_PEOPLE} on each side"
            )
    both = {image.tobytes() for image in sides[0][0]} & {image.tobytes() for image in sides[1][0]}
    if both:
        raise SourceError(
            f"source.heldout: {len(both)} images are among the members' too; want other people"
        )
    numbered = [np.unique(people, return_inverse=True) for _, people in sides]
    num_members = len(numbered[0][0])
    return AttackedPeople(
        np.concatenate([np.stack(images) for images, _ in sides]),
        np.concatenate([numbered[0][1], numbered[1][1] + num_members]),
        num_members,
        num_members + len(numbered[1][0]),
    )


def _chosen(
    source: FaceSource, side: str, config: AttackConfig
) -> tuple[list[np.ndarray], np.ndarray]:
    """Images and labels of some people of one side; unreadable images are passed over."""
    rng = np.random.Generator(np.random.Philox(stream_seed("attack", config.seed, side)))
    labels, rows = np.asarray(source.labels), list[int]()
    people = rng.permutation(len(source.names))[: config.num_people]
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(len(source.names) + 1))
    for person in sorted(people.tolist()):
        own = order[starts[person] : starts[person + 1]]
        rows += sorted(rng.permutation(own)[: config.images_per_person].tolist())
    faces = [face for face in read_ahead(source, rows) if isinstance(face, SourceFace)]
    return [face.image_HWC for face in faces], np.array([face.label for face in faces])
