"""Rows of classes: the same values and files for any number of ranks."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from factory.errors import CheckpointError
from factory.recognition import class_shards
from factory.recognition.class_shards import RankRows, draw_rows, read_rows, write_rows


def drawn(rows: range) -> torch.Tensor:
    out_RD = torch.empty(len(rows), 3)
    draw_rows(7, "real", rows, out_RD)
    return out_RD


@pytest.mark.parametrize("cuts", [(0, 10), (0, 3, 10), (0, 4, 5, 8, 10)])
def test_first_values_do_not_depend_on_how_rows_are_cut(monkeypatch, cuts):
    monkeypatch.setattr(class_shards, "INIT_ROWS", 4)  # ranges meet several blocks
    parts = [drawn(range(*pair)) for pair in pairwise(cuts)]
    assert torch.equal(torch.cat(parts), drawn(range(10)))
    assert len(torch.unique(drawn(range(10)), dim=0)) == 10


def test_ranks_hold_equal_numbers_and_know_their_rows():
    ranks = [RankRows.of(7, 4, rank, 2) for rank in range(2)]
    assert [(part.real, part.virtual) for part in ranks] == [
        (range(0, 3), range(0, 2)),
        (range(3, 7), range(2, 4)),
    ]
    labels = torch.tensor([0, 3, 6, 7, 9, 10])  # 7 is the first virtual class
    assert ranks[0].row_of(labels, 7).tolist() == [0, -1, -1, 3, -1, -1]
    assert ranks[1].row_of(labels, 7).tolist() == [-1, 0, 3, -1, 4, 5]


@pytest.mark.parametrize("wanted", [range(0, 9), range(2, 7), range(5, 6), range(4, 4)])
def test_any_range_is_read_from_the_files_that_meet_it(tmp_path, wanted):
    rows = torch.arange(27.0).view(9, 3)
    for part in (range(0, 4), range(4, 5), range(5, 9)):
        write_rows(tmp_path, "real", part, {"weight": rows[part.start : part.stop]})
    target = torch.full((len(wanted), 3), -1.0)
    read_rows(tmp_path, "real", wanted, "weight", target)
    assert torch.equal(target, rows[wanted.start : wanted.stop])
    with pytest.raises(CheckpointError, match="holds 1 of 3 real prototypes"):
        read_rows(tmp_path, "real", range(8, 11), "weight", torch.empty(3, 3))
