"""Samplers agree with diffusers' schedulers on the same network; guidance 1 is the plain model."""

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
from factory.errors import ConfigError
from factory.planning.preflight import _check_generator

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
    process = NoiseSchedule(1000)
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
    denoise = guided(network, process, prediction, told(condition, [1.0, 1.0]))
    ours = sample(kind, denoise, noise, process, num_steps)
    theirs = reference(scheduler, network, noise, condition, num_steps)
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=1e-4)


def told(condition, guidance, away=None, similarity=None, away_similarity=None) -> Conditioning:
    away = torch.zeros_like(condition) if away is None else away
    return Conditioning(condition, away, torch.tensor(guidance), similarity, away_similarity)


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


def gaussian(process):
    """The exact denoiser of data N(0, .25): x0^ = sqrt(a)*.25*x / (a*.25 + 1-a)."""

    def denoise(x, t):
        alpha_bar = float(process.alpha_bar_T[t])
        return alpha_bar**0.5 * 0.25 * x / (alpha_bar * 0.25 + 1 - alpha_bar)

    return denoise


@pytest.mark.parametrize("second", ["dpmpp_2m", "dpmpp_2s", "unipc"])
def test_second_order_comes_nearer_than_first_at_the_same_calls(second):
    """The flow of a Gaussian ends at x/2 exactly (up to the first timestep's noise)."""
    process, noise = NoiseSchedule(1000), torch.randn(500, dtype=torch.float64)
    errors = {}
    for kind in ("ddim", second):
        got = sample(kind, gaussian(process), noise, process, 21, "logsnr")
        errors[kind] = float((got - noise / 2).abs().mean())
    assert errors[second] < 0.7 * errors["ddim"]


def test_guidance_mixes_conditional_and_unconditional(network):
    process = NoiseSchedule(1000)
    x, condition = torch.randn(2, 2, 8, 8), torch.randn(2, 6)

    def at(g):
        return guided(network, process, "x0", told(condition, g))(x, 500)

    t = torch.full((2,), 500)
    plain = network(x, t, condition)
    nobody = network(x, t, torch.zeros(2, 6))
    torch.testing.assert_close(at([1.0, 1.0]), plain)
    torch.testing.assert_close(at([0.0, 0.0]), nobody, atol=1e-5, rtol=1e-4)
    mixed = nobody + torch.tensor([1.0, 3.0]).view(2, 1, 1, 1) * (plain - nobody)
    torch.testing.assert_close(at([1.0, 3.0]), mixed, atol=1e-5, rtol=1e-4)


def test_guidance_leads_away_from_another_identity(network):
    process, x = NoiseSchedule(1000), torch.randn(2, 2, 8, 8)
    condition, other, t = torch.randn(2, 6), torch.randn(2, 6), torch.full((2,), 500)
    got = guided(network, process, "x0", told(condition, [2.0, 2.0], other))(x, 500)
    wanted, away = network(x, t, condition), network(x, t, other)
    torch.testing.assert_close(got, 2 * wanted - away, atol=1e-5, rtol=1e-4)


def test_guidance_acts_in_its_interval_alone(network):
    process, x, condition = NoiseSchedule(1000), torch.randn(2, 2, 8, 8), torch.randn(2, 6)
    inside = guided(network, process, "x0", told(condition, [3.0, 3.0]), (0.2, 0.6))
    whole = guided(network, process, "x0", told(condition, [3.0, 3.0]))
    plain = guided(network, process, "x0", told(condition, [1.0, 1.0]))
    for t, same in ((100, plain), (500, whole), (900, plain)):
        torch.testing.assert_close(inside(x, t), same(x, t), atol=1e-5, rtol=1e-4)


def test_guidance_leads_away_from_another_similarity():
    def network(x, t_B, identity_BD, similarity_B):
        return x * similarity_B.view(-1, 1, 1, 1)

    condition, x = torch.ones(2, 6), torch.randn(2, 2, 8, 8)
    similarity, away = torch.tensor([0.5, -0.2]), torch.tensor([1.0, 0.0])
    asked = told(condition, [2.0, 2.0], condition, similarity, away)
    got = guided(network, NoiseSchedule(10), "x0", asked)(x, 5)
    factor = 2 * similarity - away
    torch.testing.assert_close(got, x * factor.view(2, 1, 1, 1))


def test_timesteps_begin_at_the_noisiest():
    process = NoiseSchedule(1000)
    assert spaced_timesteps(process, 4, "trailing") == [999, 749, 499, 249]
    spaced = spaced_timesteps(process, 8, "logsnr")
    assert spaced[0] == 999
    assert sorted(set(spaced), reverse=True) == spaced
    assert spaced_timesteps(NoiseSchedule(10), 10, "logsnr") == list(range(9, -1, -1))
    with pytest.raises(ValueError, match=r"sampler\.num_steps"):
        spaced_timesteps(NoiseSchedule(10), 11, "trailing")


def test_epsilon_is_not_spaced_trailing(release_config):
    """Its first step would multiply the network's error by sqrt(alpha_bar_949 / alpha_bar_999)."""
    story = {"num_timesteps": 1000, "prediction": "epsilon", "shape": {}}
    with pytest.raises(ConfigError, match=r"sampler\.spacing: got 'trailing' .* epsilon"):
        _check_generator(release_config(), story)
    _check_generator(release_config("sampler.timestep_spacing=logsnr"), story)
