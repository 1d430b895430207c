"""Proposals: the law of their draws, and what one depends on."""

from __future__ import annotations

import numpy as np
import pytest

from factory.errors import PlanError
from factory.identities.proposals import PcaProposal, colored_prototypes
from tests.vectors import unit_rows


def test_pca_draws_depend_on_identity_and_attempt_alone():
    centers = unit_rows(0, 20, 8)
    proposal = PcaProposal(centers, 5, seed=1)
    many, attempts = np.arange(300), np.arange(300) % 3
    whole = proposal.draw(many, attempts)
    parts = [proposal.draw(many[i : i + 1], attempts[i : i + 1]) for i in range(0, 300, 37)]
    assert np.array_equal(np.concatenate(parts), whole[::37])
    assert len(np.unique(whole, axis=0)) == 300
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)
    with pytest.raises(PlanError, match="at least 3"):
        PcaProposal(centers[:2], 5, 0)


def test_draws_have_the_mean_and_the_covariance_of_the_centers():
    """Far from the origin, where normalizing hardly bends: METHODS 5, the sample covariance."""
    rng = np.random.default_rng(0)
    spread = np.diag([0.2, 0.1, 0.05, 0.0, 0.0])
    centers = np.array([0, 0, 0, 0, 3.0]) + rng.normal(size=(40, 5)) @ spread
    proposal = PcaProposal(centers, 3, seed=1)
    draws = proposal.draw(np.arange(20_000), np.zeros(20_000, int)).astype(np.float64)
    draws *= 3 / draws[:, 4:]  # back onto the plane of the centers
    np.testing.assert_allclose(draws.mean(0), centers.mean(0), atol=0.01)
    wanted = np.cov(centers.T)
    np.testing.assert_allclose(np.cov(draws.T), wanted, atol=0.05 * wanted.max())


def test_only_the_first_dimensions_vary():
    centers = unit_rows(0, 30, 6)
    draws = PcaProposal(centers, 2, seed=1).draw(np.arange(50), np.zeros(50, int))
    mean = centers.mean(0)
    span = np.vstack([mean, np.linalg.svd(centers - mean)[2][:2]])
    inside = np.linalg.lstsq(span.T, draws.T, rcond=None)[0].T @ span
    np.testing.assert_allclose(draws, inside, atol=1e-5)


def test_colored_directions_are_the_centers_mean_plus_the_root_of_their_covariance():
    centers, virtual = unit_rows(0, 20, 8).astype(np.float64), unit_rows(1, 15, 8)
    value, axes = np.linalg.eigh(np.cov(centers.T, bias=True))
    wanted = centers.mean(0) + (virtual * 8**0.5) @ (axes * value**0.5) @ axes.T
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    pool = colored_prototypes(virtual, centers.astype(np.float32))
    assert pool.name == "colored"
    np.testing.assert_allclose(pool.unit_KD, wanted, atol=1e-5)
