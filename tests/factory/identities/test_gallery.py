"""Galleries answer exactly: on ties, over any tiles, within a block."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.identities import gallery as gallery_module
from factory.identities.gallery import Gallery, itself
from tests.vectors import SEARCHES, exact_cosine, unit_rows


@pytest.mark.parametrize("nudge", [-1e-6, 0.0, 1e-6])
@pytest.mark.parametrize("search", sorted(SEARCHES))
def test_ties_at_the_threshold_are_decided_exactly(nudge, search):
    real = np.array([[1, 0, 0]], np.float32)
    candidate = np.array([[0.6, 0.8, 0]], np.float32)
    limit = exact_cosine(real[0], candidate[0]) + nudge
    gallery = Gallery(3, SEARCHES[search](3))
    gallery.add(real)
    assert gallery.too_near(candidate, limit).tolist() == [nudge <= 0]


@settings(max_examples=30)
@given(
    st.integers(0, 1000),
    st.sampled_from([1, 3, 50]),
    st.sampled_from([1, 2, 8]),
    st.sampled_from(sorted(SEARCHES)),
)
def test_nearest_is_exact_over_any_tiles(seed, tile, factor, search):
    unit = unit_rows(seed, 40, 8)
    unit[5] = unit[6]
    with mock.patch.multiple(gallery_module, TILE=tile, QUERIES=2):
        gallery = Gallery(8, SEARCHES[search](8))
        gallery._search.tiles = factor
        gallery.add(unit)
        others, indices = gallery.nearest_with_index(unit[4:9], first=2, without=itself(4, 5))
        some = gallery.nearest(unit[:3], first=30, stop=35)
        nobody = gallery.nearest(unit[:2], first=7, stop=7)
        near = gallery.too_near(unit, 0.5)
    exact = unit.astype(np.float64) @ unit.astype(np.float64).T
    np.testing.assert_allclose(some, exact[:3, 30:35].max(1), atol=1e-12)
    np.fill_diagonal(exact, -1)
    np.testing.assert_allclose(others, exact[4:9, 2:].max(1), atol=1e-12)
    assert indices.tolist() == (2 + exact[4:9, 2:].argmax(1)).tolist()
    assert nobody.tolist() == [-1.0, -1.0]
    assert near.all()  # everybody meets himself


@settings(max_examples=12)
@given(st.integers(0, 1000), st.sampled_from([3, 50]), st.sampled_from(sorted(SEARCHES)))
def test_counts_from_a_cosine_on_are_exact_over_any_tiles(seed, tile, search):
    """The cosines asked for are those of a vector of the gallery, so that each is a tie."""
    unit = unit_rows(seed, 40, 4)
    unit[5] = unit[6]
    queries, rival = unit_rows(seed + 1, 9, 4), np.arange(9) * 4
    exact = np.array([[exact_cosine(query, other) for other in unit] for query in queries])
    least, without = exact[np.arange(9), rival], (np.arange(9), np.arange(9) + 7)
    with mock.patch.multiple(gallery_module, TILE=tile, QUERIES=2):
        gallery = Gallery(4, SEARCHES[search](4))
        gallery.add(unit)
        all_of_them = gallery.count_from(queries, least)
        some = gallery.count_from(queries, least, without=without)
    wanted_MG = exact >= least[:, None]
    assert all_of_them.tolist() == wanted_MG.sum(1).tolist()
    for row in range(9):
        wanted_MG[row, row : row + 7] = False
    assert some.tolist() == wanted_MG.sum(1).tolist()


@settings(max_examples=30)
@given(
    st.integers(0, 1000),
    st.floats(-0.5, 0.9),
    st.sampled_from([1, 3, 50]),
    st.sampled_from(sorted(SEARCHES)),
)
def test_near_pairs_of_a_block_are_those_of_a_double_loop(seed, limit, rows, search):
    unit = unit_rows(seed, 20, 4)
    unit[7] = unit[3]
    limit = max(limit, exact_cosine(unit[1], unit[0]))  # sometimes a tie
    with mock.patch.object(gallery_module, "NEAR_ROWS", rows):
        pairs = Gallery(4, SEARCHES[search](4)).near_pairs(unit, limit)
    wanted = [
        (row, earlier)
        for row in range(20)
        for earlier in range(row)
        if exact_cosine(unit[row], unit[earlier]) >= limit
    ]
    assert sorted(zip(*(part.tolist() for part in pairs), strict=True)) == wanted
    assert pairs[0].tolist() == sorted(pairs[0].tolist())


def test_a_gallery_that_grows_part_by_part_is_that_of_one_part():
    unit, queries = unit_rows(0, 30, 8), unit_rows(1, 5, 8)
    grown, whole = Gallery(8), Gallery(8)
    for start in (0, 1, 4, 20):
        stop = {0: 1, 1: 4, 4: 20, 20: 30}[start]
        grown.add(unit[start:stop])
    whole.add(unit)
    assert np.array_equal(grown.unit_GD, unit)
    assert np.array_equal(grown.nearest(queries), whole.nearest(queries))
    assert len(Gallery(8).nearest(queries)) == 5
    assert (Gallery(8).nearest(queries) == -1).all()
