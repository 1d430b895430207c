"""A gallery over actors answers as one in memory does."""

from __future__ import annotations

import numpy as np
import pytest

from factory.errors import FactoryError, PlanError
from factory.identities.gallery import Gallery
from tests.vectors import unit_rows

pytestmark = pytest.mark.ray


def test_parts_cover_all_rows_once():
    from cluster.gallery import cut_rows

    shares = cut_rows(["a", "b", "c"], [5, 1, 4], 3)
    rows = [(f, row) for share in shares for f, first, stop in share for row in range(first, stop)]
    assert rows == [*(("a", i) for i in range(5)), ("b", 0), *(("c", i) for i in range(4))]
    assert [len(share) for share in shares] == [1, 2, 1]
    assert [share for share in cut_rows(["a"], [1], 3) if share] == [[("a", 0, 1)]]


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


def test_a_node_without_the_files_is_told(three_cpus, tmp_path):
    import ray

    from cluster.gallery import GalleryActor, answers

    np.save(tmp_path / "a.npy", unit_rows(0, 3, 8))
    actor = ray.remote(num_cpus=1)(GalleryActor).remote([(str(tmp_path / "a.npy"), 0, 3)])
    with pytest.raises(PlanError, match=r"identities\.gallery: .*b\.npy has None bytes"):
        answers([actor.open.remote({str(tmp_path / "b.npy"): 9})], 60)
    ray.kill(actor)
    with pytest.raises(FactoryError, match=r"fleet\.gallery_actors: an actor died"):
        answers([actor.nearest.remote(unit_rows(1, 2, 8))], 60)


def test_more_actors_than_cpus_still_answer(three_cpus, release_config, tmp_path):
    from cluster.gallery import open_galleries

    real = unit_rows(0, 50, 8)
    np.save(tmp_path / "a.npy", real)
    config = release_config(f"identities.gallery={tmp_path / 'a.npy'}", "fleet.gallery_actors=99")
    assert open_galleries(config)[0].nearest(real[:2]).tolist() == pytest.approx([1.0, 1.0])
