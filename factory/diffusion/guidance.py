"""From a network to a denoiser: what it is told, and guidance by a second answer.

Classifier-free guidance (Ho & Salimans 2022) leads away from the answer for nobody, NegFaceDiff
(2025) from that for the nearest other identity, and, to reach low similarities, from that for the
same identity at similarity 1; all in an interval of noise levels alone where one is given
(Kynkaanniemi et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.sampler import Denoiser

Network = Callable[..., torch.Tensor]
"""(x_t [B, C, H, W], timesteps [B], identity [B, D], similarity [B] or None, and where there is an
image to see seen_BSHW=) -> prediction."""


@dataclass(frozen=True)
class Conditioning:
    """What a batch is drawn from: identities [B, D], whom guidance leads away from [B, D] (zero:
    nobody), its strength [B], and for networks that take them similarities [B] to each and an image
    to see [B, S, px, px], which is the same for both."""

    identity_BD: torch.Tensor
    away_BD: torch.Tensor
    guidance_B: torch.Tensor
    similarity_B: torch.Tensor | None = None
    away_similarity_B: torch.Tensor | None = None
    seen_BSHW: torch.Tensor | None = None


def guided(
    network: Network,
    process: NoiseSchedule,
    prediction: str,
    told: Conditioning,
    interval: tuple[float, float] = (0.0, 1.0),
) -> Denoiser:
    """Denoiser x0 = a + g*(c - a), both answers in one network call.

    Where every g is 1, and at noise levels t/T outside the interval, it is the plain conditional
    model, which costs half.
    """
    always_plain = bool((told.guidance_B == 1).all())
    identities = torch.cat([told.identity_BD, told.away_BD])
    similarities = told.similarity_B
    if similarities is not None:
        assert told.away_similarity_B is not None
        similarities = torch.cat([similarities, told.away_similarity_B])

    def denoise(x_t: torch.Tensor, t: int) -> torch.Tensor:
        level = (t + 1) / process.num_timesteps
        plain = always_plain or not interval[0] <= level <= interval[1]
        x_t = x_t if plain else torch.cat([x_t, x_t])
        t_B = torch.full((len(x_t),), t, device=x_t.device)
        similarity_B = None if similarities is None else similarities[: len(x_t)]
        seen = {}
        if told.seen_BSHW is not None:
            copies = len(x_t) // len(told.seen_BSHW)
            seen = {"seen_BSHW": torch.cat([told.seen_BSHW] * copies)}
        output = network(x_t, t_B, identities[: len(x_t)], similarity_B, **seen)
        x0 = process.x0(output, x_t, t_B, prediction)
        if plain:
            return x0
        wanted, away = x0.chunk(2)
        return away + told.guidance_B.view(-1, 1, 1, 1) * (wanted - away)

    return denoise
