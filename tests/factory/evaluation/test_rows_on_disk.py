"""Rows appended to a file come back mapped, and lie nowhere under a name."""

from __future__ import annotations

import numpy as np
import pytest

from factory.evaluation.rows_on_disk import RowsOnDisk


@pytest.mark.parametrize("sizes", [[], [3], [5, 0, 1000, 123_456]])
def test_rows_come_back_in_their_order(tmp_path, sizes):
    file = RowsOnDisk(tmp_path, 3, np.int32)
    parts = [np.arange(3 * n, dtype=np.int32).reshape(n, 3) + n for n in sizes]
    for part in parts:
        file.append(part)
    rows = file.finish()
    assert rows.dtype == np.int32
    assert (rows == np.concatenate([np.empty((0, 3), np.int32), *parts])).all()
    assert file.count == sum(sizes)
    assert list(tmp_path.iterdir()) == []  # nobody finds them when this process is killed


def test_rows_of_another_length_are_a_mistake(tmp_path):
    with pytest.raises(AssertionError, match="as long as the file says"):
        RowsOnDisk(tmp_path, 3, np.float32).append(np.zeros((2, 4), np.float32))
