"""Images that are one picture: byte for byte, or encoded, resized, mirrored or cut a little anew.

Every image has the perceptual hashes of factory/evaluation/image_queries.py: its own, and those of
what it would be if up to 6 % of a side were cut off at each edge, both also mirrored. An image is a
copy of another where any of these is near the other's own hash. Three searches find the pairs, none
of which compares all images with all:

- the hashes of a person's images with one another;
- an index of bands of bits (multi-index hashing, Norouzi et al. 2012) over all images, for hashes
  that differ in at most INDEX_BITS bits;
- pairs that someone else proposes, such as nearest neighbors by a judge.

Shapes: N images, V hashes of each, 32 bytes of packed bits, P pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from factory.evaluation.duplicates import band_keys, bands
from factory.evaluation.image_queries import HASHES

MAX_BITS = 30
"""Bits of 255 up to which two hashes of a proposed pair, or of one person's, are of one picture.
Those of two strangers differ in 38 or more, of 180,000 pairs (README of this room)."""
INDEX_BITS = 12
"""Most bits of 255 that differ in a pair that the index finds."""
LARGEST_BUCKET = 64
"""Images of a bucket that are compared with each one; larger buckets are of blank pictures."""
MAX_OWN = 400
"""Images of a person up to which all their pairs are compared."""
AT_ONCE = 1 << 20
"""Pairs whose bits are counted at once."""
ROW_BITS = 31
"""Bits of a row's number."""
IDENTICAL = -1
"""In the place of bits: the same bytes."""


@dataclass(frozen=True)
class Copies:
    """Pairs of images that are one picture, the nearest first."""

    pairs_P2: np.ndarray
    """Rows of a first and a second set, or of one set with the lower row first; int64."""
    bits_P: np.ndarray
    """Bits of 255 in which the hashes differ; IDENTICAL for the same bytes."""
    mirrored_P: np.ndarray
    """Whether one is the mirror image of the other."""

    def __len__(self) -> int:
        return len(self.bits_P)


def copies_within(
    hash_NV32: np.ndarray, digest_N16: np.ndarray, label_N: np.ndarray, proposed_P2: np.ndarray
) -> Copies:
    """All pairs of copies in one set; digests are of the bytes of its images."""
    found = [_same_bytes(digest_N16), *_own_pairs(label_N), proposed_P2.reshape(-1, 2)]
    found += list(_indexed(hash_NV32, hash_NV32[:, 0]))
    pairs = _distinct(np.sort(part[part[:, 0] != part[:, 1]], axis=1) for part in found)
    forth = _bits(hash_NV32, hash_NV32[:, 0], pairs)
    back = _bits(hash_NV32, hash_NV32[:, 0], pairs[:, ::-1])
    nearer_P = back[0] < forth[0]
    bits_P, variant_P = (np.where(nearer_P, b, f) for b, f in zip(back, forth, strict=True))
    same_P = (digest_N16[pairs[:, 0]] == digest_N16[pairs[:, 1]]).all(1)
    return _chosen(pairs, bits_P, variant_P, same_P)


def copies_between(
    hash_MV32: np.ndarray,
    digest_M16: np.ndarray,
    other_NV32: np.ndarray,
    other_digest_N16: np.ndarray,
    proposed_P2: np.ndarray,
) -> Copies:
    """Pairs (row of the first set, row of the other) that are copies."""
    both = np.concatenate([digest_M16, other_digest_N16])
    same = _same_bytes(both)
    same = same[(same[:, 0] < len(digest_M16)) & (same[:, 1] >= len(digest_M16))]
    found = [same - [0, len(digest_M16)], proposed_P2.reshape(-1, 2)]
    found += list(_indexed(hash_MV32, other_NV32[:, 0]))
    found += [pairs[:, ::-1] for pairs in _indexed(other_NV32, hash_MV32[:, 0])]
    pairs = _distinct(found)
    forth = _bits(hash_MV32, other_NV32[:, 0], pairs)
    back = _bits(other_NV32, hash_MV32[:, 0], pairs[:, ::-1])
    nearer_P = back[0] < forth[0]
    bits_P, variant_P = (np.where(nearer_P, b, f) for b, f in zip(back, forth, strict=True))
    same_P = (digest_M16[pairs[:, 0]] == other_digest_N16[pairs[:, 1]]).all(1)
    return _chosen(pairs, bits_P, variant_P, same_P)


def groups_of(pairs_P2: np.ndarray, count: int) -> np.ndarray:
    """The lowest row [N] of the copies that each of `count` rows is connected with."""
    lowest_N, before_N = np.arange(count), np.full(count, -1)
    while not np.array_equal(lowest_N, before_N):
        before_N = lowest_N.copy()
        for one, other in (pairs_P2.T, pairs_P2.T[::-1]):
            np.minimum.at(lowest_N, one, lowest_N[other])
        lowest_N = lowest_N[lowest_N]
    return lowest_N


def _chosen(
    pairs: np.ndarray, bits_P: np.ndarray, variant_P: np.ndarray, same_P: np.ndarray
) -> Copies:
    bits_P = np.where(same_P, IDENTICAL, bits_P.astype(np.int64))
    near = np.flatnonzero(bits_P <= MAX_BITS)
    near = near[np.argsort(bits_P[near], kind="stable")]
    mirrored_P = (variant_P >= HASHES // 2) & ~same_P
    return Copies(pairs[near], bits_P[near], mirrored_P[near])


def _same_bytes(digest_N16: np.ndarray) -> np.ndarray:
    """Pairs of each image with the first of the same digest, [P, 2]."""
    _, first, at_N = np.unique(digest_N16, axis=0, return_index=True, return_inverse=True)
    first_N = first[at_N.ravel()]
    rows = np.flatnonzero(first_N != np.arange(len(first_N)))
    return np.stack([first_N[rows], rows], 1)


def _distinct(parts: Iterable[np.ndarray]) -> np.ndarray:
    """The pairs [P, 2] of all parts in order, each once."""
    codes = [np.unique(part[:, 0] << ROW_BITS | part[:, 1]) for part in parts]
    code_P = np.unique(np.concatenate([np.empty(0, np.int64), *codes]))
    return np.stack([code_P >> ROW_BITS, code_P & ((1 << ROW_BITS) - 1)], 1)


def _own_pairs(label_N: np.ndarray) -> Iterator[np.ndarray]:
    """All pairs [P, 2] of each person's images."""
    order = np.argsort(label_N, kind="stable")
    starts = np.flatnonzero(np.diff(label_N[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        if 2 <= len(rows) <= MAX_OWN:
            first, second = np.triu_indices(len(rows), 1)
            yield np.stack([rows[first], rows[second]], 1)


def _indexed(query_MV32: np.ndarray, hash_N32: np.ndarray) -> Iterator[np.ndarray]:
    """Pairs (query, image) [P, 2] whose hashes differ in at most INDEX_BITS bits."""
    for band in bands(INDEX_BITS + 1):
        key_N = band_keys(hash_N32, band)
        order = np.argsort(key_N, kind="stable")
        for variant in range(query_MV32.shape[1]):
            hash_M32 = query_MV32[:, variant]
            key_M = band_keys(hash_M32, band)
            first, stop = (np.searchsorted(key_N[order], key_M, side) for side in ("left", "right"))
            for query, image in _expanded(first, np.minimum(stop, first + LARGEST_BUCKET)):
                other = order[image]
                near = _differing(hash_M32[query], hash_N32[other]) <= INDEX_BITS
                yield np.stack([query[near], other[near]], 1)


def _expanded(first: np.ndarray, stop: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every (row, place) with first[row] <= place < stop[row], AT_ONCE or so at a time."""
    rows = np.flatnonzero(stop > first)
    step = max(1, AT_ONCE // LARGEST_BUCKET)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        count = stop[part] - first[part]
        ends = np.cumsum(count)
        within = np.arange(ends[-1]) - np.repeat(ends - count, count)
        yield np.repeat(part, count), np.repeat(first[part], count) + within


def _bits(
    query_MV32: np.ndarray, hash_N32: np.ndarray, pairs_P2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fewest bits [P] in which a hash of the first differs from the second's, and which hash."""
    fewest, variants = [np.empty(0, np.uint16)], [np.empty(0, np.int64)]
    step = AT_ONCE // HASHES
    for start in range(0, len(pairs_P2), step):
        first, second = pairs_P2[start : start + step].T
        bits_PV = np.stack(
            [_differing(query_MV32[first, v], hash_N32[second]) for v in range(HASHES)], 1
        )
        variants.append(bits_PV.argmin(1))
        fewest.append(bits_PV.min(1))
    return np.concatenate(fewest), np.concatenate(variants)


def _differing(a_P32: np.ndarray, b_P32: np.ndarray) -> np.ndarray:
    """Bits that differ between packed hashes row by row: uint16 [P]."""
    a_P4, b_P4 = (np.ascontiguousarray(x).view(np.uint64) for x in (a_P32, b_P32))
    return np.asarray(np.bitwise_count(a_P4 ^ b_P4).sum(1, dtype=np.uint16))
