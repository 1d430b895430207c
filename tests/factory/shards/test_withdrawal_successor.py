"""The successor of a version: without one person, and all others unchanged."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile

import numpy as np
import pytest

from factory.config import SourceConfig
from factory.errors import ConfigError, PlanError, SourceError
from factory.provenance.lineage import Lineage
from factory.provenance.withdrawn import withdrawal_of
from factory.shards import layout
from factory.shards.export import export
from factory.shards.manifest import collect, read_plan, seal_extras
from factory.shards.plan_files import earlier_vectors, open_plan
from factory.shards.reader import metadata_rows, read_face
from factory.shards.verify import verify
from factory.shards.withdrawal import find
from factory.shards.withdrawal_successor import next_versions
from factory.shots.plan import Ancestor, Derived, Plan
from factory.sources import open_source
from factory.sources.webdataset import ReleaseStream
from factory.store import LocalStore, Store
from tests.withdrawals import (
    TODAY,
    Crash,
    everything,
    forget,
    version_of,
    write_version,
)

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


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


def test_extending_a_withdrawn_version_takes_the_vectors_of_its_successor(root):
    write_version(root)
    forget(root, "cem")
    find(f"{root.url}/tiny", "cem").delete(TODAY, lambda line: None)
    vectors = earlier_vectors(root.below("tiny"), "0.1.0")
    assert vectors[:2].any(axis=1).all()
    assert not vectors[4:5].any()


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
