"""Each shard is made once, by whoever comes; one that is cut off is made again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from factory.config import StoreConfig
from factory.errors import StoreError
from factory.training import local_space
from factory.training.row_files import Place, RowFiles, RowTask, named_by

WHOLE = np.arange(12 * 3, dtype=np.float32).reshape(12, 3)


class Maker:
    """Makes rows of WHOLE, and notes which shards; dies at the shard `dies_at`."""

    def __init__(self, files: RowFiles, dies_at: int = -1) -> None:
        self.made: list[int] = []
        self._files, self._dies_at = files, dies_at

    def __call__(self, number):
        if number == self._dies_at:
            raise KeyboardInterrupt
        self.made.append(number)
        return WHOLE[self._files.rows_of(number)], {"left_out": {}}


@pytest.fixture
def files(tmp_path):
    return RowFiles(Place.at(str(tmp_path / "rows"), StoreConfig()), "latents-0", 12, 5)


def make(files, dies_at=-1):
    maker = Maker(files, dies_at)
    RowTask(files, maker).make_missing()
    return maker.made


def test_rows_are_read_as_they_were_made(files):
    assert files.missing() == [0, 1, 2]
    assert make(files) == [0, 1, 2]
    assert files.missing() == []
    assert (files.rows()[:] == WHOLE).all()
    assert [record["shape"] for record in files.records()] == [[3]] * 3
    assert not list((files.place.local / "latents-0").glob(".*"))  # no locks, no halves


def test_what_was_made_before_a_death_is_not_made_again(files):
    with pytest.raises(KeyboardInterrupt):
        make(files, dies_at=2)
    assert files.missing() == [2]
    assert make(files) == [2]
    assert (files.rows()[:] == WHOLE).all()


@pytest.mark.parametrize("name", ["00001.npy", "00000.json", "00002.npy"])
def test_a_torn_file_is_made_again_and_no_other(files, name):
    make(files)
    path = files.place.local / "latents-0" / name
    path.write_bytes(path.read_bytes()[:-1])
    number = int(name[:5])
    assert not files.has(number)
    assert files.missing() == [number]
    assert make(files) == [number]
    assert (files.rows()[:] == WHOLE).all()


def test_a_torn_record_is_refused_where_it_is_read(files):
    make(files)
    (files.place.local / "latents-0" / "00001.json").write_text('{"sha256": "')
    with pytest.raises(StoreError, match=r"latents-0/00001\.json: is not a record; remove it"):
        files.records()


def test_a_file_without_its_record_is_not_made(files):
    make(files)
    (files.place.local / "latents-0" / "00001.json").unlink()
    assert files.missing() == [1]


def test_ranks_begin_at_different_shards_and_make_what_is_left(files, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert make(files) == [1, 2, 0]


class Waited(Exception):
    """A process would wait for another."""


class Impatient(RowFiles):
    def claimed(self, number, *, wait):
        if wait:
            raise Waited
        return super().claimed(number, wait=wait)


def test_a_shard_that_another_process_is_at_is_left_to_it(files):
    """Shard 2 is claimed all the time; shard 1 is made by somebody while this one makes 0."""
    other = Maker(files)

    class Slow(Maker):
        def __call__(self, number):
            if number == 0:
                RowTask(files, other).make_one(1)
            return super().__call__(number)

    slow = Slow(files)
    task = RowTask(Impatient(files.place, files.name, files.num_rows, files.shard_rows), slow)
    with files.claimed(2, wait=False), pytest.raises(Waited):
        task.make_missing()
    assert (slow.made, other.made) == ([0], [1])
    assert make(files) == [2]


def test_no_room_is_one_line_before_the_rest_is_made(files, monkeypatch):
    full = shutil.disk_usage(files.place.local.parent)._replace(free=100)
    monkeypatch.setattr(local_space.shutil, "disk_usage", lambda path: full)
    with pytest.raises(StoreError, match=r"training\.cache: 0\.0 GB free at .*; free some, or"):
        make(files)
    assert files.missing() == [1, 2]


def test_other_facts_are_another_folder():
    assert named_by("a", "b") == named_by("a", "b")
    assert len({named_by("a", "b"), named_by("b", "a"), named_by("a b"), named_by("a")}) == 4


@pytest.mark.s3
def test_a_bucket_is_fetched_once_to_each_machine(s3_config, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    config = s3_config()
    place = Place.at(f"{config.url}/rows", config)
    files = RowFiles(place, "latents-0", 12, 5)
    assert make(files) == [0, 1, 2]
    assert not list(place.local.rglob("*.npy"))
    rows = files.rows()
    assert (rows[np.array([11, 0])] == WHOLE[[11, 0]]).all()
    assert sorted(path.name for path in place.local.rglob("*.npy")) == ["00000.npy", "00002.npy"]
    assert json.loads(place.store.get("latents-0/00000.json"))["dtype"] == "<f4"
    gone = replace(place, store=place.store.below("gone"))
    assert (replace(files, place=gone).rows()[0] == WHOLE[0]).all()  # of the copy
    assert make(files) == []
