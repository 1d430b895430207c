"""The gate equals a naive loop, also on ties and on the rounding band."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import PlanError
from factory.identities.proposals import PcaProposal, PrototypePool
from factory.identities.separability import Gallery, admit, exact_cosine


def unit_rows(seed: int, count: int, dim: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def naive(pool: np.ndarray, real: np.ndarray, wanted: int, limit: float) -> list[int]:
    accepted: list[int] = []
    for row, candidate in enumerate(pool):
        others = [*real, *(pool[i] for i in accepted)]
        if all(exact_cosine(candidate, other) < limit for other in others):
            accepted.append(row)
        if len(accepted) == wanted:
            break
    return accepted


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 0.9), st.integers(2, 6))
def test_equals_the_naive_loop(seed, limit, dim):
    pool, real = unit_rows(seed, 60, dim), unit_rows(seed + 1, 5, dim)
    pool[10:20] = pool[:10]  # duplicates
    pool[20:25] = real  # and copies of real people
    rows = naive(pool, real, 10, limit)
    got = admit(
        PrototypePool(pool), real, num_identities=len(rows), max_cosine=limit, max_attempts=100
    )
    assert np.array_equal(got.unit_ND, pool[rows])
    assert got.attempts == list(np.diff([-1, *rows]) - 1)


@pytest.mark.parametrize("nudge", [-1e-6, 0.0, 1e-6])
def test_ties_at_the_threshold_are_decided_exactly(nudge):
    real = np.array([[1, 0, 0]], np.float32)
    candidate = np.array([[0.6, 0.8, 0]], np.float32)
    limit = exact_cosine(real[0], candidate[0]) + nudge
    gallery = Gallery(3)
    gallery.add(real)
    assert gallery.too_near(candidate[0], limit) == (nudge <= 0)


def test_certificate_holds_and_is_exact():
    real = unit_rows(0, 50, 16)
    got = admit(
        PcaProposal(real, 10, seed=3), real, num_identities=30, max_cosine=0.7, max_attempts=500
    )
    assert (got.unit_ND @ real.T).max() < 0.7
    between = got.unit_ND @ got.unit_ND.T - 2 * np.eye(30)
    assert between.max() < 0.7
    np.testing.assert_allclose(got.nearest_real, (got.unit_ND @ real.T).max(1), atol=1e-5)
    np.testing.assert_allclose(got.nearest_other, between.max(1), atol=1e-5)


def test_a_pool_that_runs_out_says_how_far_it_got():
    real = unit_rows(0, 3, 4)
    with pytest.raises(PlanError, match=r"identities\.num_virtual: prototypes gave 0 .* ran out"):
        admit(PrototypePool(real), real, num_identities=2, max_cosine=0.9, max_attempts=9)


def test_a_crowded_space_stops_at_the_attempt_limit():
    real = unit_rows(0, 200, 3)
    with pytest.raises(PlanError, match=r"identities\.max_attempts: 20 proposals for identity 0"):
        admit(PcaProposal(real, 2, 0), real, num_identities=1, max_cosine=0.1, max_attempts=20)


@pytest.mark.parametrize("spoil", [np.nan, 3.0])
def test_galleries_must_be_unit_length(spoil):
    real = unit_rows(0, 3, 4)
    real[1] *= spoil
    with pytest.raises(PlanError, match="row 1 of the real gallery"):
        admit(PrototypePool(real), real, num_identities=1, max_cosine=0.5, max_attempts=1)


def test_pca_draws_depend_on_identity_and_attempt_alone():
    centres = unit_rows(0, 20, 8)
    first, second = PcaProposal(centres, 5, seed=1), PcaProposal(centres, 5, seed=1)
    first.draw(7, 0)
    assert np.array_equal(first.draw(3, 2), second.draw(3, 2))
    assert not np.array_equal(first.draw(3, 2), first.draw(3, 3))
    assert np.linalg.norm(first.draw(0, 0)) == pytest.approx(1)
    with pytest.raises(PlanError, match="at least 3"):
        PcaProposal(centres[:2], 5, 0)
