"""Denoising errors of a network whose optimum is known, computed plainly in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory.diffusion.denoising_error import denoising_error, timestep_at
from factory.diffusion.guidance import Conditioning
from factory.diffusion.noise_schedule import NoiseSchedule

SCHEDULE = NoiseSchedule(100)
SPREAD = 0.7
"""Deviation of the pixels that the network knows to denoise."""


def nobody(count, dim=4):
    zeros = torch.zeros(count, dim)
    return Conditioning(zeros, zeros, torch.ones(count))


def best_x0(x_t, alpha_bar):
    """The mean of x given x_t, for pixels of N(0, SPREAD^2)."""
    return x_t * alpha_bar**0.5 * SPREAD**2 / (alpha_bar * SPREAD**2 + 1 - alpha_bar)


def optimal(prediction):
    def network(x_t, t_B, identity_BD, similarity_B):
        alpha_bar = float(SCHEDULE.alpha_bar_T[t_B[0]])
        signal, sigma = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
        x0 = best_x0(x_t, alpha_bar)
        noise = (x_t - signal * x0) / sigma
        return {"x0": x0, "epsilon": noise, "v": signal * noise - sigma * x0}[prediction]

    return network


@pytest.mark.parametrize("prediction", ["x0", "epsilon", "v"])
@pytest.mark.parametrize("t", [4, 50, 97])
def test_attack_losses_are_those_of_a_plain_computation(prediction, t):
    rng = np.random.default_rng(t)
    x, noise = rng.normal(0, SPREAD, (3, 2, 5, 5)), rng.normal(size=(3, 2, 5, 5))
    alpha_bar = float(SCHEDULE.alpha_bar_T[t])
    signal, sigma = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    x_t = signal * x + sigma * noise
    x0 = best_x0(x_t, alpha_bar)
    eps = (x_t - signal * x0) / sigma
    wrong = {
        "x0": x0 - x,
        "epsilon": eps - noise,
        "v": (signal * eps - sigma * x0) - (signal * noise - sigma * x),
    }
    found = denoising_error(
        optimal(prediction),
        SCHEDULE,
        prediction,
        torch.from_numpy(x).float(),
        torch.from_numpy(noise).float(),
        t,
        nobody(3),
    )
    assert found.dtype == torch.float64
    wanted = (wrong[prediction] ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4)


def test_the_loss_of_the_best_network_is_the_variance_that_is_left():
    """SPREAD^2 (1-a)/(a SPREAD^2 + 1 - a), whatever the image: nothing was learned by heart."""
    draw = torch.Generator().manual_seed(0)
    x = SPREAD * torch.randn(8, 3, 40, 40, generator=draw)
    noise = torch.randn(x.shape, generator=draw)
    found = denoising_error(optimal("x0"), SCHEDULE, "x0", x, noise, 50, nobody(8))
    alpha_bar = float(SCHEDULE.alpha_bar_T[50])
    left = SPREAD**2 * (1 - alpha_bar) / (alpha_bar * SPREAD**2 + 1 - alpha_bar)
    np.testing.assert_allclose(found.numpy(), left, rtol=0.06)


def test_a_network_that_knows_an_image_by_heart_has_no_loss_for_it():
    known, other = torch.full((1, 3, 4, 4), 0.3), torch.full((1, 3, 4, 4), -0.2)
    both, noise = torch.cat([known, other]), torch.randn(2, 3, 4, 4)
    found = denoising_error(
        lambda x_t, *conditions: known.expand_as(x_t), SCHEDULE, "x0", both, noise, 30, nobody(2)
    )
    np.testing.assert_allclose(found.numpy(), [0, 0.25], atol=1e-7)


def test_the_condition_of_an_image_reaches_the_network():
    seen = {}

    def network(x_t, t_B, identity_BD, similarity_B, hint_BSHW):
        seen.update(t=t_B.tolist(), identity=identity_BD, similarity=similarity_B, hint=hint_BSHW)
        return x_t

    identity, m, hint = torch.eye(2), torch.ones(2), torch.zeros(2, 5, 8, 8)
    conditioning = Conditioning(identity, -identity, torch.ones(2), m, -m, hint)
    x = torch.zeros(2, 1, 4, 4)
    denoising_error(network, SCHEDULE, "x0", x, x, 7, conditioning)
    assert seen["t"] == [7, 7]
    assert seen["identity"] is identity
    assert seen["similarity"] is m
    assert seen["hint"] is hint


def test_levels_are_timesteps():
    assert [timestep_at(SCHEDULE, level) for level in (1e-6, 0.01, 0.5, 1)] == [0, 0, 49, 99]
