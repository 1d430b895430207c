"""Planted copies are all found, by an index that agrees with comparing all pairs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from factory.evaluation.image_queries import HASHES, hashes_of
from factory.inspection.near_copies import (
    IDENTICAL,
    INDEX_BITS,
    LARGEST_BUCKET,
    copies_between,
    copies_within,
    groups_of,
)

NOTHING = np.empty((0, 2), np.int64)


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def resized(image: Image.Image) -> Image.Image:
    return image.resize((67, 67), Image.Resampling.BILINEAR)


def cut(image: Image.Image, fraction: float) -> Image.Image:
    edge = fraction * image.width
    box = (edge, edge, image.width - edge, image.height - edge)
    return image.resize(image.size, Image.Resampling.BILINEAR, box)


PLANTED = {
    "encoded anew": lambda image: jpeg(image, 75),
    "encoded badly": lambda image: jpeg(image, 30),
    "resized": resized,
    "mirrored": ImageOps.mirror,
    "cut by 2 %": lambda image: jpeg(cut(image, 0.02), 90),
    "cut by 3 %": lambda image: jpeg(cut(image, 0.03), 90),
}


def numbered(count: int) -> np.ndarray:
    """Digests that all differ."""
    return np.arange(count * 4, dtype=np.uint32).reshape(count, 4).view(np.uint8)


@pytest.fixture(scope="module")
def hashed(starter):
    """Hashes of 3 images of everybody."""
    rows = np.concatenate([np.flatnonzero(starter.faces.labels == p)[:3] for p in range(120)])
    hashes = np.stack([hashes_of(image) for image in starter.faces.images_NHWC[rows]])
    return rows, starter.faces.labels[rows], hashes


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("same_person", [True, False])
def test_planted_copies_are_found(starter, hashed, kind, same_person):
    rows, labels, hashes = hashed
    chosen = np.arange(0, len(rows), 12)
    images = [Image.fromarray(starter.faces.images_NHWC[rows[at]]) for at in chosen]
    planted = [np.asarray(PLANTED[kind](image).convert("RGB")) for image in images]
    own = labels[chosen] if same_person else (labels[chosen] + 7) % 120
    count = len(rows)
    proposed = NOTHING if same_person else np.stack([chosen, count + np.arange(len(chosen))], 1)
    found = copies_within(
        np.concatenate([hashes, [hashes_of(image) for image in planted]]),
        numbered(count + len(chosen)),
        np.concatenate([labels, own]),
        proposed,  # as a judge proposes the nearest face of somebody else
    )
    wanted = {(int(at), count + i) for i, at in enumerate(chosen)}
    mirrored = dict(zip(map(tuple, found.pairs_P2.tolist()), found.mirrored_P, strict=True))
    seen = wanted & set(mirrored)
    assert len(seen) >= (0.9 if kind == "cut by 3 %" else 1) * len(wanted)
    assert len(set(mirrored) - wanted) <= 3, "of 360 faces hardly any two are nearly the same"
    assert all(mirrored[pair] == (kind == "mirrored") for pair in seen)


def test_the_same_bytes_are_found_whatever_the_hashes(hashed):
    _, labels, hashes = hashed
    digests = numbered(len(labels))
    digests[[200, 300]] = digests[5]
    found = copies_within(hashes, digests, labels, NOTHING)
    same = found.pairs_P2[found.bits_P == IDENTICAL].tolist()
    assert [5, 200] in same
    assert [5, 300] in same
    assert (found.bits_P[: len(same)] == IDENTICAL).all(), "they are first"


def test_the_index_finds_what_comparing_all_pairs_finds():
    """Random hashes, each followed by one with up to 20 bits flipped; no person, no proposals."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (300, 1, 256), np.uint8).repeat(HASHES, 1)
    for at in range(0, 300, 2):
        bits[at + 1] = bits[at]
        bits[at + 1, :, rng.choice(256, at % 21, replace=False)] ^= 1
    found = copies_within(np.packbits(bits, axis=2), numbered(300), np.arange(300), NOTHING)
    plain = bits[:, 0].astype(int)
    apart = (plain[:, None] != plain[None]).sum(2)
    wanted = {(a, b) for a, b in np.argwhere(np.triu(apart <= INDEX_BITS, 1)).tolist()}
    assert len(wanted) > 80
    assert set(map(tuple, found.pairs_P2.tolist())) == wanted


@pytest.mark.parametrize("band", range(INDEX_BITS + 1))
def test_each_band_finds_a_pair_that_no_other_band_does(band):
    """One bit differs in every other band, the most that a pair of the index may differ in."""
    bits = np.random.default_rng(1).integers(0, 2, (1, 1, 256), np.uint8).repeat(HASHES, 1)
    bits = bits.repeat(2, 0)
    bits[1][:, [bit for bit in range(INDEX_BITS + 1) if bit != band]] ^= 1
    found = copies_within(np.packbits(bits, axis=2), numbered(2), np.arange(2), NOTHING)
    assert found.pairs_P2.tolist() == [[0, 1]]
    assert found.bits_P.tolist() == [INDEX_BITS]


def test_copies_between_two_sets_are_pairs_of_both(starter, hashed):
    rows, _, hashes = hashed
    image = Image.fromarray(starter.faces.images_NHWC[rows[10]])
    blank = np.zeros((9, 9, 3), np.uint8)
    other = np.stack([hashes[40], hashes_of(np.asarray(jpeg(image, 50))), hashes_of(blank)])
    found = copies_between(hashes, numbered(len(rows)), other, numbered(3) + 128, NOTHING)
    assert {(40, 0), (10, 1)} == set(map(tuple, found.pairs_P2.tolist()))


def test_blank_pictures_are_compared_with_few():
    """Three hundred equal hashes are one group, not all of their pairs."""
    hashes = np.zeros((300, HASHES, 32), np.uint8)
    found = copies_within(hashes, numbered(300), np.arange(300), NOTHING)
    assert len(found) < 300 * LARGEST_BUCKET
    assert np.all(groups_of(found.pairs_P2, 300) == 0)


def test_groups_are_the_connected_copies():
    groups = groups_of(np.array([[1, 4], [4, 2], [5, 6]]), 8)
    assert groups.tolist() == [0, 1, 1, 3, 1, 5, 5, 7]
