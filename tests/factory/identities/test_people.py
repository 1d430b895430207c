"""Identities as columns are what they were as objects, to the byte."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pyarrow as pa
import pytest

from factory.identities.people import BLOCK, MIXES, People
from factory.identities.roster import Roster
from factory.records import Identity
from factory.store.parquet import to_parquet


def some(count: int, **fields) -> list[Identity]:
    """People who differ in every field but those that are given."""
    rng = np.random.default_rng(count)
    return [
        replace(
            Identity(
                index=7 + i,
                kind="virtual" if i % 3 else "real",
                proposal="pca",
                attempt=int(rng.integers(9)),
                nearest_real_cosine=float(rng.random()),
                nearest_other_cosine=float(rng.random()),
                num_shots=int(rng.integers(1, 20)),
                nearest_other=int(rng.integers(-1, 5)),
                name="" if i % 3 else f"nâme_{i}",
                group="abc"[i % 3],
            ),
            **fields,
        )
        for i in range(count)
    ]


def as_rows(identities: list[Identity]) -> bytes:
    """roster.parquet as it was written row by row."""
    rows = [asdict(identity) for identity in identities]
    for row in rows:
        if not row["originals"]:
            del row["originals"]
        for name in MIXES:
            del row[name]  # of whom there are none
    return to_parquet(rows)


@pytest.mark.parametrize("originals", [(), ("a", "b")])
@pytest.mark.parametrize("count", [1, 5, BLOCK + 3])
def test_columns_have_the_bytes_of_rows_and_come_back(count, originals):
    identities = some(count, originals=originals)
    roster = Roster(identities, np.zeros((count, 2), np.float32))
    assert roster.parquet() == as_rows(identities)
    again = Roster.read(roster.parquet(), roster.embeddings())
    assert list(again.identities) == identities
    assert again.parquet() == roster.parquet()


BACKWARDS = (slice(8, 2), slice(9, 0, -2), slice(None, None, -1), slice(4, None, -3))


def test_people_are_a_sequence_of_identities():
    identities = some(10, originals=("x",))
    people = People.of(identities)
    assert People.of(people) is people
    assert len(people) == 10
    assert people == identities
    assert identities == people
    assert people[3] == identities[3]
    assert people[-1] == identities[-1]
    for part in (slice(2, 5), slice(-3, None), slice(None, None, 4), *BACKWARDS):
        assert list(people[part]) == identities[part], part
    assert list(reversed(people)) == identities[::-1]
    assert identities[4] in people
    for nobody in (10, -11):
        with pytest.raises(IndexError):
            people[nobody]
    assert people != identities[:9]
    assert people != [*identities[:9], replace(identities[9], group="z")]
    assert (people == 3) is False


def test_values_are_pythons_own():
    """They go into JSON and into file names."""
    one = People.of(some(1, originals=("x",)))[0]
    assert {type(value) for value in asdict(one).values()} == {int, float, str, tuple}


def test_fields_of_everybody_are_arrays():
    identities = some(9)
    people = People.of(identities)
    assert people.column("num_shots").tolist() == [one.num_shots for one in identities]
    assert people.column("nearest_real_cosine").dtype == np.float64
    assert people.texts("group").to_pylist() == [one.group for one in identities]
    is_real = people.where("kind", "real")
    assert is_real.dtype == bool
    assert is_real.tolist() == [one.kind == "real" for one in identities]
    for name, ask in (("kind", people.column), ("index", people.texts)):
        with pytest.raises(AssertionError):
            ask(name)


def test_people_of_two_kinds_are_joined():
    virtual, edited = some(3), some(2, originals=("k",), kind="edited")
    joined = People.joined([People.of(virtual), People.of(edited)])
    assert list(joined) == [*virtual, *edited]
    assert list(People.joined([People.of(virtual)] * 2)) == virtual * 2
    assert list(People.joined([People.of(edited), People.of([])])) == edited


def test_one_value_is_that_of_everybody_and_the_rest_is_default():
    people = People.filled(
        2,
        index=[4, 5],
        kind="virtual",
        proposal="pca",
        attempt=0,
        nearest_real_cosine=0.25,
        nearest_other_cosine=[0.5, 0.75],
        num_shots=8,
    )
    assert people[1] == Identity(5, "virtual", "pca", 0, 0.25, 0.75, 8)


def test_an_older_table_has_fewer_columns():
    identities = some(3, nearest_other=-1, group="")
    table = People.of(identities).table().drop_columns(["nearest_other", "group"])
    chunked = pa.concat_tables([table[:1], table[1:]])
    assert list(People.from_table(chunked)) == identities


def test_an_empty_roster_comes_back_empty():
    nobody = Roster([], np.zeros((0, 4), np.float32))
    again = Roster.read(nobody.parquet(), nobody.embeddings())
    assert list(again.identities) == []
    assert again.unit_ND.shape == (0, 4)
    assert again.first_identity == 0
    assert again.virtual_N.tolist() == []


def test_a_million_rows_take_little_more_than_their_numbers():
    """As objects and rows they took more than 3 kB each."""
    count = 10**6
    people = People.filled(
        count,
        index=np.arange(count),
        kind="virtual",
        proposal="pca",
        attempt=0,
        nearest_real_cosine=0.0,
        nearest_other_cosine=0.0,
        num_shots=8,
    )
    assert sum(column.nbytes for column in people._columns.values()) < 100 * count
    assert people[count - 1].index == count - 1


def test_parents_of_mixes_are_columns_where_somebody_has_them():
    plain = some(4)
    mix = {"first_parent": 9, "second_parent": 7, "mix_weight": 0.25}
    identities = [*plain[:3], replace(plain[3], **mix)]
    roster = Roster(identities, np.zeros((4, 2), np.float32))
    names = pa.parquet.read_schema(pa.BufferReader(roster.parquet())).names
    assert names[-3:] == list(MIXES)
    again = Roster.read(roster.parquet(), roster.embeddings())
    assert list(again.identities) == identities
    assert [one.is_mix for one in again.identities] == [False, False, False, True]
    assert (again.column("first_parent") == [-1, -1, -1, 9]).all()
    joined = People.joined([People.of(plain), again.people])
    assert list(joined) == [*plain, *identities]
