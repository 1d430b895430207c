"""The order of a release's images in an epoch: pieces, and how they are shared and interleaved.

A piece is a run of images of one tar. One lane (a worker of a rank) hands it out, in an order that
is a pure function of seed, epoch and piece: blocks of 16 neighbors, which one ranged read fetches,
in random order, and the images of a block in random order. A lane keeps many pieces open and takes
an image of each in turn, in rounds of random order, so a batch has images of as many people as
pieces are open. What was used of a piece is one number, whoever used it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from factory.seeds import stream_seed

PIECES = 4096
"""A release of fewer shards is cut into up to so many pieces, so that many lanes have many each."""
SMALLEST = 2
"""Images that such a piece has at least, because each is a request."""
BLOCK = 16
"""Images that are fetched by one read."""


@dataclass(frozen=True)
class Pieces:
    """Where the pieces of a release begin: image numbers int64 [P + 1]."""

    starts: np.ndarray

    @classmethod
    def of(cls, shard_starts: np.ndarray) -> Pieces:
        """Each shard cut into equal runs of images; `shard_starts` are those of the index."""
        num_shards = len(shard_starts) - 1
        most = -(-PIECES // max(num_shards, 1))
        cuts = [shard_starts[-1:]]
        for first, size in zip(shard_starts[:-1], np.diff(shard_starts), strict=True):
            parts = int(min(most, max(size // SMALLEST, 1)))
            cuts.append(first + size * np.arange(parts) // parts)
        return cls(np.unique(np.concatenate(cuts)))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def sizes(self) -> np.ndarray:
        """Images of each piece."""
        return np.diff(self.starts)


def lanes_of(remaining_P: np.ndarray, order: np.ndarray, num_lanes: int) -> list[list[int]]:
    """Which pieces each lane hands out, in `order`: numbers of images differ by one piece at most.

    `remaining_P` is how many images of each piece are left; pieces without any are nobody's.
    """
    lanes: list[list[int]] = [[] for _ in range(num_lanes)]
    loads = [(0, lane) for lane in range(num_lanes)]
    for piece in order.tolist():
        if remaining_P[piece]:
            load, lane = heapq.heappop(loads)
            lanes[lane].append(piece)
            heapq.heappush(loads, (load + int(remaining_P[piece]), lane))
    return lanes


def blocks_of(size: int, seed: tuple[int | str, ...] | None) -> list[np.ndarray]:
    """The images 0..size-1 of a piece in their order, by the blocks that they are fetched in.

    Without a seed they come as they lie.
    """
    blocks = [np.arange(first, min(first + BLOCK, size)) for first in range(0, size, BLOCK)]
    if seed is None:
        return blocks
    rng = random_stream(*seed)
    return [rng.permutation(blocks[place]) for place in rng.permutation(len(blocks))]


def even_window(num_pieces: int, window: int) -> int:
    """Pieces that are open at once, at most `window`, so that the last ones are not few.

    Pieces of one size that begin together end together.
    """
    waves = -(-num_pieces // window)
    return -(-num_pieces // waves) if waves else 0


def turns(remaining: list[int], window: int, rng: np.random.Generator) -> Iterator[int]:
    """Which of a lane's pieces gives the next image, until none has any left.

    `remaining` is how many images each has. At most `window` pieces are open, the first ones first.
    While others wait each open one gives an image a round; the last ones are drawn by how many
    images they have left, so that they end together.
    """
    window = even_window(len(remaining), window)
    left = dict(enumerate(remaining[:window]))
    waiting = iter(range(window, len(remaining)))
    opened = len(left)
    while opened < len(remaining):
        for piece in rng.permutation(list(left)).tolist():
            yield piece
            left[piece] -= 1
            if not left[piece]:
                del left[piece]
                new = next(waiting, None)
                if new is not None:
                    left[new], opened = remaining[new], opened + 1
    pieces, counts = list(left), np.array(list(left.values()), np.int64)
    yield from (
        pieces[place] for place in rng.permutation(np.repeat(np.arange(len(pieces)), counts))
    )


def random_stream(*parts: int | str) -> np.random.Generator:
    """Random numbers that are a function of what they are for."""
    return np.random.Generator(np.random.Philox(stream_seed(*parts)))
