"""Who is compared: people that a generator learned from, and people of the same source held out.

The split of a source is by the order of names, so the two sides may differ by more than having been
learned from; what an attack finds is read against scores that never ask the generator
(attack_scores.py). Shapes: N images, P people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, starmap

import numpy as np

from factory.config import AttackConfig, SourceConfig
from factory.errors import ConfigError, SourceError
from factory.evaluation.metrics.attack import Membership
from factory.provenance.carriers import span_of
from factory.provenance.lineage import NetworkRecord
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
    if not config.holds_out:
        raise ConfigError(
            "source.holdout_identities: got 0; an attack compares people that the generator "
            "learned from with people of the same source that it did not, want the number that it "
            "was trained with (or source.holdout_fraction), or others by source.heldout"
        )
    first = first_heldout(config.num_heldout(len(source.names)), len(source.names))
    return subset(source, 0, first), subset(source, first, len(source.names))


def refuse_learned(records: Sequence[NetworkRecord], heldout: FaceSource) -> None:
    """Raise ConfigError where a generator, or one that it began with, learned from held-out people.

    `records` are the generator's own and those of all its ancestors.
    """
    apart = range(*_places(heldout))
    for record in _generators(records):
        learned = set(apart).intersection(chain(*starmap(range, _learned(record, heldout))))
        if learned:
            raise ConfigError(
                f"generator.checkpoint: generator {record.sha256[:12]} learned from {len(learned)} "
                f"of {len(apart)} people held out; want source.holdout_identities as it and those "
                "it began with were trained, or others by source.heldout"
            )


def membership_of(records: Sequence[NetworkRecord], members: FaceSource) -> Membership:
    """What records of a generator and its ancestors tell of whether it learned from the members.

    They contradict where they do not hold all of them, and tell too little where what one of the
    generators learned from is not known.
    """
    generators = _generators(records)
    if not all(record.is_told and record.learned_from for record in generators):
        return "unrecorded"
    place, stop = _places(members)
    for first, end in sorted(span for one in generators for span in _learned(one, members)):
        if first <= place:
            place = max(place, end)
    return "recorded" if place >= stop else "contradicted"


def _generators(records: Sequence[NetworkRecord]) -> list[NetworkRecord]:
    """Of a generator and those that it began with (start, where no more is known of one)."""
    return [record for record in records if record.role in ("generator", "start")]


def _places(faces: FaceSource) -> tuple[int, int]:
    """Which people of a whole set these are: first, stop."""
    first = int(span_of(faces.fingerprint)[1])
    return first, first + len(faces.names)


def _learned(record: NetworkRecord, faces: FaceSource) -> list[tuple[int, int]]:
    """Which people of the set of these faces it learned from: first, stop of each part."""
    whole, _, _ = span_of(faces.fingerprint)
    spans = [span_of(one.fingerprint) for one in record.learned_from]
    last = _places(faces)[1]
    return [(int(first), int(min(last, stop))) for of, first, stop in spans if of == whole]


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
