"""What is private of a release lies beside it until it is published, and gc finds what is left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.errors import Conflict, IntegrityError
from factory.identities.private_people import PrivatePeople
from factory.identities.roster import Roster
from factory.records import Identity
from factory.shards import garbage, layout, manifest
from factory.shards.plan_files import open_roster
from factory.shards.private_files import put_again, read_private, write_private
from factory.shots.plan import Plan, cut_units
from factory.store import LocalStore, open_store
from tests import s3_server
from tests.planned import REQUEST

UNIT = np.eye(2, 4, dtype=np.float32)
PRIVATE = PrivatePeople(UNIT[1:], (0,), (0,))
PEOPLE = [
    Identity(0, "virtual", "pca", 0, 0.1, 0.2, 2),
    Identity(1, "real", "source", 0, 0.1, 0.2, 2, name="p1"),
]
ROSTER = Roster(PEOPLE, UNIT, PRIVATE)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def store(request, tmp_path):
    """That of a release, in a folder and in a bucket."""
    if request.param == "local":
        return LocalStore(tmp_path / "faces" / "releases" / "1.0")
    return open_store(request.getfixturevalue("s3_config")()).below("faces/releases/1.0")


def planned(store, roster: Roster = ROSTER) -> Plan:
    contents = {layout.ROSTER: roster.parquet(), layout.EMBEDDINGS: roster.embeddings()}
    for name, data in contents.items():
        store.put(name, data)
    digests = {name: store.sha256(name) for name in contents}
    private = write_private(store, roster)
    plan = Plan(REQUEST, digests, cut_units(roster.identities, 2), private=private)
    store.put(layout.PLAN, plan.to_json())
    return plan


def test_templates_are_written_beside_releases_and_opened_by_the_plan(store):
    plan = planned(store)
    beside = store.at(store.url.removesuffix("/releases/1.0"))
    assert "private/1.0/people.npz" in beside.list("")
    assert not any("people" in name for name in store.list(""))
    assert np.array_equal(open_roster(store, plan).unit_ND, UNIT)
    assert Plan.from_json(store.get(layout.PLAN)) == plan
    assert layout.private_url("made/releases/1/").endswith("/made/private/1")


def test_templates_of_another_plan_are_refused(store):
    plan = planned(store)
    other = replace(PRIVATE, labels=(1,))
    with pytest.raises(Conflict):
        write_private(store, Roster(PEOPLE, UNIT, other))
    layout.private_store(store).put(layout.PRIVATE_PEOPLE, other.to_bytes())
    with pytest.raises(IntegrityError, match=r"people\.npz: is not the one the plan was made with"):
        read_private(store, plan)


def test_templates_made_anew_with_other_roundings_are_for_a_sealed_release_alone(store):
    plan = planned(store)
    rounded = replace(PRIVATE, unit_RD=PRIVATE.unit_RD + np.float32(1e-7))
    private = layout.private_store(store)
    private.delete(layout.PRIVATE_PEOPLE)
    with pytest.raises(IntegrityError, match="embeds the people of the source otherwise"):
        put_again(store, plan, rounded)
    store.put(layout.SUMS, b"")
    put_again(store, plan, rounded)
    assert private.list("") == []
    put_again(store, plan, PRIVATE)
    assert read_private(store, plan).labels == PRIVATE.labels


def test_templates_are_gone_once_a_release_is_published(store):
    plan = planned(store)
    store.put(layout.SUMS, b"")
    manifest.drop_what_makers_needed(store)
    assert layout.private_store(store).list("") == []
    assert len(open_roster(store, plan).unit_ND) == 1
    if isinstance(store, LocalStore):
        assert not (store.root.parents[1] / "private").exists()


@pytest.fixture
def died(store, request):
    """Function that leaves what a writer leaves which is killed before its file has its name."""

    def leave():
        private = layout.private_store(store)
        if isinstance(private, LocalStore):
            private.put(".people.npz.0a1b2c3d", PRIVATE.to_bytes())
        else:
            client = s3_server.client(request.getfixturevalue("s3_endpoint"))
            client.create_multipart_upload(**private._at(layout.PRIVATE_PEOPLE))
        return private

    return leave


def test_templates_that_a_dead_writer_left_are_gone_once_a_release_is_published(store, died):
    planned(store)
    store.put(layout.SUMS, b"")
    private = died()
    assert len(private.leftovers()) == 1
    manifest.drop_what_makers_needed(store)
    assert list(private.leftovers()) == []
    if isinstance(store, LocalStore):
        assert not (store.root.parents[1] / "private").exists()


def test_gc_finds_templates_that_a_dead_writer_left(store, died):
    planned(store)
    private = died()
    (left,) = private.leftovers()
    assert garbage.find_private(store, 0.0, left.modified_at + garbage.LIVE_S - 1) == []
    (found,) = garbage.find_private(store, 0.0, left.modified_at + garbage.LIVE_S)
    assert (found.entry, found.leftover) == (left, True)
    assert garbage.remove(private, [found]) == [found]
    assert list(private.leftovers()) == []
    assert private.list("") == [layout.PRIVATE_PEOPLE], "makers need it"


def test_gc_finds_templates_of_a_release_that_waits_to_be_published(store):
    """They are made anew if it goes on; while somebody measures it they stay."""
    planned(store)
    store.put(layout.SUMS, b"")
    (found,) = garbage.find_private(store, 0.0, 1e12)
    assert found.reason == "private of a release that is sealed and not published"
    store.put(layout.DRIVER, b"{}")
    (driver,) = store.entries(layout.DRIVER)
    assert garbage.find_private(store, 0.0, driver.modified_at + 60) == []
    assert len(garbage.find_private(store, 0.0, driver.modified_at + garbage.LIVE_S)) == 1


def test_gc_finds_templates_of_releases_that_are_published_or_gone(store):
    private = layout.private_store(store)
    planned(store)
    far = 1e12
    assert garbage.find_private(store, 0.0, far) == []  # somebody may be making it
    store.put(layout.SUCCESS, b"")
    (found,) = garbage.find_private(store, 0.0, far)
    assert (found.entry.name, found.reason) == (
        layout.PRIVATE_PEOPLE,
        "private of a release that is published",
    )
    assert garbage.find_private(store, far, found.entry.modified_at + 60) == []
    for name in store.list(""):
        store.delete(name)
    (found,) = garbage.find_private(store, 0.0, far)
    assert "is not there" in found.reason
    assert garbage.remove(private, [found]) == [found]
    assert private.list("") == []


def test_nothing_private_is_written_where_everybody_is_virtual(store):
    plan = planned(store, Roster(PEOPLE[:1], UNIT[:1]))
    assert plan.private is None
    assert b"private" not in store.get(layout.PLAN)
    assert b"pseudonyms" not in store.get(layout.PLAN)
    assert layout.private_store(store).list("") == []
