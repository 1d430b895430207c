"""Samplers as pure functions of a denoiser, at a given number of network calls.

They are DDIM (Song et al. 2021, eta 0), DPM-Solver++ 2M and 2S (Lu et al. 2022, algorithms 2 and 1,
midpoint form) and UniPC-2 with B2 (Zhao et al. 2023, algorithms 1-3).

lambda = log(sqrt(a)/sqrt(1-a)) is half the log signal-to-noise ratio; the last step goes to lambda
= infinity, so every sampler ends with an x0^ of the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from factory.diffusion.noise_schedule import NoiseSchedule
from factory.errors import ConfigError

Denoiser = Callable[[torch.Tensor, int], torch.Tensor]
"""(x_t, timestep) -> x0^, both [B, C, H, W]."""


def spaced_timesteps(schedule: NoiseSchedule, num_steps: int, spacing: str) -> list[int]:
    """Decreasing timesteps, one a network call.

    They are equally spaced up to the last one (trailing, Lin et al. 2024), or equally spaced in
    lambda (logsnr, Lu et al. 2022).
    """
    last = schedule.num_timesteps
    if num_steps > last:
        raise ConfigError(
            f"sampler.num_steps: got {num_steps}; want at most {last} training timesteps"
        )
    if spacing == "trailing":
        return [round(last - i * last / num_steps) - 1 for i in range(num_steps)]
    lambda_T = _lambdas(schedule)
    wanted_N = torch.linspace(float(lambda_T[-1]), float(lambda_T[0]), num_steps + 1)[:-1]
    nearest = (lambda_T[None] - wanted_N[:, None]).abs().argmin(1).tolist()
    timesteps: list[int] = []
    for index, t in enumerate(nearest):  # strictly decreasing, with room for those that follow
        highest = timesteps[-1] - 1 if timesteps else last - 1
        timesteps.append(min(max(t, num_steps - 1 - index), highest))
    return timesteps


def ddim(
    denoise: Denoiser, noise: torch.Tensor, schedule: NoiseSchedule, timesteps: list[int]
) -> torch.Tensor:
    """First order, one call a step."""
    x, alpha_bar = noise, schedule.alpha_bar_T.tolist()
    for i, t in enumerate(timesteps):
        x0 = denoise(x, t)
        now = alpha_bar[t]
        after = alpha_bar[timesteps[i + 1]] if i + 1 < len(timesteps) else 1.0
        ratio = ((1 - after) / (1 - now)) ** 0.5
        x = (after**0.5 - ratio * now**0.5) * x0 + ratio * x
    return x


def dpmpp_2m(
    denoise: Denoiser, noise: torch.Tensor, schedule: NoiseSchedule, timesteps: list[int]
) -> torch.Tensor:
    """Second order from the previous step's x0^, one call a step."""
    scale = _Scales(schedule)
    x, previous, previous_h = noise, None, 0.0
    for i, t in enumerate(timesteps):
        x0 = denoise(x, t)
        if i + 1 == len(timesteps):
            return x0
        h = scale.lambdas[timesteps[i + 1]] - scale.lambdas[t]
        slope = x0
        if previous is not None:
            slope = x0 + (x0 - previous) * (h / previous_h / 2)
        x = scale.step(x, slope, t, timesteps[i + 1])
        previous, previous_h = x0, h
    return x


def dpmpp_2s(
    denoise: Denoiser, noise: torch.Tensor, schedule: NoiseSchedule, timesteps: list[int]
) -> torch.Tensor:
    """Second order from a call halfway, two calls a step."""
    scale = _Scales(schedule)
    x, num_steps = noise, len(timesteps)
    for i in range(0, num_steps, 2):
        t, x0 = timesteps[i], denoise(x, timesteps[i])
        if i + 1 == num_steps:
            return x0
        middle = timesteps[i + 1]
        middle_x0 = denoise(scale.step(x, x0, t, middle), middle)
        if i + 2 == num_steps:
            return middle_x0
        after = timesteps[i + 2]
        ratio = (scale.lambdas[middle] - scale.lambdas[t]) / (
            scale.lambdas[after] - scale.lambdas[t]
        )
        x = scale.step(x, x0 + (middle_x0 - x0) / (2 * ratio), t, after)
    return x


def unipc(
    denoise: Denoiser, noise: torch.Tensor, schedule: NoiseSchedule, timesteps: list[int]
) -> torch.Tensor:
    """Second-order predictor, corrected at no cost by the next call, one call a step."""
    scale = _Scales(schedule)
    x, before = noise, noise
    x0s: list[torch.Tensor] = []
    for i, t in enumerate(timesteps):
        x0 = denoise(x, t)
        if i + 1 == len(timesteps):
            return x0
        if i:
            x = _corrected(scale, before, [*x0s, x0], timesteps[max(0, i - 2) : i + 1])
        x0s = [*x0s[-1:], x0]
        before, after = x, timesteps[i + 1]
        slope = x0
        if i:
            h = scale.lambdas[after] - scale.lambdas[t]
            ratio = (scale.lambdas[timesteps[i - 1]] - scale.lambdas[t]) / h
            slope = x0 + (x0s[0] - x0) / ratio / 2
        x = scale.step(x, slope, t, after)
    return x


def _corrected(
    scale: _Scales, before: torch.Tensor, x0s: list[torch.Tensor], timesteps: list[int]
) -> torch.Tensor:
    """UniC: x at the last timestep from that at the one before, given x0^ at the last.

    From the third timestep on x0^ at the one before that is used too. B2(h) = e^h - 1, here for
    data prediction, so h < 0.
    """
    t, after = timesteps[-2:]
    lambdas, base, now = scale.lambdas, x0s[-2], x0s[-1]
    h = lambdas[after] - lambdas[t]
    change = (now - base) / 2
    if len(timesteps) == 3:
        ratio = (lambdas[timesteps[0]] - lambdas[t]) / h
        phi_1 = math.expm1(-h)
        phi_2 = phi_1 / -h - 1
        phi_3 = phi_2 / -h - 0.5
        first, second = phi_2 / phi_1, 2 * phi_3 / phi_1
        of_now = (second - ratio * first) / (1 - ratio)
        change = of_now * (now - base) + (first - of_now) * (x0s[-3] - base) / ratio
    return scale.step(before, base + change, t, after)


class _Scales:
    """Factors of the schedule as plain floats, and the exact step of a constant x0^."""

    def __init__(self, schedule: NoiseSchedule) -> None:
        self.lambdas: list[float] = _lambdas(schedule).tolist()
        self.signal: list[float] = schedule.alpha_bar_T.sqrt().tolist()
        self._sigma: list[float] = (1 - schedule.alpha_bar_T).sqrt().tolist()

    def step(self, x: torch.Tensor, x0: torch.Tensor, t: int, after: int) -> torch.Tensor:
        """x at timestep `after` from that at `t`."""
        shrink = -math.expm1(self.lambdas[t] - self.lambdas[after])
        return self._sigma[after] / self._sigma[t] * x + self.signal[after] * shrink * x0


def _lambdas(schedule: NoiseSchedule) -> torch.Tensor:
    return (schedule.alpha_bar_T.log() - (1 - schedule.alpha_bar_T).log()) / 2


SAMPLERS = {
    "ddim": ddim,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2s": dpmpp_2s,
    "unipc": unipc,
    "distilled": ddim,  # whose steps are what a student has learned (distillation.py)
}


def sample(
    kind: str,
    denoise: Denoiser,
    noise: torch.Tensor,
    schedule: NoiseSchedule,
    num_steps: int,
    spacing: str = "trailing",
) -> torch.Tensor:
    """x0 from `noise` [B, C, H, W] by one of SAMPLERS, at `num_steps` network calls."""
    timesteps = spaced_timesteps(schedule, num_steps, spacing)
    return SAMPLERS[kind](denoise, noise, schedule, timesteps)
