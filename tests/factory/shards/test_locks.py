"""Every way in which two processes can interleave ends with a record and its files, or neither."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json

import pytest

from factory.errors import Unavailable
from factory.records import Counts, Timings, UnitResult
from factory.shards import garbage, layout, locks, writer
from factory.store import Entry
from tests.factory.shards.interleavings import MemoryStore, Stage

FILES = {"data/a": b"A", "data/b": b"B"}
OTHER = {"data/a": b"a", "data/b": b"b"}
RESULT = UnitResult(0, "p" * 64, Counts(1, 0, 1, 0, 0), Timings(0.0, 1.0, 0.5, 0.7))
RECORD = layout.commit_name(0)


def maker(contents, store):
    return writer.commit_files(store, RESULT, contents, same_bytes=False)


def collector(store):
    items = [garbage.Garbage(Entry(name, 1, 0.0), "", unit=0) for name in FILES]
    return garbage.remove(store, items)


@pytest.fixture
def stage(monkeypatch):
    def make(contents, cuts=()):
        made = Stage(dict(contents), cuts)
        monkeypatch.setattr(locks, "sleep", made.sleep)
        monkeypatch.setattr(locks, "monotonic", made.monotonic)
        return made

    return make


def is_whole(contents: dict[str, bytes]) -> bool:
    """A commit record with its files, or no commit record."""
    record = contents.get(RECORD, b"")
    if not locks.is_record(len(record)):
        return True
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    return all(digests.get(f["name"]) == f["sha256"] for f in json.loads(record)["files"])


def cuts_of(num_steps: int, num_cuts: int):
    """Every choice of so many steps at which who is on stage is paused or killed."""
    for steps in itertools.combinations(range(1, num_steps + 1), num_cuts):
        for kills in itertools.product((False, True), repeat=num_cuts):
            if sum(kills) < 2:
                yield tuple(zip(steps, kills, strict=True))


GC, MAKER, OTHER_MAKER = (
    collector,
    functools.partial(maker, FILES),
    functools.partial(maker, OTHER),
)
RACES = {
    "gc_race with the maker of the files": (FILES, GC, MAKER),
    "gc_race with a maker of other bytes": (OTHER, GC, MAKER),
    "gc_race with a maker that begins": ({}, GC, MAKER),
    "two makers of other bytes": ({}, OTHER_MAKER, MAKER),
    "two makers and an orphan": ({"data/a": b"?"}, OTHER_MAKER, MAKER),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("race", RACES)
def test_every_interleaving_ends_with_a_record_and_its_files_or_neither(race, first, stage):
    before, *acts = RACES[race]
    if first:
        acts.reverse()
    quiet = stage(before)
    quiet.run(*acts)
    num_cut = 0
    for num_cuts in (1, 2):
        for cuts in cuts_of(quiet.steps + 5, num_cuts):
            made = stage(before, cuts)
            made.run(*acts)
            assert not made.errors, (cuts, made.errors)
            num_cut += not made.cuts
            if not is_whole(made.contents):
                assert is_the_known_exception(made, acts.index(GC)), cuts
                assert garbage.uncommit(MemoryStore(made), 0)
            if not made.killed:
                assert is_record_in(made.contents), cuts
            maker(FILES, MemoryStore(made))  # whoever comes next finishes
            assert is_record_in(made.contents), cuts
            assert is_whole(made.contents), cuts
    assert num_cut > 100


def is_the_known_exception(made: Stage, gc: int) -> bool:
    """Whether gc lost its lock by silence, deleted, and was killed before it put the file back."""
    return made.killed == {gc} and made.clock >= locks.HOLDS_S


def is_record_in(contents: dict[str, bytes]) -> bool:
    return locks.is_record(len(contents.get(RECORD, b"")))


def test_a_lock_that_somebody_renews_is_waited_for_and_named(stage):
    made = stage({})
    store = MemoryStore(made)
    alive = locks.take(store, 0, "deleting its files")

    class Renewing(MemoryStore):
        def get(self, name):
            alive.renew()
            return MemoryStore.get(self, name)

    with pytest.raises(Unavailable, match=r"locked by .* \(deleting its files\) for 900 s"):
        locks.take(Renewing(made), 0, "replacing its files")
    assert alive.is_held()


def test_a_lock_of_a_dead_process_is_taken_over_once(stage):
    made = stage({})
    store = MemoryStore(made)
    dead = locks.take(store, 0, "deleting its files")
    heir = locks.take(store, 0, "replacing its files")
    assert made.clock >= locks.HOLDS_S
    assert (dead.is_held(), heir.is_held()) == (False, True)
    assert not dead.renew()
    assert not dead.commit(b"r" * 1000)
    with pytest.raises(locks.LockLost, match="taken over"):
        dead.write("data/a", b"late")
    assert "data/a" not in made.contents
    assert heir.commit(b"r" * 1000)


def test_a_lock_is_smaller_than_any_commit_record(stage, monkeypatch):
    monkeypatch.setattr(locks.socket, "gethostname", lambda: "h" * 300)
    lock = locks.take(MemoryStore(stage({})), 0, "replacing its files")
    assert len(lock.to_bytes()) <= locks.MAX_BYTES
    empty = UnitResult(0, "p" * 64, Counts(0, 0, 0, 0, 0), Timings(0, 0, 0, 0))
    store = MemoryStore(stage({}))
    writer.commit_files(store, empty, {})
    assert locks.is_record(store.size(RECORD))


def test_an_error_under_a_lock_releases_it(stage):
    made = stage({})
    lock = locks.take(MemoryStore(made), 0, "replacing its files")
    with pytest.raises(OSError, match="disk"), lock.renewed():
        raise OSError("disk")
    assert made.contents[RECORD] == locks.RELEASED
    assert made.clock == 0
