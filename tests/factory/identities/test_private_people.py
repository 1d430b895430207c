"""What is private of real people: whole again from its bytes, and a digest of all but roundings."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from factory.errors import IntegrityError
from factory.identities.private_people import NOBODY, PrivatePeople
from factory.identities.roster import Roster
from factory.records import Identity

UNIT = np.eye(3, 8, dtype=np.float32)
PRIVATE = PrivatePeople(UNIT[1:], (4, 0), (NOBODY, 2), (("a/0", "a/1"), ("ü/0",)), (7, 3))


def person(index: int, kind: str, name: str = "", originals: tuple[str, ...] = ()) -> Identity:
    return Identity(index, kind, "pca", 0, 0.1, 0.2, 2, name=name, originals=originals)


PEOPLE = [
    person(5, "virtual"),
    person(6, "real", "p1", ("p1/0000", "p1/0001")),
    person(7, "real", "p2", ("p2/0000",)),
]
WHOLE = Roster(PEOPLE, UNIT, PRIVATE)


def test_private_people_come_back_from_their_bytes():
    again = PrivatePeople.from_bytes(PRIVATE.to_bytes())
    assert np.array_equal(again.unit_RD, PRIVATE.unit_RD)
    assert replace(again, unit_RD=UNIT) == replace(PRIVATE, unit_RD=UNIT)
    assert PRIVATE.to_bytes() == again.to_bytes()


def test_digests_of_private_people_tell_rounding_from_other_people():
    rounded = replace(PRIVATE, unit_RD=PRIVATE.unit_RD + np.float32(1e-7))
    assert rounded.people_sha256 == PRIVATE.people_sha256
    assert rounded.vectors_sha256 != PRIVATE.vectors_sha256
    changes = {"labels": (4, 1), "prototypes": (NOBODY, 1), "originals": (("a/0",), ("ü/0",))}
    for name, value in changes.items():
        assert replace(PRIVATE, **{name: value}).people_sha256 != PRIVATE.people_sha256


def test_a_published_roster_has_no_template_of_a_real_person():
    published = Roster.read(WHOLE.parquet(), WHOLE.embeddings())
    assert np.array_equal(published.unit_ND, UNIT[:1])
    assert published.row(5) == 0
    for index in (6, 7):
        with pytest.raises(IntegrityError, match="open it with the config of the release"):
            published.row(index)
        assert published.person(index).name == f"p{index - 5}"
    for ask in (published.label_of, published.prototype_of):
        with pytest.raises(IntegrityError, match="open it with the config of the release"):
            ask(["p1", "p2"])
    with pytest.raises(IntegrityError, match="open it with the config of the release"):
        published.source_keys()


def test_with_what_is_private_a_roster_is_whole():
    again = Roster.read(WHOLE.parquet(), WHOLE.embeddings()).with_private(PRIVATE)
    assert np.array_equal(again.unit_ND, UNIT)
    assert [again.row(index) for index in (5, 6, 7)] == [0, 1, 2]
    assert again.label_of([]) == {6: 4, 7: 0}
    assert again.prototype_of([]) == {7: 2}
    assert again.units_of_loras == {6: 7, 7: 3}
    assert again.source_keys() == {"p1/0000": "a/0", "p1/0001": "a/1", "p2/0000": "ü/0"}


def test_edited_people_of_a_release_are_virtual_and_keep_their_vectors():
    people = [person(0, "edited", "000003", ("k0",)), person(1, "edited", "000004", ("k1",))]
    roster = Roster(people, UNIT[:2])
    again = Roster.read(roster.parquet(), roster.embeddings())
    assert np.array_equal(again.unit_ND, UNIT[:2])
    assert again.label_of(["000004", "000003"]) == {0: 1, 1: 0}
    assert again.prototype_of(["000004"]) == {1: 0}
    assert again.source_keys() == {"k0": "k0", "k1": "k1"}


def test_a_roster_that_an_older_factory_published_whole_is_read_by_names():
    people = [person(0, "virtual"), person(1, "real", "Anna", ("Anna/0",))]
    older = Roster(people, UNIT[:2])
    assert older.row(1) == 1
    assert older.label_of(["Bo", "Anna"]) == {1: 1}
    assert older.prototype_of(["Anna"]) == {1: 0}
    assert older.source_keys() == {"Anna/0": "Anna/0"}


MIXED = [
    *(person(0, "virtual"), person(1, "real", "p1"), person(2, "withdrawn")),
    *(person(3, "virtual"), person(4, "real", "p2"), person(5, "virtual")),
]


def test_vectors_are_published_by_who_is_real_wherever_they_stand():
    """In a union virtual people of one version come after real ones of another."""
    unit_ND = np.eye(6, 8, dtype=np.float32)
    roster = Roster(MIXED, unit_ND)
    virtual = [0, 3, 5]
    rows = roster.published_rows()
    assert np.array_equal(rows[virtual], unit_ND[virtual])
    assert not rows[[1, 2, 4]].any()
    assert np.array_equal(Roster(MIXED, rows).published_rows(), rows), "of a union of a union"
    assert np.array_equal(roster.unit_virtual_VD, unit_ND[virtual])
    assert roster.num_public == 3
    assert np.array_equal(np.load(io.BytesIO(roster.embeddings())), unit_ND[virtual])
    assert [one.index for one in roster.real_people] == [1, 2, 4]
    with pytest.raises(AssertionError):
        Roster(MIXED, unit_ND[virtual]).with_private(PrivatePeople(unit_ND[:3], (0,) * 3, (0,) * 3))


def test_vectors_of_a_published_roster_keep_their_places():
    published = Roster.read(WHOLE.parquet(), WHOLE.embeddings())
    assert np.array_equal(published.published_rows(), [*UNIT[:1], *np.zeros((2, 8))])
