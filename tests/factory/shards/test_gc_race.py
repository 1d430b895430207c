"""gc against makers, two real processes on a folder and a bucket, halted where it hurts."""

from __future__ import annotations

import signal

import pytest

from factory.config import StoreConfig
from factory.shards import layout, locks
from factory.shards.manifest import committed_units
from factory.shards.status import StatusReader
from factory.store import open_store
from tests.factory.shards.processes import contents, processes_on

pytestmark = pytest.mark.timeout(120)
TAR, METADATA, REJECTS = contents(0)
RECORD = layout.commit_name(0)


@pytest.fixture(params=["local", pytest.param("s3", marks=pytest.mark.s3)])
def race(request, tmp_path):
    if request.param == "local":
        config = StoreConfig(url=str(tmp_path / "release"))
    else:
        config = request.getfixturevalue("s3_config")()
    with processes_on(config) as processes:
        processes.store = open_store(config)
        yield processes


def assert_whole(store, variant=b"") -> None:
    assert committed_units(store) == {0}
    assert {name: store.get(name) for name in contents(0)} == contents(0, variant)
    assert len(StatusReader(store).read().shards) == 1


def assert_neither(store) -> None:
    assert committed_units(store) == set()
    assert StatusReader(store).read().shards == []


def put_orphan(store, variant=b"") -> None:
    for name, data in contents(0, variant).items():
        store.put(name, data)


def test_gc_race_before_the_commit(race):
    """gc deletes all that a maker has written, just before its commit record."""
    maker = race.start("maker", halt=race.halt("put_once", RECORD))
    maker.until_halted()
    assert race.start("gc").end() == [TAR, METADATA, REJECTS]
    assert_neither(race.store)
    assert race.store.get(RECORD) == locks.RELEASED
    maker.go_on()
    assert_whole(race.store)


def test_gc_race_between_the_files_of_a_maker(race):
    """gc is done with the first file before the maker writes the second."""
    maker = race.start("maker", halt=race.halt("put_once", METADATA))
    maker.until_halted()
    assert race.start("gc").end() == [TAR]
    maker.go_on()
    assert_whole(race.store)


@pytest.mark.parametrize("variant", [b"", b"other"])
def test_gc_race_in_the_loop_of_deletes(race, variant):
    """A maker that is about to commit waits for gc, then writes its files again."""
    put_orphan(race.store, variant)
    gc = race.start("gc", halt=race.halt("delete_if", METADATA))
    gc.until_halted()
    maker = race.start("maker")
    maker.until_waiting()
    assert_neither(race.store)
    assert gc.go_on() == [TAR, METADATA, REJECTS]
    maker.end()
    assert_whole(race.store)


def test_gc_race_of_a_gc_that_is_killed_with_its_lock(race):
    put_orphan(race.store)
    gc = race.start("gc", holds_s=0.5, halt=race.halt("delete_if", METADATA))
    gc.until_halted()
    gc.kill()
    assert_neither(race.store)
    assert not locks.is_record(race.store.size(RECORD))
    race.start("maker").end()
    assert_whole(race.store)


def test_gc_race_of_a_gc_that_is_killed_and_another_gc(race):
    put_orphan(race.store)
    gc = race.start("gc", holds_s=0.5, halt=race.halt("delete_if", METADATA))
    gc.until_halted()
    gc.kill()
    assert race.start("gc").end() == [METADATA, REJECTS]
    assert race.store.list("data/") == race.store.list("metadata/") == []


@pytest.mark.parametrize("variant", [b"", b"other"])
@pytest.mark.parametrize("victim", [TAR, METADATA, REJECTS])
def test_gc_race_of_a_gc_that_hangs_until_its_lock_is_lost(race, victim, variant):
    """It deletes a file that is committed meanwhile: conditionally, and it puts back its bytes."""
    put_orphan(race.store, variant)
    gc = race.start("gc", holds_s=0.5, halt=race.halt("delete_if", victim))
    gc.until_halted()
    gc.signal(signal.SIGSTOP)
    race.start("maker").end()
    gc.signal(signal.SIGCONT)
    assert victim not in gc.go_on()
    assert_whole(race.store)


def test_gc_race_of_a_maker_that_is_killed_with_its_lock(race):
    put_orphan(race.store, b"other")
    maker = race.start("maker", holds_s=0.5, halt=race.halt("swap", METADATA))
    maker.until_halted()
    maker.kill()
    assert_neither(race.store)
    race.start("maker", variant=b"another").end()
    assert_whole(race.store, b"another")


def test_gc_race_of_a_gc_that_meets_a_maker_with_a_lock(race):
    """A live maker is not disturbed: gc leaves its unit alone."""
    put_orphan(race.store, b"other")
    maker = race.start("maker", halt=race.halt("swap", METADATA))
    maker.until_halted()
    assert race.start("gc", holds_s=0.5).end() == []
    maker.go_on()
    assert_whole(race.store)


def test_gc_race_with_a_unit_that_is_committed_after_it_was_listed(race):
    put_orphan(race.store)
    gc = race.start("gc", halt=race.halt("get", RECORD))
    gc.until_halted()
    race.start("maker").end()
    assert gc.go_on() == []
    assert_whole(race.store)
