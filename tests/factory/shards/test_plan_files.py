"""Rosters that are mapped: one copy on a machine, the right bytes, no private memory."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from factory.errors import IntegrityError
from factory.identities.roster import Roster
from factory.shards import layout, plan_files
from factory.shards.plan_files import open_roster
from factory.shots.plan import Plan, cut_units
from factory.store import LocalStore, cache, open_store
from tests.planned import REQUEST, virtual_people
from tests.vectors import unit_rows

COUNT, DIM = 50, 8


class Bucket:
    """What a bucket offers of a folder, with the names that were streamed."""

    def __init__(self, folder: LocalStore) -> None:
        self.url, self.get, self.size = "s3://bucket", folder.get, folder.size
        self.streamed: list[str] = []
        self._folder = folder

    def stream(self, name, start=0, stop=None):
        self.streamed.append(name)
        return self._folder.stream(name, start, stop)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> LocalStore:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(plan_files, "MAPPED_BYTES", 1)
    return LocalStore(tmp_path / "release")


@pytest.fixture
def plan(folder) -> Plan:
    """The plan of a roster that lies in `folder`."""
    return planned(folder, Roster(virtual_people(*[2] * COUNT), unit_rows(0, COUNT, DIM)))


def planned(folder: LocalStore, roster: Roster) -> Plan:
    for name, content in (
        (layout.ROSTER, roster.parquet()),
        (layout.EMBEDDINGS, roster.embeddings()),
    ):
        folder.put(name, content)
    digests = {name: folder.sha256(name) for name in (layout.ROSTER, layout.EMBEDDINGS)}
    return Plan(REQUEST, digests, cut_units(roster.identities, 10))


@pytest.fixture
def aged(monkeypatch) -> None:
    """Files are old enough for their times to tell."""
    monkeypatch.setattr(cache, "YOUNG_S", -1.0)


@pytest.fixture
def hashed(monkeypatch) -> list[str]:
    """Names of files that were read to the end."""
    names: list[str] = []
    plain = cache._sha256

    def noted(path):
        names.append(path.name)
        return plain(path)

    monkeypatch.setattr(cache, "_sha256", noted)
    return names


@pytest.mark.parametrize("where", ["folder", "bucket"])
def test_a_mapped_roster_is_the_one_written(folder, plan, where):
    store = folder if where == "folder" else Bucket(folder)
    roster = open_roster(store, plan)
    assert isinstance(roster.unit_ND, np.memmap)
    assert np.array_equal(roster.unit_ND, unit_rows(0, COUNT, DIM))
    assert roster.identities == virtual_people(*[2] * COUNT)
    same = folder.path(layout.EMBEDDINGS).samefile(roster.unit_ND.filename)
    assert same == (where == "folder")


@pytest.mark.s3
def test_a_roster_in_a_bucket_is_mapped_from_this_machine(folder, plan, s3_config):
    store = open_store(s3_config())
    for name in (layout.ROSTER, layout.EMBEDDINGS):
        store.put(name, folder.get(name))
    for _ in range(2):
        roster = open_roster(store, plan)
        assert cache.cache_root() in Path(roster.unit_ND.filename).parents
        assert np.array_equal(roster.unit_ND, unit_rows(0, COUNT, DIM))


def test_a_small_roster_is_in_memory_and_leaves_nothing_on_the_machine(folder, plan, monkeypatch):
    monkeypatch.setattr(plan_files, "MAPPED_BYTES", 1 << 20)
    roster = open_roster(Bucket(folder), plan)
    assert not isinstance(roster.unit_ND, np.memmap)
    assert not cache.cache_root().exists()


def test_what_is_written_into_mapped_vectors_stays_in_the_process(folder, plan):
    roster = open_roster(folder, plan)
    roster.unit_ND[0] = 0
    again = open_roster(folder, plan)
    assert np.array_equal(again.unit_ND, unit_rows(0, COUNT, DIM))


def test_a_file_is_read_to_the_end_once_for_all_actors(folder, plan, hashed, aged):
    for _ in range(3):
        open_roster(folder, plan)
    assert hashed == [layout.EMBEDDINGS]


def test_a_copy_is_fetched_once_and_not_read_again(folder, plan, hashed):
    bucket = Bucket(folder)
    for _ in range(3):
        open_roster(bucket, plan)
    assert bucket.streamed == [layout.EMBEDDINGS]
    assert hashed == []  # the download was summed up on its way


@pytest.mark.parametrize("later_ns", [0, 1])
def test_other_vectors_in_the_folder_are_refused_even_after_a_check(folder, plan, aged, later_ns):
    """Of the same size, and with the old time of writing where somebody set it back."""
    open_roster(folder, plan)
    path = folder.path(layout.EMBEDDINGS)
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + later_ns))
    while path.stat().st_ctime_ns == before.st_ctime_ns:  # the system's clock has coarse ticks
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + later_ns))
    with pytest.raises(IntegrityError, match=r"embeddings\.npy: has another sha256, want"):
        open_roster(folder, plan)


def test_a_young_file_is_not_yet_believed(folder, plan, hashed, monkeypatch):
    """Its times could be those of a change in the same tick of the clock."""
    monkeypatch.setattr(cache, "YOUNG_S", 1e9)
    open_roster(folder, plan)
    open_roster(folder, plan)
    assert hashed == [layout.EMBEDDINGS] * 2


def test_another_roster_of_the_same_people_is_refused(folder, plan):
    other = Roster(virtual_people(*[2] * COUNT), unit_rows(1, COUNT, DIM))
    planned(folder, other)
    with pytest.raises(IntegrityError, match=r"embeddings\.npy"):
        open_roster(folder, plan)
    with pytest.raises(IntegrityError, match=r"embeddings\.npy: has sha256 .*, want"):
        open_roster(Bucket(folder), plan)
    changed = [dataclasses.replace(one, group="a") for one in other.identities]
    planned(folder, Roster(changed, unit_rows(0, COUNT, DIM)))
    with pytest.raises(IntegrityError, match=r"roster\.parquet: is not the one the plan"):
        open_roster(folder, plan)


@pytest.mark.parametrize("damage", ["torn", "altered"])
def test_a_damaged_copy_is_fetched_again(folder, plan, damage):
    bucket = Bucket(folder)
    path = cache.file_here(bucket, layout.EMBEDDINGS, plan.roster_sha256[layout.EMBEDDINGS])
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] if damage == "torn" else whole[:-1] + b"x")
    os.utime(path, ns=(0, 0))
    roster = open_roster(bucket, plan)
    assert np.array_equal(roster.unit_ND, unit_rows(0, COUNT, DIM))
    assert path.read_bytes() == whole
    assert len(bucket.streamed) == 2


def test_where_nothing_can_be_kept_every_actor_reads(folder, plan, hashed, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        open_roster(folder, plan)
    assert hashed == [layout.EMBEDDINGS] * 2


def test_a_missing_file_is_named(folder, plan):
    folder.delete(layout.EMBEDDINGS)
    with pytest.raises(FileNotFoundError, match=r"embeddings\.npy"):
        open_roster(folder, plan)


def anonymous_kb() -> int:
    """Memory of this process that no file backs."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def test_a_mapped_roster_takes_no_private_memory(folder):
    """Of 80 MB that are all read less than an eighth is the process's own."""
    count, dim = 40_000, 512
    unit_ND = np.resize(unit_rows(0, 100, dim), (count, dim))
    plan = planned(folder, Roster(virtual_people(*[1] * count), unit_ND))
    expected = float(unit_ND[::100].sum())
    del unit_ND
    open_roster(folder, plan)  # so that what is imported late is there
    before = anonymous_kb()
    roster = open_roster(folder, plan)
    assert float(roster.unit_ND[::100].sum()) == pytest.approx(expected)
    assert sum(float(row.sum()) for row in roster.unit_ND[:100]) != 0
    touched = sum(float(roster.unit_ND[i : i + 1000].max()) for i in range(0, count, 1000))
    assert touched > 0
    assert anonymous_kb() - before < count * dim * 4 // 1024 // 8
