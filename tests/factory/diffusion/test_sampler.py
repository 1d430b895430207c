"""Samplers agree with diffusers' schedulers on the same network; guidance 1 is the plain model."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from factory.diffusion.process import Process
from factory.diffusion.sampler import SAMPLERS, ddim, dpmpp_2m, guided, trailing_timesteps
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
@pytest.mark.parametrize("kind", ["ddim", "dpmpp_2m"])
def test_agrees_with_diffusers(network, kind, prediction, num_steps):
    process = Process(1000)
    noise, condition = torch.randn(2, 2, 8, 8), torch.randn(2, 6)
    if kind == "ddim":
        scheduler = DDIMScheduler(
            1000,
            clip_sample=False,
            set_alpha_to_one=True,
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
    denoise = guided(network, process, prediction, condition, torch.ones(2))
    ours = SAMPLERS[kind](denoise, noise, process, num_steps)
    theirs = reference(scheduler, network, noise, condition, num_steps)
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("sampler", [ddim, dpmpp_2m])
def test_a_perfect_denoiser_is_reached_from_any_noise(sampler):
    wanted = torch.randn(3, 1, 4, 4)
    noise = torch.randn(3, 1, 4, 4)
    got = sampler(lambda x, t: wanted, noise, Process(1000), 8)
    torch.testing.assert_close(got, wanted)


def test_guidance_mixes_conditional_and_unconditional(network):
    process = Process(1000)
    x, condition = torch.randn(2, 2, 8, 8), torch.randn(2, 6)

    def at(g):
        return guided(network, process, "x0", condition, torch.tensor(g))(x, 500)

    t = torch.full((2,), 500)
    plain = network(x, t, condition)
    nobody = network(x, t, torch.zeros(2, 6))
    torch.testing.assert_close(at([1.0, 1.0]), plain)
    torch.testing.assert_close(at([0.0, 0.0]), nobody, atol=1e-5, rtol=1e-4)
    mixed = nobody + torch.tensor([1.0, 3.0]).view(2, 1, 1, 1) * (plain - nobody)
    torch.testing.assert_close(at([1.0, 3.0]), mixed, atol=1e-5, rtol=1e-4)


def test_timesteps_begin_at_the_noisiest():
    assert trailing_timesteps(1000, 4) == [999, 749, 499, 249]
    with pytest.raises(ValueError, match=r"sampler\.num_steps"):
        trailing_timesteps(10, 11)
