"""Conversions between predictions invert, and loss weights say what they claim."""

from __future__ import annotations

import pytest
import torch

from factory.diffusion.noise_schedule import NoiseSchedule, draw_timesteps

PREDICTIONS = ["x0", "v", "epsilon"]


@pytest.fixture
def noised():
    torch.manual_seed(0)
    schedule = NoiseSchedule(100)
    x, noise = torch.randn(5, 2, 3, 3).double(), torch.randn(5, 2, 3, 3).double()
    t = torch.tensor([0, 10, 50, 90, 98])
    return schedule, x, noise, t, schedule.add_noise(x, noise, t)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_true_target_gives_back_image_and_noise(noised, prediction):
    schedule, x, noise, t, x_t = noised
    target = schedule.target(x, noise, t, prediction)
    x0 = schedule.x0(target, x_t, t, prediction)
    torch.testing.assert_close(x0, x)
    torch.testing.assert_close(schedule.noise(x0, x_t, t), noise)


def test_variance_is_preserved_and_the_end_is_noise():
    schedule = NoiseSchedule(1000)
    signal, sigma = schedule.scales(torch.arange(1000), torch.zeros(1000, 1))
    torch.testing.assert_close(signal**2 + sigma**2, torch.ones(1000, 1))
    assert float(signal[0]) > 0.999
    assert float(signal[-1]) < 1e-2


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_x0_weighting_is_the_plain_error_on_x0(noised, prediction):
    schedule, x, noise, t, x_t = noised
    output = schedule.target(x, noise, t, prediction) + 0.1 * torch.randn_like(x)
    error = (output - schedule.target(x, noise, t, prediction)).square().mean((1, 2, 3))
    weighted = schedule.loss_weight(t, "x0", prediction) * error
    plain = (schedule.x0(output, x_t, t, prediction) - x).square().mean((1, 2, 3))
    torch.testing.assert_close(weighted, plain)


def test_min_snr_caps_the_weight():
    schedule = NoiseSchedule(1000)
    t = torch.tensor([0, 999])
    x0 = schedule.loss_weight(t, "min_snr", "x0")
    assert x0[0] == 5
    assert x0[1] < 1e-3
    epsilon = schedule.loss_weight(torch.tensor([900]), "min_snr", "epsilon")
    assert float(epsilon) == pytest.approx(1.0)  # below gamma the epsilon error is unweighted
    assert (schedule.loss_weight(t, "none", "v") == 1).all()
    assert torch.equal(schedule.loss_weight(t, "x0", "x0"), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("law", ["uniform", "logit_normal"])
def test_timesteps_stay_in_range_and_repeat(law):
    draws = [draw_timesteps(5000, 100, law, torch.Generator().manual_seed(0)) for _ in range(2)]
    assert torch.equal(*draws)
    assert draws[0].min() >= 0
    assert draws[0].max() <= 99
    assert float(draws[0].float().mean()) == pytest.approx(49.5, abs=2)


def test_timesteps_follow_their_laws():
    """Uniform: as many in each tenth; logit-normal: .159 beyond one deviation to each side."""
    count = 20_000
    uniform, logit = (
        draw_timesteps(count, 1000, law, torch.Generator().manual_seed(1)).double() / 1000
        for law in ("uniform", "logit_normal")
    )
    tenths = torch.histc(uniform, 10, 0, 1) / count
    assert float((tenths - 0.1).abs().max()) < 0.01
    for deviations, fraction in ((-2, 0.0228), (-1, 0.1587), (0, 0.5), (1, 0.8413)):
        below = float((logit < torch.sigmoid(torch.tensor(float(deviations)))).double().mean())
        assert below == pytest.approx(fraction, abs=0.015)


@pytest.mark.parametrize("prediction", ["x0", "v", "epsilon"])
def test_one_timestep_for_all_gives_the_same_bytes(prediction):
    schedule, draw = NoiseSchedule(1000), torch.Generator().manual_seed(0)
    output, x_t = torch.randn(2, 3, 2, 4, 4, generator=draw)
    for t in (0, 1, 500, 998, 999):
        at_each = schedule.x0(output, x_t, torch.full((3,), t), prediction)
        assert torch.equal(schedule.x0_at(output, x_t, t, prediction), at_each)
