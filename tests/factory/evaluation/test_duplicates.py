"""Near-duplicates by bands of bits: the very faces that comparing all pairs finds."""

from __future__ import annotations

import numpy as np
import pytest

from factory.evaluation import duplicates
from factory.evaluation.duplicates import (
    distances,
    has_stranger,
    has_twin,
    max_distance,
    packed,
)


def families(count: int, size: int, most_flipped: int, seed: int = 0) -> np.ndarray:
    """Packed hashes of `count` faces, each near to one of `size` others' but for some bits."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (size, 256))[rng.integers(0, size, count)].astype(np.uint8)
    for row in bits:
        row[rng.choice(256, rng.integers(0, most_flipped + 1), replace=False)] ^= 1
    return np.packbits(bits, axis=1)


def by_all_pairs(hash_N32: np.ndarray, labels: np.ndarray, distance: int) -> np.ndarray:
    bits = np.unpackbits(hash_N32, axis=1).astype(int)
    near = (bits[:, None] != bits).sum(2) <= distance
    return (near & (labels[:, None] != labels)).any(1)


@pytest.mark.parametrize("most_flipped", [3, 7, 9, 13])
@pytest.mark.parametrize("max_rows", [1 << 20, 50])
@pytest.mark.parametrize("small", [2, 32])
def test_they_are_those_of_all_pairs(tmp_path, monkeypatch, most_flipped, max_rows, small):
    """Pairs up to the limit apart and just beyond; in parts, and by buckets of any size."""
    monkeypatch.setattr(duplicates, "SMALL", small)
    monkeypatch.setattr(duplicates, "BLOCK", 8)
    hash_N32 = families(300, 60, most_flipped)
    labels = np.random.default_rng(1).integers(0, 100, 300)
    wanted = by_all_pairs(hash_N32, labels, 12)
    found = has_stranger(hash_N32, labels, 12, tmp_path / "found.npy", max_rows)
    assert (found == wanted).all()
    assert 0 < wanted.sum()


def test_two_hashes_are_found_up_to_the_limit_wherever_they_differ(tmp_path):
    """One bit in each of twelve of the thirteen bands, whichever is left out."""
    for spared in range(13):
        hashes = np.zeros((2, 256), np.uint8)
        hashes[1, [band for band in range(13) if band != spared]] = 1
        found = has_stranger(
            np.packbits(hashes, axis=1), np.array([0, 1]), 12, tmp_path / f"{spared}.npy"
        )
        assert found.all()
        hashes[1, spared] = 1
        further = has_stranger(
            np.packbits(hashes, axis=1), np.array([0, 1]), 12, tmp_path / "further.npy"
        )
        assert not further.any()


def test_faces_of_one_class_are_no_strangers(tmp_path):
    hashes = np.zeros((40, 32), np.uint8)  # more than are compared all buckets at once
    labels = np.zeros(40, int)
    assert not has_stranger(hashes[:3], labels[:3], 12, tmp_path / "few.npy").any()
    assert not has_stranger(hashes, labels, 12, tmp_path / "many.npy").any()
    labels[7] = 1
    assert has_stranger(hashes, labels, 12, tmp_path / "other.npy").all()


def test_a_release_of_one_picture_takes_no_longer(tmp_path, monkeypatch):
    """Faces that are found already are compared with nobody."""
    compared = []
    monkeypatch.setattr(
        duplicates,
        "distances",
        lambda a, b: compared.append(len(a) * len(b)) or distances(a, b),
    )
    hash_N32 = np.repeat(families(1, 1, 0), 4000, axis=0)
    assert has_stranger(hash_N32, np.arange(4000), 12, tmp_path / "found.npy").all()
    assert sum(compared) <= 2 * duplicates.BLOCK * 4000


def test_twins_are_of_one_class(monkeypatch):
    monkeypatch.setattr(duplicates, "BLOCK", 3)
    hash_N32 = families(40, 10, 8, seed=2)
    labels = np.random.default_rng(3).integers(0, 8, 40)
    bits = np.unpackbits(hash_N32, axis=1).astype(int)
    near = ((bits[:, None] != bits).sum(2) <= 12) & (labels[:, None] == labels)
    np.fill_diagonal(near, False)
    assert near.any()
    assert (has_twin(hash_N32, labels, 12) == near.any(1)).all()


def test_a_cosine_is_a_number_of_bits():
    """Of +-1/16 the cosine is 1 - 2*d/256, so .9 is at most 12 bits and not 13."""
    hashes = np.full((2, 256), 1 / 16, np.float32)
    for num_bits, near in ((12, True), (13, False)):
        hashes[1] = 1 / 16
        hashes[1, :num_bits] = -1 / 16
        assert (hashes[0] @ hashes[1] >= 0.9) == near
        assert distances(packed(hashes[:1]), packed(hashes[1:])) == num_bits
    assert max_distance(0.9) == 12
    assert max_distance(1 - 2 * 5 / 256) == 5


def test_twins_of_many_faces_take_no_matrix_of_all_of_them(monkeypatch):
    sizes, plain = [], duplicates.distances

    def counted(a_M, b_N):
        sizes.append(len(a_M) * len(b_N))
        return plain(a_M, b_N)

    monkeypatch.setattr(duplicates, "BLOCK", 16)
    monkeypatch.setattr(duplicates, "distances", counted)
    hash_N32 = families(200, 10, 8, seed=4)
    assert has_twin(hash_N32, np.zeros(200, int), 12).any()
    assert max(sizes) == 16 * 200
