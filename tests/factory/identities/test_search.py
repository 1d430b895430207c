"""Fast searches err by no more than the band they state."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.identities import search as search_module
from factory.identities.search import (
    Bf16Search,
    DeviceFacts,
    FaissSearch,
    cpu_neighbors,
    gpu_neighbors,
    grown,
    pick_neighbors,
    pick_search,
)
from tests.vectors import SEARCHES, unit_rows


@settings(max_examples=40)
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


@pytest.mark.parametrize(
    ("facts", "kind", "device", "tiles", "neighbors"),
    [
        (DeviceFacts(False, False, 0), FaissSearch, None, 1, cpu_neighbors),
        (DeviceFacts(False, True, 0), Bf16Search, "cpu", 1, cpu_neighbors),
        (DeviceFacts(True, False, 0), Bf16Search, "cuda", 8, cpu_neighbors),
        (DeviceFacts(True, True, 2), Bf16Search, "cuda", 8, gpu_neighbors),
        (DeviceFacts(False, True, 1), Bf16Search, "cpu", 1, gpu_neighbors),
    ],
)
def test_what_is_at_hand_decides_the_search(monkeypatch, facts, kind, device, tiles, neighbors):
    made = []
    monkeypatch.setattr(torch, "empty", lambda *size, device, **_: made.append(str(device)))
    search = pick_search(8, facts)
    assert (type(search), search.tiles, pick_neighbors(facts)) == (kind, tiles, neighbors)
    assert made == ([device] if device else [])


def test_the_facts_of_this_process_are_those_of_torch_and_faiss(monkeypatch):
    import faiss

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 3)
    assert DeviceFacts.here() == DeviceFacts(True, True, 3)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    assert DeviceFacts.here() == DeviceFacts(True, False, 3)


def test_neighbors_are_those_with_the_largest_products():
    a, b = unit_rows(0, 20, 8), unit_rows(1, 50, 8)
    assert cpu_neighbors(a, b, 3).tolist() == np.argsort(-(a @ b.T), 1)[:, :3].tolist()


def test_a_gpu_is_asked_for_inner_products_within_its_memory(monkeypatch):
    """`faiss.knn_gpu` is not in the wheel for CPUs; a stand-in sees what it would be given."""
    import faiss

    def knn_gpu(resources, query, unit, count, *, metric, **limits):
        assert (resources, metric) == ("resources", faiss.METRIC_INNER_PRODUCT)
        most = search_module.NEIGHBORS_BYTES
        assert limits == {"vectorsMemoryLimit": most, "queriesMemoryLimit": most}
        return faiss.knn(query, unit, count, metric=metric)

    monkeypatch.setattr(faiss, "StandardGpuResources", lambda: "resources", raising=False)
    monkeypatch.setattr(faiss, "knn_gpu", knn_gpu, raising=False)
    a, b = unit_rows(0, 20, 8), unit_rows(1, 50, 8)
    assert np.array_equal(gpu_neighbors(a, b, 3), cpu_neighbors(a, b, 3))


@pytest.mark.parametrize(
    ("size", "wanted", "rows"), [(0, 4, 4), (4, 3, 4), (4, 5, 7), (4, 100, 150)]
)
def test_a_tensor_grows_by_half_and_keeps_its_rows(size, wanted, rows):
    tensor = torch.arange(8.0).view(4, 2)[: max(size, 0)]
    larger = grown(tensor, size, wanted)
    assert len(larger) == rows
    assert torch.equal(larger[:size], tensor[:size])
