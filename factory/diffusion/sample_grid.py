"""A picture of how far a generator is: a few people of the source, drawn from their embeddings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from factory.config import GeneratorConfig
from factory.diffusion.guidance import Conditioning, guided
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.sampler import sample
from factory.diffusion.uvit import Shape, UViT
from factory.images import to_uint8
from factory.seeds import torch_generator

PEOPLE, IMAGES = 6, 4
NUM_STEPS, GUIDANCE = 12, 1.5


@torch.inference_mode()
def sample_grid(
    shape: Shape,
    weights: dict[str, torch.Tensor],
    recipe: GeneratorConfig,
    decode: Callable[[torch.Tensor], torch.Tensor],
    unit_PD: torch.Tensor,
    device: torch.device,
) -> np.ndarray:
    """RGB uint8 [P*h, IMAGES*w, 3]: a person a row, always from the same noise.

    With similarity tokens the columns ask for m from 1 down to 0.
    """
    network = UViT(shape).eval().requires_grad_(False)
    network.load_state_dict(weights)
    network.to(device)
    identity_BD = unit_PD.repeat_interleave(IMAGES, 0).to(device)
    size = (len(identity_BD), shape.channels, shape.side, shape.side)
    noise = torch.randn(size, generator=torch_generator(0, "sheet")).to(device)
    similarity_B = negative_similarity_B = hint_BSHW = None
    if shape.similarity_tokens:
        similarity_B = torch.linspace(1, 0, IMAGES).repeat(len(unit_PD)).to(device)
        negative_similarity_B = torch.zeros_like(similarity_B)
    if shape.hint_channels:  # without points: in any pose
        hint_size = (len(identity_BD), shape.hint_channels, shape.hint_px, shape.hint_px)
        hint_BSHW = torch.zeros(hint_size, device=device)
    conditioning = Conditioning(
        identity_BD,
        negative_BD=torch.zeros_like(identity_BD),
        guidance_B=torch.full((len(identity_BD),), GUIDANCE, device=device),
        similarity_B=similarity_B,
        negative_similarity_B=negative_similarity_B,
        hint_BSHW=hint_BSHW,
    )
    schedule = NoiseSchedule(recipe.num_timesteps)
    denoise = guided(network, schedule, recipe.prediction, conditioning)
    num_steps = min(NUM_STEPS, recipe.num_timesteps)
    images = to_uint8(decode(sample("unipc", denoise, noise, schedule, num_steps, "logsnr")))
    rows = np.split(images, len(unit_PD))
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
