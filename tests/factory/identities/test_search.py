"""Fast searches err by no more than the band they state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.identities.search import Bf16Search, FaissSearch, grown, pick_search
from tests.vectors import SEARCHES, unit_rows


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 600), st.sampled_from(sorted(SEARCHES)))
def test_approximate_cosines_stay_within_their_band(seed, dim, search):
    a, b = unit_rows(seed, 20, dim), unit_rows(seed + 1, 30, dim)
    b[:10] = (a[:10] + 0.1 * b[:10]) / np.linalg.norm(a[:10] + 0.1 * b[:10], axis=1, keepdims=True)
    tool = SEARCHES[search](dim)
    tool.add(b)
    approximate = tool.cosines(a, b, 0).float().numpy()
    exact = a.astype(np.float64) @ b.astype(np.float64).T
    bands = np.vectorize(tool.band)(exact)
    assert (np.abs(approximate - exact) <= bands).all()


def test_rounding_really_reaches_a_tenth_of_the_band():
    """A band that were much wider would be safe too, and slow: more would be computed exactly."""
    a, b = unit_rows(0, 200, 8), unit_rows(1, 200, 8)
    search = Bf16Search(8, torch.device("cpu"))
    search.add(b)
    error = np.abs(search.cosines(a, b, 0).float().numpy() - a.astype(np.float64) @ b.T)
    assert error.max() > 0.1 * search.band(1.0)


def test_a_config_names_the_search():
    assert isinstance(pick_search("faiss", 8), FaissSearch)
    assert isinstance(pick_search("bf16", 8), Bf16Search)


@pytest.mark.parametrize(
    ("size", "wanted", "rows"), [(0, 4, 4), (4, 3, 4), (4, 5, 7), (4, 100, 150)]
)
def test_a_tensor_grows_by_half_and_keeps_its_rows(size, wanted, rows):
    tensor = torch.arange(8.0).view(4, 2)[: max(size, 0)]
    larger = grown(tensor, size, wanted)
    assert len(larger) == rows
    assert torch.equal(larger[:size], tensor[:size])
