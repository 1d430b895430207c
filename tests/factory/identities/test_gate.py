"""The gate equals a naive loop, and its certificate holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import PlanError
from factory.identities.gate import admit
from factory.identities.proposals import PcaProposal, Pool
from tests.vectors import SEARCHES, exact_cosine, unit_rows


def naive(pool: np.ndarray, real: np.ndarray, wanted: int, limit: float) -> list[int]:
    accepted: list[int] = []
    for row, candidate in enumerate(pool):
        others = [*real, *(pool[i] for i in accepted)]
        if all(exact_cosine(candidate, other) < limit for other in others):
            accepted.append(row)
        if len(accepted) == wanted:
            break
    return accepted


class Script:
    """A generative proposal that gives pool rows by (identity, attempt): closely packed."""

    name = "script"

    def __init__(self, pool: np.ndarray) -> None:
        self._pool = pool

    def draw(self, identities_M, attempts_M):
        return self._pool[(7 * identities_M + 3 * attempts_M) % len(self._pool)]


def naive_draws(proposal, real, wanted, limit, max_attempts) -> tuple[list[np.ndarray], list[int]]:
    accepted, attempts = [], []
    for identity in range(wanted):
        for attempt in range(max_attempts):
            vector = proposal.draw(np.array([identity]), np.array([attempt]))[0]
            if all(exact_cosine(vector, other) < limit for other in [*real, *accepted]):
                break
        else:
            return accepted, attempts
        accepted.append(vector)
        attempts.append(attempt)
    return accepted, attempts


@settings(max_examples=40)
@given(
    st.integers(0, 10_000),
    st.floats(0.1, 0.9),
    st.integers(2, 6),
    st.sampled_from([1, 2, 3, 7, 64]),
    st.sampled_from(sorted(SEARCHES)),
)
def test_a_pool_equals_the_naive_loop(seed, limit, dim, block, search):
    pool, real = unit_rows(seed, 60, dim), unit_rows(seed + 1, 5, dim)
    pool[10:20] = pool[:10]  # duplicates
    pool[20:25] = real  # and copies of real people
    rows = naive(pool, real, 10, limit)
    admission = admit(
        Pool("prototypes", pool),
        real,
        num_identities=len(rows),
        max_cosine=limit,
        max_attempts=100,
        block=block,
        search=SEARCHES[search](dim),
    )
    assert np.array_equal(admission.unit_ND, pool[rows])
    assert admission.attempts == list(np.diff([-1, *rows]) - 1)


@settings(max_examples=40)
@given(
    st.integers(0, 10_000),
    st.floats(0.3, 0.95),
    st.integers(3, 8),
    st.sampled_from([1, 2, 5, 64]),
    st.sampled_from(sorted(SEARCHES)),
)
def test_draws_equal_the_naive_loop(seed, limit, dim, block, search):
    pool, real = unit_rows(seed, 50, dim), unit_rows(seed + 1, 4, dim)
    pool[10:20] = pool[:10]
    pool[30] = real[0]
    limit = max(limit, exact_cosine(pool[3], pool[4]))  # sometimes a tie with the threshold
    vectors, attempts = naive_draws(Script(pool), real, 12, limit, 30)
    wanted = len(vectors)
    admission = admit(
        Script(pool),
        real,
        num_identities=wanted,
        max_cosine=limit,
        max_attempts=30,
        block=block,
        search=SEARCHES[search](dim),
    )
    assert admission.attempts == attempts
    assert np.array_equal(admission.unit_ND, np.array(vectors).reshape(wanted, dim))


@pytest.mark.parametrize("block", [1, 2, 8])
def test_who_is_refused_stands_in_nobodys_way(block):
    """In a plane at 0, 20, 40... degrees with a gate of 30: every second one is refused."""
    angles = np.deg2rad([0, 20, 40, 60, 80])
    pool = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    admission = admit(
        Pool("prototypes", pool),
        -pool[:1],
        num_identities=3,
        max_cosine=float(np.cos(np.deg2rad(30))),
        max_attempts=1,
        block=block,
    )
    assert np.array_equal(admission.unit_ND, pool[[0, 2, 4]])


def test_certificate_holds_and_is_exact():
    real = unit_rows(0, 50, 16)
    admission = admit(
        PcaProposal(real, 10, seed=3), real, num_identities=30, max_cosine=0.7, max_attempts=500
    )
    assert (admission.unit_ND @ real.T).max() < 0.7
    between = admission.unit_ND @ admission.unit_ND.T - 2 * np.eye(30)
    assert np.array_equal(admission.nearest_index, between.argmax(1))
    assert between.max() < 0.7
    np.testing.assert_allclose(
        admission.nearest_real, (admission.unit_ND @ real.T).max(1), atol=1e-5
    )
    np.testing.assert_allclose(admission.nearest_other, between.max(1), atol=1e-5)


def test_a_pool_that_runs_out_says_how_far_it_got():
    real = unit_rows(0, 3, 4)
    with pytest.raises(PlanError, match=r"identities\.num_virtual: prototypes gave 0 .* ran out"):
        admit(Pool("prototypes", real), real, num_identities=2, max_cosine=0.9, max_attempts=9)


def test_an_empty_roster_needs_no_pool():
    nobody = np.zeros((0, 4), np.float32)
    admission = admit(
        Pool("prototypes", nobody),
        unit_rows(0, 3, 4),
        num_identities=0,
        max_cosine=0.5,
        max_attempts=1,
    )
    assert admission.unit_ND.shape == (0, 4)
    assert admission.attempts == []


def test_a_crowded_space_stops_at_the_attempt_limit():
    real = unit_rows(0, 200, 3)
    with pytest.raises(PlanError, match=r"identities\.max_attempts: 20 proposals for identity 0"):
        admit(PcaProposal(real, 2, 0), real, num_identities=1, max_cosine=0.1, max_attempts=20)


@pytest.mark.parametrize("spoil", [np.nan, 3.0])
def test_galleries_must_be_unit_length(spoil):
    real = unit_rows(0, 3, 4)
    real[1] *= spoil
    with pytest.raises(PlanError, match="row 1 of the real gallery"):
        admit(Pool("prototypes", real), real, num_identities=1, max_cosine=0.5, max_attempts=1)


def test_a_certificate_never_names_the_gate_itself():
    angle = np.arccos(0.6 - 2e-7)
    unit = np.zeros((2, 8), np.float32)
    unit[0, 0], unit[1, 0], unit[1, 1] = 1, np.cos(angle), np.sin(angle)
    admission = admit(
        Pool("prototypes", unit), unit[:0], num_identities=2, max_cosine=0.6, max_attempts=1
    )
    assert (admission.nearest_other < 0.6).all()
    assert admission.nearest_other.tolist() == [0.599999, 0.599999]
