"""Tars and vectors of units without some people."""

from __future__ import annotations

import io

import numpy as np
import pytest

from factory.shards import layout
from factory.shards.withdrawal_units import tar_without, zeroed_rows
from tests.withdrawals import (
    version_of,
    write_version,
)

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def test_vectors_of_virtual_people_alone_are_copied_and_others_zeroed():
    buffer = io.BytesIO()
    np.save(buffer, np.eye(3, dtype=np.float32))
    virtual_only = buffer.getvalue()
    assert zeroed_rows(virtual_only, [4], num_people=6) is virtual_only
    zeroed = np.load(io.BytesIO(zeroed_rows(virtual_only, [1], num_people=3)))
    assert zeroed.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_a_tar_without_a_sample_that_its_table_has_is_altered(root):
    write_version(root)
    data = version_of(root, "0.1.0").get(layout.tar_name(2))
    with pytest.raises(RuntimeError, match="has no sample '000009_0000' of its metadata"):
        tar_without(data, {"000009_0000"})
