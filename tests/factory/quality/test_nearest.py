"""The nearest of many people is the exact one, whatever the blocks, the batch or the copy."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from factory.quality import nearest as nearest_module
from factory.quality.nearest import LANES, FixedPeople
from factory.store import shared_rows
from tests.vectors import SEARCHES, unit_rows

CPU = torch.device("cpu")
NOBODY = -1


def brute(unit_BD, unit_ND, without_B):
    exact_BN = unit_BD.astype(np.float64) @ unit_ND.astype(np.float64).T
    rows = np.flatnonzero(without_B >= 0)
    exact_BN[rows, without_B[rows]] = -2
    return exact_BN.max(1), exact_BN.argmax(1)


@pytest.mark.parametrize("block_rows", [None, 1, LANES, 100, 2 * LANES])
@pytest.mark.parametrize("count", [1, 5])
def test_nearest_is_that_of_a_double_loop(block_rows, count):
    unit_ND = unit_rows(1, 500, 16)
    unit_ND[7] = unit_ND[3]  # a tie: the first of them
    people = FixedPeople(unit_ND, CPU, block_rows=block_rows)
    for seed in range(20):
        unit_BD = unit_rows(100 + seed, count, 16)
        unit_BD[0] = unit_ND[[3, 99, 100, 499, 0][seed % 5]]  # on both sides of a boundary
        without_B = np.full(count, NOBODY)
        if seed % 2:
            without_B[0] = [3, 99, 100, 499, 0][seed % 5]
        cosine_B, row_B = people.nearest(unit_BD, without_B)
        exact_B, wanted_B = brute(unit_BD, unit_ND, without_B)
        np.testing.assert_allclose(cosine_B, exact_B, atol=1e-12)
        assert row_B.tolist() == wanted_B.tolist()


def close_together(seed: int, dim: int = 3, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """A face, and people whose cosines to it differ by less than bfloat16 errs."""
    face, across = unit_rows(seed, 1, dim), unit_rows(100 + seed, count, dim)
    across -= (across @ face.T) * face
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    cosine = np.random.default_rng(seed).uniform(0.99, 0.992, (count, 1))
    return face, (cosine * face + np.sqrt(1 - cosine**2) * across).astype(np.float32)


@pytest.mark.parametrize("kind", ["bf16", "faiss"])
def test_whom_bfloat16_cannot_tell_apart_are_compared_exactly(kind, monkeypatch):
    search, nobody, missed = SEARCHES[kind](3), np.array([NOBODY]), 0
    monkeypatch.setattr(nearest_module, "pick_search", lambda dim, facts: search)
    for seed in range(30):
        face, unit_ND = close_together(seed)
        _, wanted = brute(face, unit_ND, nobody)
        rounded_N = (torch.from_numpy(unit_ND).bfloat16() @ torch.from_numpy(face).bfloat16().T)[
            :, 0
        ]
        missed += bool(rounded_N[wanted[0]] < rounded_N.max())
        people = FixedPeople(unit_ND, CPU, block_rows=128)
        assert people._rows_ND.dtype is (torch.bfloat16 if kind == "bf16" else torch.float32)
        assert people.nearest(face, nobody)[1].tolist() == wanted.tolist()
    assert missed > 5  # the winner of a first pass is often another


def test_answers_do_not_depend_on_who_else_is_asked():
    unit_ND, unit_BD = unit_rows(8, 2000, 32), unit_rows(9, 24, 32)
    people, own = FixedPeople(unit_ND, CPU), np.arange(24) * 50
    cosine_B, row_B = people.nearest(unit_BD, own)
    for size in (1, 5, 12):
        for first in range(0, 24, size):
            part = slice(first, first + size)
            cosine, row = people.nearest(unit_BD[part], own[part])
            assert (cosine.tobytes(), row.tolist()) == (
                cosine_B[part].tobytes(),
                row_B[part].tolist(),
            )


def test_nobody_is_near_where_nobody_is_left():
    one = np.eye(1, 8, dtype=np.float32)
    assert [x.tolist() for x in FixedPeople(one, CPU).nearest(one, np.array([0]))] == [[-1.0], [-1]]
    none = FixedPeople(np.empty((0, 8), np.float32), CPU)
    assert [x.tolist() for x in none.nearest(one, np.array([NOBODY]))] == [[-1.0], [-1]]


@pytest.fixture
def shared(monkeypatch, tmp_path):
    """FixedPeople whose bfloat16 copy is a file of the machine, and that file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(nearest_module, "SHARED_FROM_BYTES", 0)
    monkeypatch.setattr(shared_rows, "MADE_AT_ONCE", 100)
    unit_ND = unit_rows(3, 333, 16)
    return lambda: FixedPeople(unit_ND, CPU, "digest"), tmp_path / "face-factory/rows/digest.bf16"


def test_processes_of_a_machine_map_one_copy(shared):
    open_people, file = shared
    first = open_people()
    if first._rows_ND.dtype is torch.float32:
        pytest.skip("this CPU is slow at bfloat16")
    inode = file.stat().st_ino
    second = open_people()
    assert (file.stat().st_ino, file.stat().st_size) == (inode, 333 * 16 * 2)
    assert torch.equal(first._rows_ND, second._rows_ND)
    assert torch.equal(second._rows_ND, torch.from_numpy(unit_rows(3, 333, 16)).bfloat16())
    maps = open("/proc/self/maps").read()
    assert str(file) in maps


@pytest.mark.parametrize("damage", ["other bytes", "cut off"])
def test_a_damaged_copy_is_made_anew(shared, damage):
    open_people, file = shared
    whole = open_people()._rows_ND.clone()
    if whole.dtype is torch.float32:
        pytest.skip("this CPU is slow at bfloat16")
    content = bytearray(file.read_bytes())
    content[-1] ^= 0xFF  # in the last of the parts
    file.unlink()
    file.write_bytes(content if damage == "other bytes" else content[:-1])
    assert torch.equal(open_people()._rows_ND, whole)


def test_where_nothing_can_be_kept_a_process_has_its_own(shared, monkeypatch, tmp_path):
    open_people, file = shared
    (tmp_path / "face-factory").write_text("a file has the name of the folder")
    people = open_people()
    assert len(people._rows_ND) == 333
    assert not os.path.exists(file)


def test_a_mapped_roster_is_read_where_it_lies(tmp_path):
    unit_ND = unit_rows(4, 50, 8)
    np.save(tmp_path / "roster.npy", unit_ND)
    mapped = np.load(tmp_path / "roster.npy", mmap_mode="r")
    people = FixedPeople(mapped, CPU)
    assert people._unit_ND is mapped
    assert people.nearest(unit_ND[:1], np.array([NOBODY]))[1].tolist() == [0]
    assert people.vector(3).tolist() == unit_ND[3].tolist()
