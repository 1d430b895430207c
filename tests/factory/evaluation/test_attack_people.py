"""Who is compared: sides by the source, people and images by the seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from factory.config import AttackConfig, SourceConfig
from factory.errors import ConfigError, SourceError
from factory.evaluation.attack_people import choose_people, is_learned_from, open_sides
from factory.provenance.faces import source_record
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
    config = replace(source("all", "a", "b", "c", "d"), holdout_identities=1)
    members, heldout = open_sides(config)
    assert (list(members.names), list(heldout.names)) == (["a", "b", "c"], ["d"])
    trained = training_faces(config)[0]
    record = source_record(config, trained)
    assert is_learned_from([record], members) is True
    assert is_learned_from([record], heldout) is False
    assert is_learned_from([], members) is None


def test_attack_sides_may_be_two_sources(source):
    other = source("others", "x", "y").path
    members, heldout = open_sides(replace(source("all", "a", "b"), heldout=other))
    assert (list(members.names), list(heldout.names)) == (["a", "b"], ["x", "y"])


def test_an_attack_with_nobody_held_out_is_refused(source):
    with pytest.raises(ConfigError, match=r"source\.holdout_identities: got 0; .*want"):
        open_sides(source("all", "a", "b"))
