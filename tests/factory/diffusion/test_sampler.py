"""Samplers agree with diffusers' schedulers on the same network, and with closed forms."""

from __future__ import annotations

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    UniPCMultistepScheduler,
)

from factory.diffusion import sampler
from factory.diffusion.guidance import Conditioning, guided
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.sampler import SAMPLERS, sample, spaced_timesteps
from factory.diffusion.uvit import Shape, UViT

DIFFUSERS = {"x0": "sample", "v": "v_prediction", "epsilon": "epsilon"}
COMMON = {"beta_schedule": "squaredcos_cap_v2", "timestep_spacing": "trailing"}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = UViT(Shape(2, 8, 2, None, 32, 3, 2, 6)).eval().requires_grad_(False)
    torch.nn.init.normal_(network.final.weight, std=0.1)
    return network


def reference(scheduler, network, noise, condition, num_steps):
    scheduler.set_timesteps(num_steps)
    x = noise
    for t in scheduler.timesteps:
        output = network(x, torch.full((len(x),), int(t)), condition)
        x = scheduler.step(output, t, x).prev_sample
    return x


@pytest.mark.parametrize("num_steps", [2, 5, 20])
@pytest.mark.parametrize("prediction", ["x0", "v"])
@pytest.mark.parametrize("kind", ["ddim", "dpmpp_2m", "dpmpp_2s", "unipc"])
def test_agrees_with_diffusers(network, kind, prediction, num_steps, monkeypatch):
    schedule = NoiseSchedule(1000)
    noise, condition = torch.randn(2, 2, 8, 8), torch.randn(2, 6)
    if kind == "ddim":
        scheduler = DDIMScheduler(
            1000,
            clip_sample=False,
            set_alpha_to_one=True,
            prediction_type=DIFFUSERS[prediction],
            **COMMON,
        )
    elif kind == "dpmpp_2s":
        scheduler = DPMSolverSinglestepScheduler(
            1000,
            algorithm_type="dpmsolver++",
            solver_order=2,
            final_sigmas_type="zero",
            lower_order_final=True,
            prediction_type=DIFFUSERS[prediction],
            beta_schedule="squaredcos_cap_v2",
        )
        scheduler.set_timesteps(num_steps)  # it knows no trailing ones, so ours are its own
        timesteps = [int(t) for t in scheduler.timesteps]
        monkeypatch.setattr(sampler, "spaced_timesteps", lambda *_: timesteps)
    elif kind == "unipc":
        scheduler = UniPCMultistepScheduler(
            1000,
            solver_order=2,
            solver_type="bh2",
            final_sigmas_type="zero",
            prediction_type=DIFFUSERS[prediction],
            **COMMON,
        )
    else:
        scheduler = DPMSolverMultistepScheduler(
            1000,
            algorithm_type="dpmsolver++",
            solver_order=2,
            final_sigmas_type="zero",
            prediction_type=DIFFUSERS[prediction],
            **COMMON,
        )
    denoise = guided(network, schedule, prediction, plain(condition))
    ours = sample(kind, denoise, noise, schedule, num_steps)
    theirs = reference(scheduler, network, noise, condition, num_steps)
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def plain(condition: torch.Tensor) -> Conditioning:
    return Conditioning(condition, torch.zeros_like(condition), torch.ones(len(condition)))


@pytest.mark.parametrize("spacing", ["trailing", "logsnr"])
@pytest.mark.parametrize("num_steps", [1, 2, 7, 8])
@pytest.mark.parametrize("kind", sorted(SAMPLERS))
def test_a_perfect_denoiser_is_reached_from_any_noise(kind, num_steps, spacing):
    wanted, noise = torch.randn(3, 1, 4, 4), torch.randn(3, 1, 4, 4)
    calls = []

    def denoise(x, t):
        calls.append(t)
        return wanted

    got = sample(kind, denoise, noise, NoiseSchedule(1000), num_steps, spacing)
    torch.testing.assert_close(got, wanted)
    assert len(calls) == num_steps


def gaussian(schedule):
    """The exact denoiser of data N(0, .25): x0^ = sqrt(a)*.25*x / (a*.25 + 1-a)."""

    def denoise(x, t):
        alpha_bar = float(schedule.alpha_bar_T[t])
        return alpha_bar**0.5 * 0.25 * x / (alpha_bar * 0.25 + 1 - alpha_bar)

    return denoise


@pytest.mark.parametrize("second", ["dpmpp_2m", "dpmpp_2s", "unipc"])
def test_second_order_comes_nearer_than_first_at_the_same_calls(second):
    """The flow of a Gaussian ends at x/2 exactly (up to the first timestep's noise)."""
    schedule, noise = NoiseSchedule(1000), torch.randn(500, dtype=torch.float64)
    errors = {}
    for kind in ("ddim", second):
        got = sample(kind, gaussian(schedule), noise, schedule, 21, "logsnr")
        errors[kind] = float((got - noise / 2).abs().mean())
    assert errors[second] < 0.7 * errors["ddim"]


def test_timesteps_begin_at_the_noisiest():
    schedule = NoiseSchedule(1000)
    assert spaced_timesteps(schedule, 4, "trailing") == [999, 749, 499, 249]
    spaced = spaced_timesteps(schedule, 8, "logsnr")
    assert spaced[0] == 999
    assert sorted(set(spaced), reverse=True) == spaced
    assert spaced_timesteps(NoiseSchedule(10), 10, "logsnr") == list(range(9, -1, -1))
    with pytest.raises(ValueError, match=r"sampler\.num_steps"):
        spaced_timesteps(NoiseSchedule(10), 11, "trailing")


def test_logsnr_timesteps_are_those_nearest_to_equal_steps_in_lambda():
    """From the noisiest lambda on, as many steps as calls, the last to the least noisy one."""
    schedule = NoiseSchedule(100_000)  # so many that no timestep is wanted twice
    a = schedule.alpha_bar_T
    lambdas = (a / (1 - a)).log() / 2
    for num_steps in (1, 4, 9):
        step = (lambdas[0] - lambdas[-1]) / num_steps
        nearest = [int((lambdas - lambdas[-1] - i * step).abs().argmin()) for i in range(num_steps)]
        assert spaced_timesteps(schedule, num_steps, "logsnr") == nearest
