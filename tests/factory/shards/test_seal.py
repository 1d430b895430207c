"""The seal believes objects and not listings, and never advises to delete a good commit record."""

from __future__ import annotations

import dataclasses
import json

import pytest

from factory.errors import IntegrityError, PlanError
from factory.records import Counts, Failure
from factory.shards import garbage, layout, locks, manifest, writer
from factory.store import LocalStore
from tests.factory.shards.processes import PLAN, UNITS, contents, result
from tests.jobs.commands import run
from tests.planned import REQUEST, shots_of

RECORD = layout.commit_name(1)


class StaleStore(LocalStore):
    """A folder whose listings leave names out, or give sizes of before."""

    def __init__(self, root, stale: dict[str, int | None]) -> None:
        super().__init__(root)
        self.stale = stale

    def entries(self, prefix):
        entries = super().entries(prefix)
        kept = [e for e in entries if self.stale.get(e.name, e.size) is not None]
        return [dataclasses.replace(e, size=self.stale.get(e.name, e.size)) for e in kept]

    def list(self, prefix):
        return [entry.name for entry in self.entries(prefix)]


@pytest.fixture
def store(tmp_path):
    made = LocalStore(tmp_path / "release")
    made.put(layout.PLAN, PLAN.to_json())
    for unit in range(UNITS):
        writer.commit_files(made, result(unit), contents(unit))
    return made


def seal(store):
    return manifest.seal(store, PLAN, 1.0)


STALE = {
    "a file": {layout.tar_name(1): None},
    "an older size": {layout.metadata_name(1): 3},
    "a commit record": {RECORD: None},
    "a commit record that was a lock": {RECORD: 120},
}


@pytest.mark.parametrize("stale", STALE.values(), ids=STALE)
def test_a_stale_listing_is_not_believed(stale, store):
    assert seal(StaleStore(store.root, stale)).counts.kept == 4 * UNITS
    assert store.exists(layout.SUMS)


def test_what_is_really_missing_is_named_with_what_to_do(store):
    store.delete(layout.tar_name(1))
    with pytest.raises(IntegrityError) as raised:
        seal(StaleStore(store.root, {layout.tar_name(1): 5}))
    message = str(raised.value)
    assert f"{layout.tar_name(1)} is gone, its commit record says" in message
    assert "restore it from a copy" in message
    assert f"jobs.gc {store.url} --uncommit 1" in message
    assert "\n" not in message
    assert f"remove {RECORD}" not in message


def test_a_locked_unit_is_never_sealed(store):
    store.delete(RECORD)
    lock = locks.take(store, 1, "deleting its files")
    for content in (lock.to_bytes(), locks.RELEASED):
        store.put(RECORD, content)
        with pytest.raises(PlanError, match="1 of 3 shards are not committed, first 1"):
            seal(store)
        with pytest.raises(FileNotFoundError, match="is not committed"):
            manifest.collect(store, PLAN)


def quarantined(store) -> None:
    """Unit 1 as one of whose shots one failed."""
    shot = shots_of(REQUEST, [(0, 0)])[0]
    store.delete(RECORD)
    lost = dataclasses.replace(
        result(1), counts=Counts(4, 0, 3, 0, 1), failures=[Failure(shot, "E", "T")]
    )
    writer.commit_files(store, lost, contents(1))


def test_a_missing_quarantine_is_one_line(store):
    quarantined(store)
    seal(store)
    store.delete(layout.SUMS)
    store.delete(layout.quarantine_name(1))
    with pytest.raises(IntegrityError, match=r"quarantine/000001.jsonl lists 0 failures.*says 1"):
        seal(store)


def test_a_unit_whose_files_are_lost_is_uncommitted_and_made_anew(store):
    with pytest.raises(PlanError, match="all files of unit 1 are whole"):
        garbage.uncommit(store, 1)
    with pytest.raises(PlanError, match="unit 7 is not committed"):
        garbage.uncommit(store, 7)
    store.delete(layout.tar_name(1))
    store.put(layout.metadata_name(1), b"flipped")
    assert garbage.uncommit(store, 1) == [layout.tar_name(1), layout.metadata_name(1)]
    assert manifest.committed_units(store) == {0, 2}
    writer.commit_files(store, result(1), contents(1))
    seal(store)
    store.delete(layout.tar_name(1))
    with pytest.raises(PlanError, match="is sealed"):
        garbage.uncommit(store, 1)


def test_a_unit_whose_quarantine_is_lost_is_uncommitted(store):
    quarantined(store)
    store.delete(layout.quarantine_name(1))
    assert garbage.uncommit(store, 1) == [layout.quarantine_name(1)]


def test_the_advice_of_the_seal_is_a_command_that_works(store):
    store.delete(layout.tar_name(1))
    done = run("jobs.gc", store.url, "--uncommit", "1")
    assert done.returncode == 0, done.stderr
    assert f"unit 1 is no longer committed, because of {layout.tar_name(1)}" in done.stdout
    again = run("jobs.gc", store.url, "--uncommit", "1")
    assert again.returncode == 1
    assert "unit 1 is not committed" in again.stderr
    assert json.loads(store.get(RECORD)) == {"lock": "released"}
