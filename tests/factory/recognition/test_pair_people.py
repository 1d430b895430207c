"""People of a file of pairs: equal images, and both images of a genuine pair, are one person."""

from __future__ import annotations

import numpy as np

from factory.recognition.pair_people import components, pair_people
from factory.recognition.pairs import Pairs


def pairs_of(numbers: list[tuple[int, int]], same: list[bool]) -> Pairs:
    """Pairs of images that are told by the value of all their pixels."""
    images = [np.full((2, 2, 3), number, np.uint8) for pair in numbers for number in pair]
    return Pairs(np.stack(images), np.array(same))


def test_images_are_joined_by_genuine_pairs_and_by_equal_pixels():
    pairs = pairs_of([(0, 1), (2, 3), (1, 4), (3, 5), (6, 0)], [True, False, True, True, False])
    first, second = pair_people(pairs)
    assert first.tolist() == [0, 1, 0, 2, 3]
    assert second.tolist() == [0, 2, 0, 2, 0]


def test_an_impostor_pair_joins_nobody():
    first, second = pair_people(pairs_of([(0, 1), (1, 2)], [False, False]))
    assert (first.tolist(), second.tolist()) == ([0, 1], [1, 2])


def test_components_are_those_of_reachability():
    rng = np.random.default_rng(0)
    joined = rng.integers(0, 40, (25, 2))
    reached = np.eye(40, dtype=bool)
    reached[joined[:, 0], joined[:, 1]] = reached[joined[:, 1], joined[:, 0]] = True
    for _ in range(6):
        reached = (reached.astype(int) @ reached.astype(int)) > 0
    found = components(40, map(tuple, joined.tolist()))
    assert np.array_equal(found[:, None] == found, reached)
    firsts = [int(np.flatnonzero(found == number)[0]) for number in range(found.max() + 1)]
    assert firsts == sorted(firsts)
