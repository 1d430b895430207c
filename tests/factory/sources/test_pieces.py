"""The order of an epoch: pieces of shards, blocks of pieces, and whose turn it is."""

from __future__ import annotations

import numpy as np
import pytest

from factory.sources import pieces as module
from factory.sources.pieces import BLOCK, Pieces, blocks_of, lanes_of, random_stream, turns


@pytest.mark.parametrize("sizes", [[5], [800] * 3, [3, 0, 7], [1] * 2000, [50] * 2000])
def test_pieces_are_runs_of_one_shard_each(sizes):
    starts = np.concatenate([[0], np.cumsum(sizes)])
    pieces = Pieces.of(starts)
    assert set(starts.tolist()) <= set(pieces.starts.tolist())
    assert pieces.sizes.sum() == sum(sizes)
    assert pieces.sizes.min() >= 1
    if len(sizes) < module.PIECES and sum(sizes) > 2 * module.PIECES:
        assert len(pieces) >= module.PIECES
    if len(sizes) > module.PIECES:
        assert len(pieces) == len(sizes)


def test_lanes_take_every_piece_once_and_nearly_equal_numbers():
    rng = np.random.default_rng(0)
    remaining = rng.integers(0, 9, 200)
    order = rng.permutation(200)
    lanes = lanes_of(remaining, order, 7)
    assert sorted(piece for lane in lanes for piece in lane) == np.flatnonzero(remaining).tolist()
    loads = [remaining[lane].sum() for lane in lanes]
    assert max(loads) - min(loads) <= 8
    rank = np.argsort(order)
    assert all((np.diff(rank[lane]) > 0).all() for lane in lanes)


@pytest.mark.parametrize("size", [1, 15, 16, 17, 100])
def test_blocks_are_neighbors_in_an_order_of_seed_and_piece(size):
    blocks = blocks_of(size, (1, "piece", 0, 3))
    assert sorted(np.concatenate(blocks).tolist()) == list(range(size))
    assert all(np.ptp(block) == len(block) - 1 < BLOCK for block in blocks)
    again = blocks_of(size, (1, "piece", 0, 3))
    assert all((a == b).all() for a, b in zip(blocks, again, strict=True))
    if size == 100:
        other = np.concatenate(blocks_of(size, (1, "piece", 0, 4)))
        assert (other != np.concatenate(blocks)).any()
    assert np.concatenate(blocks_of(size, None)).tolist() == list(range(size))


@pytest.mark.parametrize("window", [1, 4, 100])
def test_turns_give_each_piece_as_often_as_it_has_images(window):
    remaining = [3, 1, 4, 1, 5, 9, 2, 6]
    given = list(turns(remaining, window, random_stream("a")))
    assert np.bincount(given).tolist() == remaining
    assert given == list(turns(remaining, window, random_stream("a")))
    for position in range(len(given)):
        begun, ended = set(given[: position + 1]), given[: position + 1]
        still = [p for p in begun if ended.count(p) < remaining[p]]
        assert len(still) <= window
    assert list(turns([], window, random_stream("a"))) == []


def test_while_pieces_wait_each_open_one_has_its_turn_in_a_round():
    given = list(turns([10] * 20, 5, random_stream("b")))
    for first in range(0, 100, 5):
        assert len(set(given[first : first + 5])) == 5
