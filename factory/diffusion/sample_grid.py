"""A picture of how far a generator is: a few people of the source, drawn from their embeddings."""

from __future__ import annotations

import numpy as np
import torch

from factory.diffusion.trained_generator import TrainedGenerator

PEOPLE, IMAGES = 6, 4


def sample_grid(generator: TrainedGenerator, unit_PD: torch.Tensor) -> np.ndarray:
    """RGB uint8 [P*h, IMAGES*w, 3]: a person a row, always from the same noise.

    With similarity tokens the columns ask for m from 1 down to 0, or over those of the training.
    """
    identity_BD = unit_PD.repeat_interleave(IMAGES, 0)
    similarity_B = None
    if generator.network.shape.similarity_tokens:
        low, high = generator.similarities
        similarity_B = torch.linspace(high, low, IMAGES).repeat(len(unit_PD))
    rows = np.split(generator.draw(identity_BD, "sheet", similarity_B), len(unit_PD))
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
