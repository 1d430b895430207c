"""From a network to a denoiser: its conditioning, and guidance by a second answer.

Classifier-free guidance (Ho & Salimans 2022) leads away from the answer without an identity,
NegFaceDiff (2025) from that for the nearest, farthest or any other identity, and, to reach low
similarities, from that for the same identity at the largest similarity; all in an interval of noise
levels alone where one is given (Kynkaanniemi et al. 2024). AdaptDiff (Caldeira et al. 2026) changes
the weight of a negative over the noise levels. The answer itself may be a mix of those for two
identities (ScoreMix, Rahimi & Marcel 2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.sampler import Denoiser

Network = Callable[..., torch.Tensor]
"""(x_t [B, C, H, W], timesteps [B], identity [B, D], similarity [B] or None, and where there is a
hint hint_BSHW=) -> prediction."""

NO_RAMP = (1.0, 1.0)
"""Guidance is the same at all noise levels."""


@dataclass(frozen=True)
class Conditioning:
    """What the images of a batch are drawn from."""

    identity_BD: torch.Tensor
    negative_BD: torch.Tensor
    """Identities that guidance leads away from; zero: the answer without an identity."""
    guidance_B: torch.Tensor
    """Strength of guidance."""
    similarity_B: torch.Tensor | None = None
    """Similarity to the identity, for networks with similarity tokens."""
    negative_similarity_B: torch.Tensor | None = None
    """Similarity to the negative identity."""
    hint_BSHW: torch.Tensor | None = None
    """An image for networks with hint channels, the same for all answers."""
    second_BD: torch.Tensor | None = None
    """Identities whose answers are mixed in; None: nobody in the batch is a mix."""
    weight_B: torch.Tensor | None = None
    """Weight w of the answer for the identity, 1 - w of that for the second one; 1 of no mix."""


def guided(
    network: Network,
    schedule: NoiseSchedule,
    prediction: str,
    conditioning: Conditioning,
    interval: tuple[float, float] = (0.0, 1.0),
    ramp: tuple[float, float] = NO_RAMP,
) -> Denoiser:
    """Denoiser x0 = a + g*(c - a), both answers in one network call.

    Where every g is 1, at noise levels t/T outside the interval, and where the `ramp` (`ramped`)
    is 0, it is the plain conditional model, which costs half. Of a mix c is w*c_1 + (1-w)*c_2, and
    c_2 is a network call of its own: the others' answers stay what they are without mixes. Scores
    are affine in x0 at a given x_t, so this is the same convex sum of them.
    """
    always_plain = bool((conditioning.guidance_B == 1).all())
    identities = torch.cat([conditioning.identity_BD, conditioning.negative_BD])
    guidance_B111 = conditioning.guidance_B.view(-1, 1, 1, 1)
    hint_BSHW = conditioning.hint_BSHW
    hints = {} if hint_BSHW is None else {"hint_BSHW": torch.cat([hint_BSHW, hint_BSHW])}
    similarities = conditioning.similarity_B
    if similarities is not None:
        assert conditioning.negative_similarity_B is not None
        similarities = torch.cat([similarities, conditioning.negative_similarity_B])

    def mixed(wanted: torch.Tensor, x_t: torch.Tensor, t: int) -> torch.Tensor:
        if conditioning.second_BD is None or conditioning.weight_B is None:
            return wanted
        t_B = torch.full((len(x_t),), t, device=x_t.device)
        hint = {} if hint_BSHW is None else {"hint_BSHW": hint_BSHW}
        output = network(x_t, t_B, conditioning.second_BD, conditioning.similarity_B, **hint)
        second = schedule.x0_at(output, x_t, t, prediction)
        weight = conditioning.weight_B.view(-1, 1, 1, 1)
        return torch.where(weight < 1, weight * wanted + (1 - weight) * second, wanted)

    def denoise(x_t: torch.Tensor, t: int) -> torch.Tensor:
        level = (t + 1) / schedule.num_timesteps
        guidance_now = ramped(guidance_B111, ramp, level)
        plain = always_plain or guidance_now is None or not interval[0] <= level <= interval[1]
        x_A = x_t if plain else torch.cat([x_t, x_t])
        t_A = torch.full((len(x_A),), t, device=x_t.device)
        similarity_A = None if similarities is None else similarities[: len(x_A)]
        hint = {name: both[: len(x_A)] for name, both in hints.items()}
        output = network(x_A, t_A, identities[: len(x_A)], similarity_A, **hint)
        x0 = schedule.x0_at(output, x_A, t, prediction)
        if plain or guidance_now is None:
            return mixed(x0, x_t, t)
        wanted, negative = x0.chunk(2)
        wanted = mixed(wanted, x_t, t)
        return negative + guidance_now * (wanted - negative)

    return denoise


def ramped(guidance: torch.Tensor, ramp: tuple[float, float], level: float) -> torch.Tensor | None:
    """1 + r*(g - 1) at a noise level t/T, r linear from ramp[0] at 1 to ramp[1] at 0, or None.

    g - 1 is NegFaceDiff's weight w, so r*w is AdaptDiff's w(t).
    """
    if ramp == NO_RAMP:
        return guidance
    factor = ramp[1] + (ramp[0] - ramp[1]) * level
    return 1 + factor * (guidance - 1) if factor else None
