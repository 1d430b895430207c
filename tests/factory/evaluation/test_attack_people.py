"""Who is compared: sides by the source, people and images by the seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from factory.config import AttackConfig, SourceConfig
from factory.errors import ConfigError, SourceError
from factory.evaluation.attack_people import (
    choose_people,
    membership_of,
    open_sides,
    refuse_learned,
)
from factory.provenance.faces import source_record
from factory.provenance.lineage import NetworkRecord, SourceRecord
from factory.sources import FaceSet, training_faces


def faces(first, counts):
    """Everybody's images have the gray level of their number, which is unique."""
    labels = np.repeat(np.arange(len(counts)), counts)
    levels = first + np.arange(len(labels))
    pixels = np.tile(levels[:, None, None, None], (1, 4, 4, 3)).astype(np.uint8)
    names = [f"p{i}" for i in range(len(counts))]
    return FaceSet(pixels, labels, [str(level) for level in levels], names, [])


def levels(people):
    return people.images_NHWC[:, 0, 0, 0].tolist()


def test_attack_numbers_members_first():
    people = choose_people(faces(0, [2, 1, 3]), faces(100, [1, 2]), AttackConfig())
    assert levels(people) == [0, 1, 2, 3, 4, 5, 100, 101, 102]
    assert people.person_N.tolist() == [0, 0, 1, 2, 2, 2, 3, 4, 4]
    assert (people.num_members, people.num_people) == (3, 5)
    assert people.is_member_N.tolist() == [True] * 6 + [False] * 3
    assert people.images_of(4).tolist() == [7, 8]


def test_attack_draws_some_people_and_images_of_both_sides_by_its_seed():
    members, heldout = faces(0, [5] * 20), faces(120, [4] * 20)
    config = AttackConfig(num_people=6, images_per_person=3)
    people = choose_people(members, heldout, config)
    assert (people.num_members, people.num_people) == (6, 12)
    assert np.bincount(people.person_N).tolist() == [3] * 12
    assert levels(people) == levels(choose_people(members, heldout, config))
    others = choose_people(members, heldout, replace(config, seed=1))
    assert levels(people) != levels(others)
    chosen = {level // 5 for level in levels(people)[:18]}
    assert chosen != set(range(6)), "not the first of them"


def test_an_attack_with_an_image_on_both_sides_is_refused():
    with pytest.raises(SourceError, match=r"source.heldout: 2 images are among the members' too"):
        choose_people(faces(0, [2, 2]), faces(2, [1, 2]), AttackConfig())


def test_an_attack_on_one_person_is_refused():
    with pytest.raises(SourceError, match="source: 1 held-out people with readable images"):
        choose_people(faces(0, [2, 2]), faces(100, [3]), AttackConfig())


@pytest.fixture
def source(tmp_path):
    """Function of names of folders -> a source of one-color images."""

    def make(folder, *names):
        for number, name in enumerate(names):
            (tmp_path / folder / name).mkdir(parents=True)
            Image.new("RGB", (16, 16), (40 * number, 0, len(folder))).save(
                tmp_path / folder / name / "0.png"
            )
        return SourceConfig(kind="folder", path=str(tmp_path / folder), image_px=16)

    return make


def test_attack_sides_are_those_of_a_training(source):
    config = replace(source("all", "a", "b", "c", "d"), holdout_fraction=0.5)
    assert [list(side.names) for side in open_sides(config)] == [["a", "b"], ["c", "d"]]
    config = replace(config, holdout_identities=1, holdout_fraction=0.0)
    members, heldout = open_sides(config)
    assert (list(members.names), list(heldout.names)) == (["a", "b", "c"], ["d"])
    trained = training_faces(config)[0]
    record = NetworkRecord("generator", "a", (source_record(config, trained),))
    assert membership_of([record], members) == "recorded"
    refuse_learned([record], heldout)


@dataclass
class Part:
    """All that is asked of a source: its fingerprint and how many people it has."""

    fingerprint: str
    num_people: int

    @property
    def names(self):
        return range(self.num_people)


def generator(*fingerprints: str, sha256: str = "a", role: str = "generator") -> NetworkRecord:
    learned = [SourceRecord("folder", one, 9, 9, real_people=True) for one in fingerprints]
    return NetworkRecord(role, sha256, tuple(learned), is_told=bool(learned))


MEMBERS, HELDOUT = Part("f[0:132]", 132), Part("f[132:192]", 60)
CLEAN = generator("f[0:132]")


@pytest.mark.parametrize(
    ("records", "number"),
    [
        ([generator("f")], 60),  # trained with nobody held out
        ([generator("f[0:150]")], 18),
        ([generator("f[100:192][20:40]")], 8),  # of a part of a part
        ([generator("g", "f[0:150]", "f[140:160]")], 28),
        ([CLEAN, generator("f", sha256="b" * 64)], 60),  # which it began with
    ],
)
def test_an_attack_with_held_out_people_whom_the_generator_learned_from_is_refused(records, number):
    with pytest.raises(ConfigError) as refused:
        refuse_learned(records, HELDOUT)
    told = f"generator.checkpoint: generator {records[-1].sha256[:12]} learned from {number} of 60 "
    assert str(refused.value).startswith(told)
    assert "\n" not in str(refused.value)


def test_an_attack_on_two_sources_is_refused_where_the_other_was_learned_from():
    other = Part("h", 5)
    refuse_learned([generator("f")], other)
    with pytest.raises(ConfigError, match="learned from 2 of 5 people held out"):
        refuse_learned([generator("f", "h[3:8]")], other)


def test_other_networks_than_generators_may_know_people_that_an_attack_holds_out():
    refuse_learned([CLEAN, generator("f", role="recognizer")], HELDOUT)
    assert membership_of([CLEAN, generator("f", role="recognizer")], MEMBERS) == "recorded"


@pytest.mark.parametrize(
    ("records", "membership"),
    [
        ([CLEAN], "recorded"),
        ([generator("f")], "recorded"),
        ([generator("f[0:140]")], "recorded"),
        ([generator("f[60:132]"), generator("f[0:60]", sha256="b")], "recorded"),
        ([generator("f[60:132]"), generator("f[0:59]", sha256="b")], "contradicted"),
        ([generator("f[0:100]")], "contradicted"),
        ([generator("g")], "contradicted"),
        ([generator()], "unrecorded"),
        ([CLEAN, generator(role="start", sha256="b")], "unrecorded"),
    ],
)
def test_an_attack_tells_what_records_say_of_its_members(records, membership):
    assert membership_of(records, MEMBERS) == membership


def test_attack_sides_may_be_two_sources(source):
    other = source("others", "x", "y").path
    members, heldout = open_sides(replace(source("all", "a", "b"), heldout=other))
    assert (list(members.names), list(heldout.names)) == (["a", "b"], ["x", "y"])


def test_an_attack_with_nobody_held_out_is_refused(source):
    with pytest.raises(ConfigError, match=r"source\.holdout_identities: got 0; .*want"):
        open_sides(source("all", "a", "b"))
