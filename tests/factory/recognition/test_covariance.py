"""Covariance, its distance and colored rows against numpy in float64."""

from __future__ import annotations

import numpy as np
import torch

from factory.recognition.covariance import colored, covariance_distance, moments


def rows(count: int = 9, dim: int = 4, seed: int = 0) -> torch.Tensor:
    drawn = np.random.default_rng(seed).normal(size=(count, dim)) + np.arange(dim)
    return torch.from_numpy(drawn)


def test_moments_are_numpys_and_of_the_taken_rows_alone():
    x = rows()
    mean_D, covariance_DD = moments(x)
    np.testing.assert_allclose(mean_D, x.numpy().mean(0))
    np.testing.assert_allclose(covariance_DD, np.cov(x.numpy().T, bias=True))
    taken = torch.tensor([1.0, 0, 1, 1, 0, 1, 1, 1, 0]).double()
    some = moments(x, taken)
    for got, wanted in zip(some, moments(x[taken > 0]), strict=True):
        torch.testing.assert_close(got, wanted)


def test_the_gradient_of_the_distance_is_right_although_the_mean_has_none():
    wanted = moments(rows(seed=1))[1]
    x = rows().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: covariance_distance(moments(x)[1], wanted), (x,))


def test_distance_is_0_if_equal_1_for_none_and_4_for_three_times_as_much():
    wanted = moments(rows())[1]
    scales = {1.0: 0.0, 0.0: 1.0, 3.0: 4.0}
    for scale, distance in scales.items():
        got = float(covariance_distance(scale * wanted, wanted))
        np.testing.assert_allclose(got, distance, atol=1e-12)


def test_colored_white_noise_has_mean_and_covariance():
    """Far from the origin, where normalizing hardly bends: projected back onto the plane z = 5."""
    wanted = torch.tensor([[0.04, 0.01, 0.0], [0.01, 0.02, 0.0], [0.0, 0.0, 0.0]])
    mean = torch.tensor([0.3, -0.2, 5.0])
    white = torch.randn(40_000, 3, generator=torch.Generator().manual_seed(0))
    unit = colored(white, mean, wanted).double()
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(40_000).double(), atol=1e-6, rtol=0)
    got_D, got_DD = moments(unit / unit[:, 2:] * 5)
    torch.testing.assert_close(got_D.float(), mean, atol=0.005, rtol=0)
    torch.testing.assert_close(got_DD.float(), wanted, atol=0.001, rtol=0)
