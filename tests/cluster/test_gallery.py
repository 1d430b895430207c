"""A gallery over actors answers as one in memory does."""

from __future__ import annotations

import numpy as np
import pytest

from factory.identities.gallery import Gallery
from tests.factory.identities.test_separability import unit_rows

pytestmark = pytest.mark.ray


def test_parts_cover_all_rows_once():
    from cluster.gallery import _cut

    shares = _cut(["a", "b", "c"], [5, 1, 4], 3)
    rows = [(f, row) for share in shares for f, first, stop in share for row in range(first, stop)]
    assert rows == [*(("a", i) for i in range(5)), ("b", 0), *(("c", i) for i in range(4))]
    assert [len(share) for share in shares] == [1, 2, 1]
    assert [share for share in _cut(["a"], [1], 3) if share] == [[("a", 0, 1)]]


@pytest.mark.parametrize("actors", [0, 1, 3])
def test_any_number_of_actors_gives_the_same_answer(three_cpus, release_config, tmp_path, actors):
    from cluster.gallery import open_galleries

    real, queries = unit_rows(0, 50, 8), unit_rows(1, 20, 8)
    np.save(tmp_path / "a.npy", real[:13])
    np.save(tmp_path / "b.npy", real[13:])
    memory = Gallery(8)
    memory.add(real)
    config = release_config(f"identities.gallery={tmp_path}", f"fleet.gallery_actors={actors}")
    galleries = open_galleries(config)
    assert sum(len(part) for part in galleries) == 50
    nearest = np.max([part.nearest(queries) for part in galleries], axis=0)
    near = np.any([part.too_near(queries, 0.6) for part in galleries], axis=0)
    assert np.array_equal(nearest, memory.nearest(queries))
    assert np.array_equal(near, memory.too_near(queries, 0.6))
    assert sum(part.num_products for part in galleries) >= 20 * 50
