"""Deletion removes all that held a person, and nothing else."""

from __future__ import annotations

import pytest

from factory.provenance.pseudonyms import KEY_VARIABLE, pseudonym
from factory.provenance.withdrawn import WITHDRAWN, withdrawal_of
from factory.shards import layout
from factory.shards.manifest import collect
from factory.shards.verify import verify
from factory.shards.withdrawal import find
from factory.store import LocalStore
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


def test_delete_removes_what_held_the_person_and_nothing_else(root):
    write_version(root)
    old = version_of(root, "0.1.0")
    root.put("tiny/evaluation/0.1.0/f/000002.npy", b"vectors")
    root.put("tiny/evaluation/0.1.0x/f/000002.npy", b"of another version")
    root.put("tiny/private/0.1.0/people.npz", b"templates")
    forget(root, "cem")
    before = everything(root)
    withdrawal = find(f"{root.url}/tiny", "cem")
    listed = {line.rpartition(" ")[2] for line in withdrawal.lines(True) if "to be deleted" in line}
    withdrawal.delete(TODAY, lambda line: None)
    after = everything(root)
    gone = set(before) - set(after)
    of_unit = [layout.tar_name(2), layout.metadata_name(2), layout.rejects_name(2)]
    others = [layout.quarantine_name(2), layout.REPORT, layout.EMBEDDINGS]
    assert gone == {f"tiny/releases/0.1.0/{name}" for name in [*of_unit, *others]} | {
        "tiny/evaluation/0.1.0/f/000002.npy",
        "tiny/private/0.1.0/people.npz",
    }
    assert len(listed) == len(gone)
    changed = {f"tiny/releases/0.1.0/{name}" for name in (WITHDRAWN, layout.ROSTER)}
    assert {n for n in after if after[n] != before[n]} == changed
    assert not [name for name in changed if b"cem" in after[name]]
    (problem,) = verify(old)
    assert f"what held them was deleted on {TODAY}; use its successor 0.1.1" in problem
    assert verify(version_of(root, "0.1.1")) == []


def test_a_deletion_that_was_cut_off_goes_on(root, monkeypatch):
    write_version(root)
    withdrawal = forget(root, "cem")
    plain = LocalStore.delete

    def dies(self, name):
        if name == layout.EMBEDDINGS:
            raise Crash
        plain(self, name)

    monkeypatch.setattr(LocalStore, "delete", dies)
    with pytest.raises(Crash):
        withdrawal.delete(TODAY, lambda line: None)
    monkeypatch.undo()
    find(f"{root.url}/tiny", "cem").delete(TODAY, lambda line: None)
    old = version_of(root, "0.1.0")
    assert not old.exists(layout.EMBEDDINGS)
    assert b"cem" not in old.get(layout.ROSTER)
    assert withdrawal_of(old).deleted == TODAY


def test_a_second_person_is_found_where_the_first_withdrew_and_was_deleted(root):
    """Anna and ben share unit 1 of 0.1.0, cem is in unit 2."""
    write_version(root)
    for person, left in (("anna", {0, 1, 4, 5}), ("cem", {0, 1})):
        forget(root, person).delete(TODAY, lambda line: None)
        assert labels_in(version_of(root, "0.1.0")) == left
    assert labels_in(version_of(root, "0.1.1")) == {0, 1, 3}  # without anna, then without unit 2
    assert labels_in(version_of(root, "0.1.2")) == {0, 1, 3, 5}
    assert verify(version_of(root, "0.1.2")) == []
    rows = find(f"{root.url}/tiny", "ben").found.held  # who is left of all three
    assert [held.version.version for held in rows] == ["0.1.0", "0.1.1", "0.1.2"]


def test_who_withdrew_before_another_was_deleted_may_ask_for_deletion_later(root):
    write_version(root)
    forget(root, "anna")
    forget(root, "cem").delete(TODAY, lambda line: None)
    assert labels_in(version_of(root, "0.1.0")) == {0, 1, 2, 3}
    forget(root, "anna").delete("2026-11-27", lambda line: None)
    assert labels_in(version_of(root, "0.1.0")) == {0, 1}
    assert labels_in(version_of(root, "0.1.1")) == {0, 1, 3}
    mark = withdrawal_of(version_of(root, "0.1.0"))
    assert (mark.deleted, len(mark.rosters)) == ("2026-11-27", 2)


@pytest.mark.parametrize("write", ["swap", "put"])
def test_a_deletion_that_dies_at_the_mark_or_the_roster_goes_on(root, monkeypatch, write):
    write_version(root)
    forget(root, "anna").delete(TODAY, lambda line: None)
    withdrawal = forget(root, "cem")

    def dies(*_):
        raise Crash

    monkeypatch.setattr(LocalStore, write, dies)
    with pytest.raises(Crash):
        withdrawal.delete(TODAY, lambda line: None)
    monkeypatch.undo()
    find(f"{root.url}/tiny", "cem").delete(TODAY, lambda line: None)
    roster = version_of(root, "0.1.0").get(layout.ROSTER)
    assert b"cem" not in roster
    assert b"ben" in roster


def test_a_roster_that_no_deletion_left_is_refused(root):
    write_version(root)
    forget(root, "cem").delete(TODAY, lambda line: None)
    old = version_of(root, "0.1.0")
    old.put(layout.ROSTER, old.get(layout.ROSTER) + b" ")
    with pytest.raises(RuntimeError, match="is not the one the plan was made with"):
        find(f"{root.url}/tiny", "anna")


def test_the_lora_of_a_person_is_found_and_deleted_and_the_set_goes_on(root, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    names = tuple(pseudonym(KEY.encode(), name) for name in NAMES)
    store, plan = write_loras(root, "tiny", "set", names)
    withdrawal = find(f"{root.url}/tiny", "cem")
    assert "tiny loras/set: their LoRA is unit 2; --delete deletes it" in withdrawal.lines(False)
    before = everything(root)
    withdrawal.write(TODAY, lambda line: None)
    assert everything(root) == before
    for _ in range(2):
        withdrawal.delete(TODAY, lambda line: None)
    after = everything(root)
    gone = {layout.lora_name(2), layout.lora_metadata_name(2)}
    assert set(before) - set(after) == {f"tiny/loras/set/{name}" for name in gone}
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {f"tiny/loras/set/{layout.commit_name(2)}"}
    counts = [shard.counts for shard in collect(store, plan).shards]
    assert [one.kept for one in counts] == [1, 1, 0, 1]  # as of one who has none (open_loras)
    assert all(one.adds_up() for one in counts)
