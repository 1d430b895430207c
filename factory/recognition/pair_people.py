"""Who is in a file of pairs, as far as it tells: people whose resampling gives an interval.

insightface's .bin names nobody, and one image, or one person, stands in several pairs, which are
then not independent. Equal images are one person, and so are the two of a genuine pair. Somebody
whose images share no genuine pair counts as several people, so intervals are rather too narrow.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from factory.recognition.pairs import Pairs


def pair_people(pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """People of the first and of the second images, [N] each, numbered from 0 without gaps."""
    image_of: dict[bytes, int] = {}
    digests = (hashlib.sha256(image.tobytes()).digest() for image in pairs.images_NHWC)
    images = np.array([image_of.setdefault(digest, len(image_of)) for digest in digests])
    first_N, second_N = images[0::2], images[1::2]
    genuine = zip(first_N[pairs.same].tolist(), second_N[pairs.same].tolist(), strict=True)
    person_of = components(len(image_of), genuine)
    return person_of[first_N], person_of[second_N]


def components(count: int, joined: Iterable[tuple[int, int]]) -> np.ndarray:
    """Number of the connected component of each of `count` nodes, in the order of their firsts."""
    root = list(range(count))

    def find(node: int) -> int:
        while root[node] != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for first, second in joined:
        low, high = sorted((find(first), find(second)))
        root[high] = low
    return np.unique([find(node) for node in range(count)], return_inverse=True)[1]
