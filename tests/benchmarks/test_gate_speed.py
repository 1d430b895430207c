"""The gate's search against what one would write first; each prints a line of JSON.

python -m pytest tests/benchmarks/test_gate_speed.py -q -s
"""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
import pytest

from factory.identities.gallery import Gallery, itself
from factory.identities.gate import Gate
from factory.identities.packing import Packing, pack
from tests.benchmarks.gate_at_scale import training_set
from tests.benchmarks.timing import fastest, report

REAL, QUERIES, DIM, LIMIT, BLOCK = 100_000, 2_048, 512, 0.55, 1_024


@pytest.fixture(scope="module")
def vectors():
    proposal, real = training_set(REAL, DIM, seed=0)
    queries = np.arange(QUERIES)
    return proposal.draw(queries, np.zeros(QUERIES, np.int64)), real


@pytest.mark.timeout(600)
def test_the_gate_against_a_blocked_numpy_loop(vectors):
    """Seconds of float32 products in numpy over ours; the same people are too near."""
    unit, real = vectors
    gallery = Gallery(DIM)
    gallery.add(real)

    def ours() -> np.ndarray:
        return gallery.too_near(unit, LIMIT)

    def plain() -> np.ndarray:
        parts = [unit[i : i + BLOCK] @ real.T for i in range(0, QUERIES, BLOCK)]
        return np.concatenate([(part >= LIMIT).any(1) for part in parts])

    assert np.array_equal(ours(), plain())
    ours_s, plain_s = fastest(ours, plain, repeats=3)
    report("gate_vs_numpy", plain_s / ours_s, 2.0, near=float(ours().mean()), ours_s=ours_s)


@pytest.mark.timeout(600)
def test_the_gate_against_faiss_range_search(vectors):
    """Seconds of IndexFlatIP.range_search over ours."""
    import faiss

    unit, real = vectors
    gallery, index = Gallery(DIM), faiss.IndexFlatIP(DIM)
    gallery.add(real)
    index.add(real)

    def ours() -> np.ndarray:
        return gallery.too_near(unit, LIMIT)

    def theirs() -> np.ndarray:
        limits, _, _ = index.range_search(unit, LIMIT)
        return np.diff(limits) > 0

    assert np.array_equal(ours(), theirs())
    ours_s, theirs_s = fastest(ours, theirs, repeats=3)
    report("gate_vs_faiss", theirs_s / ours_s, 1.5, ours_s=ours_s, theirs_s=theirs_s)


class Clocked:
    """A proposal that draws until its time is up."""

    def __init__(self, proposal, until):
        self.name, self._proposal, self._until = proposal.name, proposal, until

    def draw(self, identities, attempts):
        if time.perf_counter() > self._until:
            raise TimeoutError
        return self._proposal.draw(identities, attempts)


@pytest.mark.timeout(3600)
def test_packing_against_rejection_in_the_same_time():
    """Largest cosine among 20,000 drawn people over that among packed ones.

    Also the fraction of them that redrawing could admit below the packed one's in the time that
    packing took.
    """
    proposal, real = training_set(20_000, DIM, seed=0)
    everybody = np.arange(20_000)
    start = proposal.draw(everybody, np.zeros_like(everybody))
    begun = time.perf_counter()
    packed = pack(start, real, 0.95, Packing())
    packing_s = time.perf_counter() - begun
    drawn_largest, packed_largest = largest_cosine(start), largest_cosine(packed)
    gate, admitted = Gate(packed[:0], packed_largest, None), 0
    clocked = Clocked(proposal, time.perf_counter() + packing_s)
    with suppress(TimeoutError):
        while admitted < len(everybody):
            block = everybody[admitted : admitted + 256]
            gate.admit_block(clocked, block, 1_000_000, len(everybody))
            admitted += len(block)
    report(
        "packing_vs_drawing",
        drawn_largest / packed_largest,
        1.0,
        packed_largest=packed_largest,
        drawn_largest=drawn_largest,
        admitted_by_redrawing=admitted / len(everybody),
        packing_s=packing_s,
    )
    assert admitted < len(everybody)


def largest_cosine(unit: np.ndarray) -> float:
    gallery = Gallery(unit.shape[1])
    gallery.add(unit)
    return float(gallery.nearest(unit, without=itself(0, len(unit))).max())
