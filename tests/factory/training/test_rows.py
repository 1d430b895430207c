"""Rows come back as they were stored, whatever is asked for; a mapped file is nobody's memory."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from factory.errors import StoreError
from factory.training import rows as shards
from factory.training.rows import ReadAhead, Rows, in_memory, mapped, rows_a_shard

WHOLE = np.random.default_rng(0).normal(size=(12, 2, 3)).astype(np.float32)


@pytest.fixture
def rows():
    return in_memory([WHOLE[:5], WHOLE[5:10], WHOLE[10:]])


def test_rows_are_those_of_the_whole_array(rows):
    chosen = np.array([11, 0, 5, 5, -1])
    assert (len(rows), rows.shape) == (12, WHOLE.shape)
    assert (rows[chosen] == WHOLE[chosen]).all()
    for part in (slice(3, 11), slice(None), slice(2, 100, 4), slice(4, 2)):
        assert (rows[part] == WHOLE[part]).all()
        assert rows[part].shape == WHOLE[part].shape
    assert (rows[7] == WHOLE[7]).all()
    which = np.array([0, 1, 1, 0, 1])
    assert (rows.pick(chosen, which) == WHOLE[chosen, which]).all()


@pytest.mark.parametrize(
    ("image_px", "num_rows"), [(64, 1024), (112, 1024), (128, 1024), (256, 256), (512, 64)]
)
def test_a_shard_holds_a_bounded_number_of_bytes(image_px, num_rows):
    assert rows_a_shard(image_px) == num_rows
    assert rows_a_shard(image_px) * 3 * image_px**2 <= 64 << 20


def test_a_subset_of_a_subset_is_of_the_stored_rows(rows):
    part = rows.subset(np.array([9, 3, 7])).subset(np.array([2, 0]))
    assert (part[:] == WHOLE[[7, 9]]).all()
    with pytest.raises(IndexError):
        part[np.array([2])]
    whole = in_memory([WHOLE[:5], WHOLE[5:10]])  # whose row -11 would be found, as row 9
    for row in (-11, 10):
        with pytest.raises(IndexError):
            whole[np.array([row])]


def test_rows_are_copies(rows):
    rows[np.array([1])][:] = 0
    assert (rows[1] == WHOLE[1]).all()


def test_a_mapped_file_keeps_no_descriptor_and_cannot_be_written_to(tmp_path):
    np.save(tmp_path / "x.npy", WHOLE)
    before = len(os.listdir("/proc/self/fd"))
    array = mapped(tmp_path / "x.npy")
    assert len(os.listdir("/proc/self/fd")) == before
    assert str(tmp_path / "x.npy") in Path("/proc/self/maps").read_text()
    assert (array == WHOLE).all()
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0


def test_few_files_are_mapped_at_a_time_by_an_array_and_its_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "MOST_OPEN", 3)
    for number in range(12):
        np.save(tmp_path / f"{number}.npy", WHOLE[number : number + 1])
    opened = []

    def open_shard(number):
        opened.append(number)
        return mapped(tmp_path / f"{number}.npy")

    def num_mapped():
        return Path("/proc/self/maps").read_text().count(str(tmp_path))

    rows = Rows(open_shard, 12, 1)
    part = rows.subset(np.arange(11, 5, -1))
    assert (rows[:] == WHOLE).all()
    assert (part[:] == WHOLE[11:5:-1]).all()
    assert num_mapped() == 3
    opened.clear()
    assert (rows[np.array([7, 6, 7])] == WHOLE[[7, 6, 7]]).all()  # read last, by the other
    assert opened == [0]  # for the shape
    del rows, part
    assert num_mapped() == 0


def test_one_mapping_too_many_names_the_limit(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise RuntimeError("unable to mmap 328 bytes: Cannot allocate memory (12)\ntrace")

    np.save(tmp_path / "x.npy", WHOLE)
    monkeypatch.setattr(shards.torch, "from_file", refused)
    with pytest.raises(StoreError, match=r"x\.npy: cannot be .*\(12\)\).*vm\.max_map_count") as it:
        mapped(tmp_path / "x.npy")
    assert "\n" not in str(it.value)


@pytest.mark.parametrize("size", [0, 40, 130, -1])
def test_a_file_that_is_cut_off_is_refused(tmp_path, size):
    np.save(tmp_path / "x.npy", WHOLE)
    data = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(data[:size])
    with pytest.raises(StoreError, match=r"x\.npy: is not a whole array .* remove it"):
        mapped(tmp_path / "x.npy")


def test_the_thread_reads_the_same_rows_of_each_array(rows, monkeypatch):
    copied = []
    monkeypatch.setattr(rows, "_shard", lambda number: Noted(copied, number))
    ahead = ReadAhead([rows, rows.subset(np.array([11, 10]))])
    ahead._touch(np.array([0, 1]))
    assert copied == [(0, 0), (0, 1), (2, 1), (2, 0)]


class Noted:
    """A shard that notes which of its rows are copied."""

    def __init__(self, copied, number):
        self._copied, self._number = copied, number

    def __getitem__(self, offset):
        return Row(self._copied, (self._number, offset))


class Row:
    def __init__(self, copied, place):
        self._copied, self._place = copied, place

    def copy(self):
        self._copied.append(self._place)


def test_what_the_thread_meets_is_raised(rows):
    ahead = ReadAhead([rows])
    ahead.begin(np.array([12]))
    assert isinstance(ahead._last.exception(), IndexError)
    with pytest.raises(IndexError):
        ahead.begin(np.array([1]))
