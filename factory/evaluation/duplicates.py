"""Faces whose perceptual hashes are nearly the same: all of them, without comparing all pairs.

Hashes that differ in at most d of their bits agree in one of d + 1 bands of bits (multi-index
hashing, Norouzi et al. 2012). So for each band faces are sorted into buckets, and compared within
them alone. Hashes lie in a file and are taken a part at a time, by what their band holds, so memory
does not grow with faces (but for a byte each in a mapped file).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

MAX_ROWS = 1 << 20
"""Faces whose hashes are in memory at once: 100 MB."""
BLOCK = 1024
"""Faces that are compared at once with a bucket."""
SMALL = 32
"""Faces in a bucket up to which all buckets are compared together."""
BITS = 256


def packed(hash_NB: np.ndarray) -> np.ndarray:
    """Hashes [N, 256] of +-1/16 as bits, uint8 [N, 32]."""
    return np.packbits(hash_NB > 0, axis=1)


def max_distance(min_cosine: float) -> int:
    """Most bits in which two hashes of at least that cosine differ: cosine = 1 - 2*d/256."""
    return int((1 - min_cosine) * BITS / 2 + 1e-9)


def distances(a_M: np.ndarray, b_N: np.ndarray) -> np.ndarray:
    """Bits that differ between packed hashes [M, 32] and [N, 32]: [M, N]."""
    a_M4, b_N4 = (np.ascontiguousarray(x).view(np.uint64) for x in (a_M, b_N))
    total = np.zeros((len(a_M), len(b_N)), np.uint16)
    for word in range(a_M4.shape[1]):
        total += np.bitwise_count(a_M4[:, word, None] ^ b_N4[None, :, word])
    return total


def has_twin(hash_N32: np.ndarray, class_N: np.ndarray, distance: int) -> np.ndarray:
    """Whether another face of its own class has nearly its hash: bool [N]."""
    twin_N = np.zeros(len(hash_N32), bool)
    for label in np.unique(class_N):
        rows = np.flatnonzero(class_N == label)
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            near = distances(hash_N32[part], hash_N32[rows]) <= distance
            near[np.arange(len(part)), start + np.arange(len(part))] = False
            twin_N[part] = near.any(1)
    return twin_N


def has_stranger(
    hash_N32: np.ndarray,
    label_N: np.ndarray,
    distance: int,
    found_path: Path,
    max_rows: int = MAX_ROWS,
) -> np.ndarray:
    """Whether a face of another class has nearly its hash: bool [N], in a file at `found_path`.

    Hashes [N, 32] and labels [N] may be mapped files.
    """
    found_N: np.ndarray = np.lib.format.open_memmap(found_path, "w+", np.bool_, (len(label_N),))
    for band in bands(distance + 1):
        for rows in _parts(hash_N32, band, max_rows):
            hashes, labels = np.asarray(hash_N32[rows]), np.asarray(label_N[rows])
            found_N[rows] |= _in_buckets(hashes, labels, band, distance, np.asarray(found_N[rows]))
    return found_N


def bands(count: int) -> list[np.ndarray]:
    """Bits of each band: every `count`-th one, because neighboring frequencies are alike."""
    return [np.arange(first, BITS, count) for first in range(count)]


def band_keys(hash_N32: np.ndarray, band: np.ndarray) -> np.ndarray:
    """What each hash holds in a band, as a number."""
    key_N: np.ndarray = np.zeros(len(hash_N32), np.uint64)
    for bit in band:
        value_N = (hash_N32[:, bit // 8] >> np.uint8(7 - bit % 8)) & np.uint8(1)
        # a wide band is folded: equal bits have equal keys, and others are compared anyway
        key_N = (key_N << np.uint64(1) | key_N >> np.uint64(63)) ^ value_N.astype(np.uint64)
    return key_N


def _parts(hash_N32: np.ndarray, band: np.ndarray, max_rows: int) -> Iterator[np.ndarray]:
    """Rows in parts of about `max_rows`; equal keys are in one part."""
    count = -(-len(hash_N32) // max_rows)
    for part in range(count):
        chosen = []
        for start in range(0, len(hash_N32), max_rows):
            mixed = band_keys(np.asarray(hash_N32[start : start + max_rows]), band)
            mixed *= np.uint64(0x9E3779B97F4A7C15)  # spreads keys over parts (Knuth)
            chosen.append(
                start + np.flatnonzero((mixed >> np.uint64(32)) % np.uint64(count) == part)
            )
        yield np.concatenate(chosen)


def _in_buckets(
    hash_N32: np.ndarray, label_N: np.ndarray, band: np.ndarray, distance: int, found_N: np.ndarray
) -> np.ndarray:
    """Which faces are near to one of another class in their bucket, or are `found_N` already."""
    key_N = band_keys(hash_N32, band)
    order = np.argsort(key_N, kind="stable")
    sorted_N, found_N = key_N[order], found_N.copy()
    for apart in range(1, SMALL):  # all small buckets at once: each face and the one `apart` on
        same = np.flatnonzero(sorted_N[apart:] == sorted_N[:-apart])
        if not len(same):
            return found_N
        first_P, second_P = order[same], order[same + apart]
        near_P = label_N[first_P] != label_N[second_P]
        first_P, second_P = first_P[near_P], second_P[near_P]
        near_P = _pair_distances(hash_N32, first_P, second_P) <= distance
        found_N[first_P[near_P]] = found_N[second_P[near_P]] = True
    starts = np.flatnonzero(np.diff(sorted_N, prepend=~sorted_N[:1]) != 0)
    sizes = np.diff(starts, append=len(order))
    for start, size in zip(starts[sizes > SMALL], sizes[sizes > SMALL], strict=True):
        _compare(hash_N32, label_N, order[start : start + size], distance, found_N)
    return found_N


def _pair_distances(hash_N32: np.ndarray, first_P: np.ndarray, second_P: np.ndarray) -> np.ndarray:
    """Bits that differ in each pair of rows: [P]."""
    hash_N4 = np.ascontiguousarray(hash_N32).view(np.uint64)
    different_P4 = np.bitwise_count(hash_N4[first_P] ^ hash_N4[second_P])
    return np.asarray(different_P4.sum(1, dtype=np.uint16))


def _compare(
    hash_N32: np.ndarray,
    label_N: np.ndarray,
    bucket: np.ndarray,
    distance: int,
    found_N: np.ndarray,
) -> None:
    """Mark faces of one bucket; a block without a face to be found is left out."""
    for first in range(0, len(bucket), BLOCK):
        rows = bucket[first : first + BLOCK]
        rows = rows[~found_N[rows]]
        for second in range(0, len(bucket), BLOCK):
            others = bucket[second : second + BLOCK]
            if not len(rows):
                break
            near = distances(hash_N32[rows], hash_N32[others]) <= distance
            near &= label_N[rows][:, None] != label_N[others]
            found_N[rows[near.any(1)]] = True
            found_N[others[near.any(0)]] = True
            rows = rows[~found_N[rows]]
