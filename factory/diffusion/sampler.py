"""Samplers as pure functions of a denoiser: DDIM (Song et al. 2021, eta 0) and DPM-Solver++(2M)
(Lu et al. 2022, algorithm 2, midpoint form), on trailing timesteps (Lin et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from factory.diffusion.process import Process
from factory.errors import ConfigError

Denoiser = Callable[[torch.Tensor, int], torch.Tensor]
"""(x_t, timestep) -> x0^, both [B, C, H, W]."""


def trailing_timesteps(num_timesteps: int, num_steps: int) -> list[int]:
    """Decreasing timesteps from the last one on, equally spaced."""
    if num_steps > num_timesteps:
        raise ConfigError(
            f"sampler.num_steps: got {num_steps}; want at most {num_timesteps} training timesteps"
        )
    return [round(num_timesteps - i * num_timesteps / num_steps) - 1 for i in range(num_steps)]


def ddim(denoise: Denoiser, noise: torch.Tensor, process: Process, num_steps: int) -> torch.Tensor:
    """x0 after `num_steps` deterministic steps from `noise`."""
    x, alpha_bar = noise, process.alpha_bar_T.tolist()
    timesteps = trailing_timesteps(process.num_timesteps, num_steps)
    for i, t in enumerate(timesteps):
        x0 = denoise(x, t)
        now = alpha_bar[t]
        after = alpha_bar[timesteps[i + 1]] if i + 1 < num_steps else 1.0
        ratio = ((1 - after) / (1 - now)) ** 0.5
        x = (after**0.5 - ratio * now**0.5) * x0 + ratio * x
    return x


def dpmpp_2m(
    denoise: Denoiser, noise: torch.Tensor, process: Process, num_steps: int
) -> torch.Tensor:
    """x0 after `num_steps` second-order steps from `noise`; the first and last are first-order.

    lambda = log(sqrt(a)/sqrt(1-a)); the last step goes to lambda = infinity, so it returns x0^.
    """
    x, previous, previous_h = noise, None, 0.0
    timesteps = trailing_timesteps(process.num_timesteps, num_steps)
    signal = process.alpha_bar_T.sqrt()
    sigma = (1 - process.alpha_bar_T).sqrt()
    lambdas = (signal.log() - sigma.log()).tolist()
    for i, t in enumerate(timesteps):
        x0 = denoise(x, t)
        if i + 1 == num_steps:
            return x0
        after = timesteps[i + 1]
        h = lambdas[after] - lambdas[t]
        slope = x0
        if previous is not None:
            slope = x0 + (x0 - previous) * (h / previous_h / 2)
        shrink = 1 - torch.tensor(-h, dtype=torch.float64).exp().item()
        x = float(sigma[after] / sigma[t]) * x + float(signal[after]) * shrink * slope
        previous, previous_h = x0, h
    return x


SAMPLERS = {"ddim": ddim, "dpmpp_2m": dpmpp_2m}


def guided(
    network: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor],
    process: Process,
    prediction: str,
    condition_BD: torch.Tensor,
    guidance_B: torch.Tensor,
) -> Denoiser:
    """Denoiser with classifier-free guidance x0 = u + g*(c - u), both halves in one network call.

    With every g equal to 1 the unconditional half is left out: the plain conditional model.
    """
    plain = bool((guidance_B == 1).all())
    conditions = condition_BD
    if not plain:
        conditions = torch.cat([condition_BD, torch.zeros_like(condition_BD)])

    def denoise(x_t: torch.Tensor, t: int) -> torch.Tensor:
        x_t = x_t if plain else torch.cat([x_t, x_t])
        t_B = torch.full((len(x_t),), t, device=x_t.device)
        x0 = process.x0(network(x_t, t_B, conditions), x_t, t_B, prediction)
        if plain:
            return x0
        with_identity, without = x0.chunk(2)
        return without + guidance_B.view(-1, 1, 1, 1) * (with_identity - without)

    return denoise
