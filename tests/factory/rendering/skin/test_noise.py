"""Noise is smooth, has mean 0 and deviation 1, and repeats by seed alone."""

from __future__ import annotations

import numpy as np
import pytest

from factory.rendering.skin.noise import LATTICE, noise

POINTS = np.random.default_rng(0).uniform(-50, 50, (20000, 3))


@pytest.mark.parametrize("octaves", [1, 3])
def test_noise_has_mean_0_and_deviation_1(octaves: int) -> None:
    values = np.concatenate([noise(POINTS, 0.7, [seed], octaves) for seed in range(4)])
    assert abs(values.mean()) < 0.05
    assert 0.9 < values.std() < 1.1


def test_the_same_seed_gives_the_same_noise_and_another_one_another() -> None:
    assert np.array_equal(noise(POINTS, 1.0, [3, 1]), noise(POINTS, 1.0, [3, 1]))
    apart = np.corrcoef(noise(POINTS, 1.0, [3, 1]), noise(POINTS, 1.0, [3, 2]))[0, 1]
    assert abs(apart) < 0.1


def test_noise_is_smooth_by_its_frequency() -> None:
    near = np.abs(noise(POINTS, 1.0, [1]) - noise(POINTS + np.array([0.01, 0, 0]), 1.0, [1]))
    far = np.abs(noise(POINTS, 1.0, [1]) - noise(POINTS + np.array([0.9, 0, 0]), 1.0, [1]))
    assert near.max() < 0.2
    assert near.mean() < far.mean() / 20


def test_noise_repeats_after_its_lattice() -> None:
    shifted = noise(POINTS + LATTICE / 2.0, 2.0, [1])
    assert np.allclose(noise(POINTS, 2.0, [1]), shifted, atol=1e-4)
