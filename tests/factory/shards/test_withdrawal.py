"""A person withdraws: a successor without them, the old version marked, all others unchanged."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from factory.config import SourceConfig
from factory.errors import ConfigError, PlanError, SourceError
from factory.provenance.lineage import Lineage
from factory.provenance.pseudonyms import KEY_VARIABLE, pseudonym
from factory.provenance.withdrawn import WITHDRAWN, withdrawal_of
from factory.shards import layout
from factory.shards.export import export
from factory.shards.manifest import collect, read_plan, seal_extras
from factory.shards.plan_files import earlier_vectors, open_plan
from factory.shards.reader import metadata_rows, read_face
from factory.shards.status import StatusReader
from factory.shards.verify import verify
from factory.shards.withdrawal import confirm, find
from factory.shards.withdrawal_successor import next_versions
from factory.shards.withdrawal_units import tar_without, zeroed_rows
from factory.shots.plan import Ancestor, Derived, Plan
from factory.shots.request import PromptRequest, SourceRelease
from factory.sources import open_source
from factory.sources.webdataset import ReleaseStream
from factory.store import LocalStore, Store, open_store
from tests.withdrawals import NAMES, write_loras, write_version

TODAY, KEY = "2026-11-26", "k" * 32


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """Crashes here are of processes, never of the machine."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture
def root(tmp_path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def version_of(root: Store, version: str, dataset: str = "tiny") -> Store:
    return root.below(layout.release_prefix(dataset, version))


def forget(root: LocalStore, person: str, dataset: str = "tiny", **named):
    withdrawal = find(f"{root.url}/{dataset}", person)
    withdrawal.write(TODAY, lambda line: None, **named)
    return withdrawal


def samples(store: Store, plan: Plan) -> dict[str, tuple[str, str]]:
    """(label, sha256 of all its members with their headers) of every sample by its key."""
    digests: dict[str, tuple[str, str]] = {}
    for unit in plan.units:
        data = store.get(layout.tar_name(unit.index))
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            members = tar.getmembers()
            ends = [member.offset for member in members[1:]]
            for member, end in zip(members, [*ends, None], strict=True):
                key, _, suffix = member.name.partition(".")
                stop = end or member.offset_data + -(-member.size // 512) * 512
                label, digest = digests.get(key, ("", ""))
                if suffix == "cls":
                    label = tar.extractfile(member).read().decode()
                block = digest.encode() + data[member.offset : stop]
                digests[key] = label, hashlib.sha256(block).hexdigest()
    return digests


def everything(root: LocalStore) -> dict[str, bytes]:
    return {name: root.get(name) for name in root.list("")}


def test_labels_keys_and_bytes_of_all_others_are_unchanged(root):
    write_version(root)
    forget(root, "cem")
    old, new = version_of(root, "0.1.0"), version_of(root, "0.1.1")
    before, after = samples(old, read_plan(old)), samples(new, read_plan(new))
    gone = {key for key, (label, _) in before.items() if label == "4"}
    assert len(gone) == 3
    assert after == {key: value for key, value in before.items() if key not in gone}
    assert verify(new) == []


def test_units_without_the_person_are_copied_and_offsets_of_theirs_fit(root):
    write_version(root)
    forget(root, "cem")
    old, new = version_of(root, "0.1.0"), version_of(root, "0.1.1")
    for unit in (0, 1):
        for name in layout.files_of(unit)[:3]:
            assert new.get(name) == old.get(name)
    assert new.get(layout.quarantine_name(1)) == old.get(layout.quarantine_name(1))
    rows = metadata_rows(new, 2)
    assert {row["identity"] for row in rows} == {5}
    for row in rows:
        assert hashlib.sha256(read_face(new, 2, row)).hexdigest() == row["sha256"]
    there = {row["key"]: row for row in metadata_rows(old, 2)}
    for row in rows:
        assert row | {"offset": 0} == there[row["key"]] | {"offset": 0}


@pytest.mark.parametrize("keep_vectors", [False, True])
def test_vectors_of_a_version_that_keeps_them_go_on(root, keep_vectors):
    write_version(root, keep_vectors=keep_vectors)
    forget(root, "cem")
    new = version_of(root, "0.1.1")
    names = [layout.vectors_name(0)] if keep_vectors else []  # units with real people have none
    assert new.list(layout.VECTORS) == names
    assert verify(new) == []


def test_counts_rejects_and_quarantine_are_those_of_who_stays(root):
    write_version(root)
    forget(root, "dora")  # whose last image failed
    new = version_of(root, "0.1.1")
    counts = collect(new, read_plan(new)).shards[2].counts
    assert (counts.planned, counts.topups, counts.kept) == (3, 1, 3)
    assert (counts.rejected, counts.quarantined, counts.reasons) == (1, 0, {"own_cosine": 1})
    assert not new.exists(layout.quarantine_name(2))
    assert verify(new) == []


def test_the_roster_keeps_the_place_so_that_labels_do_not_shift(root):
    write_version(root)
    forget(root, "anna")
    plan, roster = open_plan(version_of(root, "0.1.1"))
    assert [person.index for person in roster.identities] == [0, 1, 2, 3, 4, 5]
    assert [person.name for person in roster.identities] == ["", "", "", "ben", "cem", "dora"]
    gone = roster.identities[2]
    assert (gone.kind, gone.num_shots, gone.originals, gone.nearest_other) == (
        "withdrawn",
        0,
        (),
        -1,
    )
    vectors_ND = np.load(io.BytesIO(version_of(root, "0.1.1").get(layout.EMBEDDINGS)))
    assert not vectors_ND[2:3].any()
    assert (np.linalg.norm(np.delete(vectors_ND, slice(2, 3), 0), axis=1) == 1).all()
    old = version_of(root, "0.1.0")
    sums = hashlib.sha256(old.get(layout.SUMS)).hexdigest()
    ancestor = Ancestor("0.1.0", read_plan(old).hash, sums)
    assert plan.derived == Derived("withdrawal", (ancestor,))
    assert [unit.num_shots for unit in plan.units] == [6, 3, 6]


def test_vectors_of_virtual_people_alone_are_copied_and_others_zeroed():
    buffer = io.BytesIO()
    np.save(buffer, np.eye(3, dtype=np.float32))
    virtual_only = buffer.getvalue()
    assert zeroed_rows(virtual_only, [4], num_people=6) is virtual_only
    zeroed = np.load(io.BytesIO(zeroed_rows(virtual_only, [1], num_people=3)))
    assert zeroed.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_a_successor_is_read_by_streams_sources_and_exports(root, tmp_path):
    write_version(root)
    forget(root, "cem")
    new = version_of(root, "0.1.1")
    stream = ReleaseStream(new, shuffle=False, verify=True)
    assert sorted({sample.label for sample in stream}) == [0, 1, 2, 3, 5]
    source = open_source(SourceConfig(kind="webdataset", path=new.url, image_px=16))
    assert {"anna", "ben", "dora"} < set(source.names)
    assert "cem" not in source.names
    assert export(new, "imagefolder", tmp_path / "out") == len(stream) == 13


def test_a_withdrawn_version_says_so_wherever_it_is_read(root, tmp_path):
    write_version(root)
    forget(root, "cem")
    old = version_of(root, "0.1.0")
    (problem,) = verify(old)
    assert problem.startswith(f"{WITHDRAWN}: the release was withdrawn on {TODAY}")
    assert problem.endswith("use its successor 0.1.1")
    with pytest.raises(SourceError, match=r"withdrawn on .*use its successor 0\.1\.1"):
        ReleaseStream(old)
    assert len(ReleaseStream(old, allow_withdrawn=True)) == 16
    config = SourceConfig(kind="webdataset", path=old.url, image_px=16)
    with pytest.raises(SourceError, match=r"successor 0\.1\.1 \(source\.allow_withdrawn=true"):
        open_source(config)
    allowed = SourceConfig(kind="webdataset", path=old.url, image_px=16, allow_withdrawn=True)
    assert len(open_source(allowed)) == 16
    with pytest.raises(SourceError, match=r"release: .* was withdrawn"):
        export(old, "imagefolder", tmp_path / "out")
    assert ("withdrawn", f"on {TODAY} (people in it withdrew their consent); use its successor "
            "0.1.1") in StatusReader(old).read().rows(0.0, None)  # fmt: skip
    assert json.loads(root.get("tiny/latest.json"))["version"] == "0.1.1"


def test_nothing_of_a_name_is_written(root, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    write_version(root)
    before = set(root.list(""))
    forget(root, "anna")
    written = {name: root.get(name) for name in root.list("") if name not in before}
    assert f"tiny/releases/0.1.0/{WITHDRAWN}" in written
    called = {b"anna", pseudonym(KEY.encode(), "anna").encode()}
    assert not [name for name, data in written.items() for word in called if word in data]


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


class Crash(Exception):
    """Stands for a process that dies."""


@pytest.fixture
def dies_at(monkeypatch):
    """Function of a count -> writes to any LocalStore from that one on raise; None: none does."""
    plain = {name: getattr(LocalStore, name) for name in ("put", "put_once", "swap")}
    left: list[int | None] = [None]
    seen = [0]

    def failing(name):
        def write(self, *rest, **named):
            if left[0] is not None:
                if left[0] == 0:
                    raise Crash
                left[0] -= 1
            seen[0] += 1
            return plain[name](self, *rest, **named)

        return write

    for name in plain:
        monkeypatch.setattr(LocalStore, name, failing(name))

    def arm(count: int | None) -> int:
        left[0], total, seen[0] = count, seen[0], 0
        return total

    return arm


def test_a_crash_at_any_write_is_resumed_to_the_same_bytes(tmp_path, dies_at, monkeypatch):
    from factory.shards import withdrawal_successor

    monkeypatch.setattr(withdrawal_successor, "WRITERS", 1)
    write_version(LocalStore(tmp_path / "start"))
    quiet = LocalStore(shutil.copytree(tmp_path / "start", tmp_path / "quiet"))
    dies_at(None)
    forget(quiet, "cem")
    num_writes, wanted = dies_at(None), everything(quiet)
    assert num_writes > 20
    for count in range(num_writes):
        root = LocalStore(shutil.copytree(tmp_path / "start", tmp_path / str(count)))
        dies_at(count)
        with pytest.raises(Crash):
            forget(root, "cem")
        dies_at(None)
        new = version_of(root, "0.1.1")
        if withdrawal_of(version_of(root, "0.1.0")):
            assert new.exists(layout.SUCCESS)  # what is marked has a whole successor
        else:
            assert json.loads(root.get("tiny/latest.json"))["version"] == "0.1.0"
        forget(root, "cem")
        assert everything(root) == wanted, count


def test_a_second_person_gets_a_further_version(root):
    write_version(root)
    forget(root, "cem")
    forget(root, "anna")
    plan, roster = open_plan(version_of(root, "0.1.2"))
    assert roster.people.where("kind", "withdrawn").tolist() == [0, 0, 1, 0, 1, 0]
    assert plan.derived.of[0].version == "0.1.1"
    assert verify(version_of(root, "0.1.2")) == []
    assert withdrawal_of(version_of(root, "0.1.0")).successor == "0.1.1"
    assert withdrawal_of(version_of(root, "0.1.1")).successor == "0.1.2"
    assert json.loads(root.get("tiny/latest.json"))["version"] == "0.1.2"
    names = {name: root.get(name) for name in root.list("")}
    forget(root, "anna")  # again: nothing changes
    assert everything(root) == names


def test_numbers_that_are_taken_are_passed_over_and_latest_leaves_a_withdrawn_one(root):
    write_version(root)
    write_version(root, version="0.1.1", names=("eve", "fay"))
    forget(root, "cem")
    assert withdrawal_of(version_of(root, "0.1.0")).successor == "0.1.2"
    forget(root, "eve", version="0.0.9")  # older by its number than what is withdrawn
    assert json.loads(root.get("tiny/latest.json"))["version"] == "0.1.2"
    forget(root, "dora", version="0.0.8")
    assert json.loads(root.get("tiny/latest.json"))["version"] == "0.0.8"
    with pytest.raises(PlanError, match=r"--version: 0\.1\.0 is there already"):
        forget(root, "fay", version="0.1.0")


@pytest.mark.parametrize(
    ("version", "following"),
    [("0.1.0", ["0.1.1", "0.1.2"]), ("0.9.9", ["0.9.10", "0.9.11"]), ("1.0", ["1.0.1", "1.0.2"]),
     ("rc", ["rc.1", "rc.2"])],
)  # fmt: skip
def test_following_versions(version, following):
    versions = next_versions(version)
    assert [next(versions), next(versions)] == following


def test_a_version_that_nobody_else_is_in_has_no_successor(root):
    write_version(root, names=("anna",), num_virtual=0)
    forget(root, "anna")
    assert withdrawal_of(version_of(root, "0.1.0")).successor is None
    assert version_of(root, "0.1.1").list("") == []
    with pytest.raises(SourceError, match="it has no successor"):
        ReleaseStream(version_of(root, "0.1.0"))


def test_a_unit_of_which_nobody_is_left_stays_as_an_empty_one(root):
    write_version(root, names=("anna", "ben", "cem"), num_virtual=2)
    forget(root, "cem")
    new = version_of(root, "0.1.1")
    assert verify(new) == []
    assert metadata_rows(new, 2) == []
    assert len(ReleaseStream(new)) == 11


def test_an_unfinished_version_is_named_after_the_others_are_done(root):
    write_version(root)
    write_version(root, version="0.2.0", finish=False)
    root.put("tiny/private/0.2.0/people.npz", b"templates")
    with pytest.raises(
        PlanError, match=r"0\.2\.0: is not finished and holds them; remove it with private/0\.2\.0/"
    ):
        forget(root, "cem")
    assert withdrawal_of(version_of(root, "0.1.0")).successor == "0.1.1"


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


def labels_in(store: Store) -> set[int]:
    names = [name for name in store.list("metadata/")]
    tables = [pq.read_table(io.BytesIO(store.get(name))) for name in names]
    return {label for table in tables for label in table["identity"].to_pylist()}


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


@pytest.mark.parametrize("version", ["a/b", "..", "x y"])
def test_a_successor_is_called_as_a_version_may_be(root, version):
    write_version(root)
    before = everything(root)
    with pytest.raises(ConfigError, match=r"--version: got .* want ASCII letters"):
        forget(root, "cem", version=version)
    assert everything(root) == before


def test_a_successor_begins_with_no_license_of_another_name_and_says_so(root):
    write_version(root)
    old = version_of(root, "0.1.0")
    for name in (layout.LICENSE, layout.NOTICE):
        old.put(name, b"tiny 0.1.0\n")
    lineage = Lineage((), (), "cc-by-4.0").to_json()
    old.put(layout.LINEAGE, lineage)
    sums = old.get(layout.SUMS) + f"{hashlib.sha256(lineage).hexdigest()}  lineage.json\n".encode()
    old.put(layout.SUMS, sums)
    seal_extras(old)
    forget(root, "cem")
    new = version_of(root, "0.1.1")
    assert not new.exists(layout.LICENSE)
    assert not new.exists(layout.NOTICE)
    assert new.get(layout.LINEAGE) == lineage
    card = new.get(layout.CARD).decode()
    assert (
        "LICENSE and NOTICE are written when it is measured. Its stated license is cc-by-4.0"
        in (card)
    )
    assert verify(new) == []


def test_a_crash_before_the_mark_goes_on_after_the_successor_was_measured(root, monkeypatch):
    from factory.shards import withdrawal_successor

    write_version(root)

    def dies(*_):
        raise Crash

    monkeypatch.setattr(withdrawal_successor, "mark_withdrawn", dies)
    with pytest.raises(Crash):
        forget(root, "cem")
    monkeypatch.undo()
    new = version_of(root, "0.1.1")
    for name in (layout.LICENSE, layout.NOTICE, layout.CARD):
        new.put(name, b"measured")
    seal_extras(new)
    forget(root, "cem")
    assert withdrawal_of(version_of(root, "0.1.0")).successor == "0.1.1"
    assert new.get(layout.CARD) == b"measured"
    assert verify(new) == []


def test_extending_a_withdrawn_version_takes_the_vectors_of_its_successor(root):
    write_version(root)
    forget(root, "cem")
    find(f"{root.url}/tiny", "cem").delete(TODAY, lambda line: None)
    vectors = earlier_vectors(root.below("tiny"), "0.1.0")
    assert vectors[:2].any(axis=1).all()
    assert not vectors[4:5].any()


def test_a_confirmation_is_the_versions(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("0.1.0 0.2.0\n0.1.0\n"))
    confirm(["0.1.0", "0.2.0"])
    for _ in range(2):  # others, then no line at all
        with pytest.raises(PlanError, match="not confirmed, so nothing was written or deleted"):
            confirm(["0.1.0", "0.2.0"])


def test_a_tar_without_a_sample_that_its_table_has_is_altered(root):
    write_version(root)
    data = version_of(root, "0.1.0").get(layout.tar_name(2))
    with pytest.raises(RuntimeError, match="has no sample '000009_0000' of its metadata"):
        tar_without(data, {"000009_0000"})


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


@pytest.mark.s3
def test_withdrawal_in_a_bucket(s3_config, monkeypatch):
    config = s3_config()
    monkeypatch.setenv("AWS_ENDPOINT_URL", config.endpoint_url)
    root = open_store(config)
    write_version(root)
    settings = ["store.path_style=true"]
    for _ in range(2):
        withdrawal = find(f"{config.url}/tiny", "cem", settings)
        withdrawal.write(TODAY, lambda line: None)
    assert "a bucket that keeps versions of objects" in withdrawal.lines(True)[-1]
    withdrawal.delete(TODAY, lambda line: None)
    new = version_of(root, "0.1.1")
    assert verify(new) == []
    assert {row["identity"] for row in metadata_rows(new, 2)} == {5}
    assert "was deleted on" in verify(version_of(root, "0.1.0"))[0]
    assert json.loads(root.get("tiny/latest.json"))["version"] == "0.1.1"
