"""Bookmarks: what was used of an epoch, merged over ranks, and never another release's."""

from __future__ import annotations

import json

import numpy as np
import pytest

from factory.sources.bookmark import Bookmark
from factory.sources.pieces import Pieces

PIECES = Pieces(np.array([0, 3, 5, 9]))


def bookmark_of(pieces: Pieces) -> Bookmark:
    return Bookmark(pieces, "r", seed=0, shuffle=True)


def test_the_furthest_sample_of_a_piece_counts():
    bookmark = bookmark_of(PIECES)
    bookmark.mark([(0, 0, 0), (0, 2, 3), (0, 2, 1), None])
    assert [bookmark.used(piece) for piece in range(3)] == [1, 0, 4]
    assert bookmark.remaining().tolist() == [2, 2, 0]
    assert not bookmark.finished
    bookmark.mark([(0, 0, 2), (0, 1, 1)])
    assert bookmark.finished
    bookmark.mark([(1, 1, 0)])  # of the next epoch
    assert (bookmark.epoch, bookmark.remaining().tolist()) == (1, [3, 1, 4])
    bookmark.next_epoch()
    assert (bookmark.epoch, bookmark.remaining().tolist()) == (2, [3, 2, 4])


def test_a_merge_has_what_either_used():
    one, two = bookmark_of(PIECES), bookmark_of(PIECES)
    one.mark([(0, 0, 1), (0, 1, 1)])
    two.mark([(0, 0, 0), (0, 2, 2)])
    one.merge(two)
    assert one.remaining().tolist() == [1, 0, 1]
    again = bookmark_of(PIECES)
    again.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert again.remaining().tolist() == [1, 0, 1]
    two.next_epoch()
    with pytest.raises(ValueError, match="epochs 0 and 1"):
        one.merge(two)


def test_a_bookmark_of_other_pieces_or_of_an_older_factory_is_refused():
    other = bookmark_of(Pieces(np.arange(3))).state_dict()
    with pytest.raises(ValueError, match="has pieces 2; want 3, that of this stream; begin"):
        bookmark_of(PIECES).load_state_dict(other)
    with pytest.raises(ValueError, match="has pieces None; want 3"):
        bookmark_of(PIECES).load_state_dict({"epoch": 0, "used": {}})
    with pytest.raises(ValueError, match="has release None; want 'r'"):
        bookmark_of(PIECES).load_state_dict({"epoch": 0, "pieces": 3, "used": {}})
