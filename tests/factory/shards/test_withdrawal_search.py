"""Who withdraws is found wherever they are, also by pseudonyms."""

from __future__ import annotations

import hashlib
import io
import shutil
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from factory.errors import PlanError
from factory.provenance.pseudonyms import KEY_VARIABLE, pseudonym
from factory.provenance.withdrawn import withdrawal_of
from factory.shards import layout
from factory.shards.reader import metadata_rows
from factory.shards.verify import verify
from factory.shards.withdrawal import find
from factory.shots.plan import Plan
from factory.shots.request import PromptRequest, SourceRelease
from factory.store import LocalStore, Store
from tests.withdrawals import (
    KEY,
    NAMES,
    TODAY,
    Crash,
    everything,
    forget,
    labels_in,
    version_of,
    write_loras,
    write_version,
)

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def test_people_who_are_called_by_a_pseudonym_are_found_with_the_key(root, monkeypatch):
    write_version(root, names=tuple(pseudonym(KEY.encode(), name) for name in NAMES))
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(PlanError, match=f"by pseudonyms there, so set {KEY_VARIABLE}"):
        find(f"{root.url}/tiny", "ben")
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    assert forget(root, "ben").found.held[0].indices == {3}
    assert {row["identity"] for row in metadata_rows(version_of(root, "0.1.1"), 1)} == {2}


def release_facts(root: Store, plan: Plan, dataset: str) -> SourceRelease:
    version = plan.request.release.version
    sums = version_of(root, version, dataset).get(layout.SUMS)
    return SourceRelease(dataset, version, plan.hash, True, hashlib.sha256(sums).hexdigest())


def test_releases_made_of_a_release_with_the_person_are_found(root, monkeypatch):
    """Also in another dataset, where a pseudonym is made of what the person is called there."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    plan = write_version(root, names=("cem", "dora"), num_virtual=0)
    name = pseudonym(KEY.encode(), "cem")
    edits = write_version(
        root,
        "edits",
        names=(pseudonym(KEY.encode(), "eve"), name),
        num_virtual=0,
        source=release_facts(root, plan, "tiny"),
        fingerprint="e" * 64,
    )
    number = pseudonym(KEY.encode(), "000000000001")  # of one whose name was not unique
    of_edits = release_facts(root, edits, "edits")
    third = {"source": of_edits, "fingerprint": "d" * 64, "num_virtual": 0}
    write_version(root, "again", names=("fay", number), **third)
    write_version(root, "others", names=("cem", number), fingerprint="a" * 64)  # somebody else
    withdrawal = forget(root, "cem")
    assert [held.version.name for held in withdrawal.found.held] == [
        "tiny 0.1.0",
        "edits 0.1.0",
        "again 0.1.0",
    ]
    for dataset, left in (("tiny", {1}), ("edits", {0}), ("again", {0})):
        new = version_of(root, "0.1.1", dataset)
        assert verify(new) == []
        assert {row["identity"] for row in metadata_rows(new, 0)} == left
    assert withdrawal_of(version_of(root, "0.1.0", "others")) is None
    plain, rosters = LocalStore.put, []

    def dies(self, name, *rest):
        rosters.append(name)
        if rosters.count(layout.ROSTER) == 2:
            raise Crash
        plain(self, name, *rest)

    monkeypatch.setattr(LocalStore, "put", dies)
    with pytest.raises(Crash):
        withdrawal.delete(TODAY, lambda line: None)
    monkeypatch.setattr(LocalStore, "put", plain)
    find(f"{root.url}/tiny", "cem").delete(TODAY, lambda line: None)  # follows the chain again
    for dataset, called in (("tiny", "cem"), ("edits", name), ("again", number)):
        roster = version_of(root, "0.1.0", dataset).get(layout.ROSTER)
        assert called not in pq.read_table(io.BytesIO(roster))["name"].to_pylist()


def test_other_datasets_of_the_same_source_are_found(root):
    write_version(root)
    write_version(root, "second")
    write_version(root, "other", fingerprint="0" * 64)
    withdrawal = forget(root, "cem")
    assert [held.version.dataset for held in withdrawal.found.held] == ["tiny", "second"]


@pytest.mark.parametrize(
    ("person", "message"),
    [
        ("1", "is virtual, nobody who exists, and cannot withdraw"),
        ("000001", "is virtual"),
        ("cemm", "nobody of this name has images or a LoRA in tiny; want the name as the source"),
    ],
)
def test_who_cannot_withdraw(root, person, message):
    write_version(root)
    with pytest.raises(PlanError, match=message):
        find(f"{root.url}/tiny", person)


def test_an_address_without_versions_is_refused(root):
    write_version(root)
    with pytest.raises(PlanError, match="want the folder or address above releases/"):
        find(f"{root.url}/tiny/releases", "cem")


def test_a_copy_of_the_dataset_in_the_same_store_is_withdrawn_from_too(root):
    write_version(root)
    shutil.copytree(root.root / "tiny", root.root / "mirror")
    held = forget(root, "cem").found.held
    assert {one.version.name for one in held} == {"mirror 0.1.0", "tiny 0.1.0"}
    assert labels_in(version_of(root, "0.1.1", "mirror")) == {0, 1, 2, 3, 5}


def test_plans_that_hold_a_name_are_listed(root):
    write_version(root)
    write_loras(root, "tiny", "set", NAMES)
    lines = find(f"{root.url}/tiny", "cem").lines(True)
    assert "yours to do: plans that hold what they are called stay: tiny/loras/set/plan.json" in (
        lines
    )


def test_plans_that_ask_by_a_name_are_listed(root):
    write_version(root)
    withdrawal = find(f"{root.url}/tiny", "cem")
    (held,) = withdrawal.found.held
    prompts = PromptRequest("", {}, {"cem": "male"}, "", "whole", None)
    plan = replace(held.version.plan, request=replace(held.version.plan.request, prompts=prompts))
    asked = replace(held, version=replace(held.version, plan=plan))
    withdrawal = replace(withdrawal, found=replace(withdrawal.found, held=(asked,)))
    assert "are called stay: tiny/releases/0.1.0/plan.json" in withdrawal.lines(False)[-1]


@pytest.mark.parametrize("key", [None, "another key " * 4])
def test_versions_whose_pseudonyms_the_key_does_not_tell_are_named(root, monkeypatch, key):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    write_version(root)
    hidden = tuple(pseudonym(KEY.encode(), name) for name in NAMES)
    write_version(root, version="0.2.0", names=hidden)
    write_loras(root, "tiny", "set", hidden)
    if key:
        monkeypatch.setenv(KEY_VARIABLE, key)
    before, withdrawal = everything(root), find(f"{root.url}/tiny", "cem")
    closed = [line for line in withdrawal.lines(True) if "NOT SEARCHED" in line]
    assert [line.partition(": ")[0] for line in closed] == ["tiny 0.2.0", "tiny loras/set"]
    with pytest.raises(PlanError, match=rf"0\.2\.0, tiny loras/set: not searched.*{KEY_VARIABLE}"):
        withdrawal.write(TODAY, lambda line: None)
    assert everything(root) == before
    withdrawal.write(TODAY, lambda line: None, partial=True)
    assert withdrawal_of(version_of(root, "0.1.0")).successor == "0.1.1"
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    withdrawal = forget(root, "cem")
    assert withdrawal.found.closed == ()
    assert [one.version.version for one in withdrawal.found.held] == ["0.1.0", "0.2.0"]


def test_a_key_is_shown_to_tell_pseudonyms_of_others(root, monkeypatch):
    """By names that another version publishes; the one with pseudonyms has not the person."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    write_version(root)
    write_version(root, version="0.2.0", names=(pseudonym(KEY.encode(), "ben"),))
    assert find(f"{root.url}/tiny", "cem").found.closed == ()
