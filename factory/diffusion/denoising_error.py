"""How well a network denoises given images at one noise level, image by image.

Images that a diffusion model learned from have a smaller error than others, most at middle noise
levels (Matsumoto et al. 2023, "Membership inference attacks against diffusion models"; Carlini et
al. 2023, "Extracting training data from diffusion models", section 5.3).
"""

from __future__ import annotations

import torch

from factory.diffusion.guidance import Conditioning, Network
from factory.diffusion.noise_schedule import NoiseSchedule


def timestep_at(schedule: NoiseSchedule, level: float) -> int:
    """The timestep of a noise level t/T in (0, 1]."""
    return min(max(round(level * schedule.num_timesteps) - 1, 0), schedule.num_timesteps - 1)


def denoising_error(
    network: Network,
    schedule: NoiseSchedule,
    prediction: str,
    x_BCHW: torch.Tensor,
    noise_BCHW: torch.Tensor,
    t: int,
    conditioning: Conditioning,
) -> torch.Tensor:
    """Mean squared error [B] of the network's own prediction at timestep t, in float64.

    Of the conditioning only the identity, its similarity and the hint count: nothing is guided.
    """
    t_B = torch.full((len(x_BCHW),), t, device=x_BCHW.device)
    x_t = schedule.add_noise(x_BCHW, noise_BCHW, t_B)
    hint = conditioning.hint_BSHW
    hints = {} if hint is None else {"hint_BSHW": hint}
    output = network(x_t, t_B, conditioning.identity_BD, conditioning.similarity_B, **hints)
    target = schedule.target(x_BCHW.double(), noise_BCHW.double(), t_B, prediction)
    return (output.double() - target).square().flatten(1).mean(1)
