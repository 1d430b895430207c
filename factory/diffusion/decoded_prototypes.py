"""What a generator draws from vectors: faces of each, and how near they are to what they are of.

Shapes: N people, S images of each, D embedding.
"""

from __future__ import annotations

import numpy as np
import torch

from factory.diffusion.trained_generator import TrainedGenerator
from factory.recognition.embed import Recognizer

NUM_PEOPLE, NUM_SHOTS = 64, 2
"""Prototypes that are drawn for the figure of a checkpoint, the first ones, and images of each."""
DRAWN_AT_ONCE = 32


def draw_shots(generator: TrainedGenerator, unit_ND: np.ndarray, num_shots: int) -> np.ndarray:
    """RGB uint8 [N, S, H, W, 3] of people; the noise of an image depends on its place alone."""
    asked_ND = torch.from_numpy(unit_ND)
    starts = range(0, len(unit_ND), DRAWN_AT_ONCE)
    shots = [
        [
            generator.draw(asked_ND[start : start + DRAWN_AT_ONCE], f"shot {shot} {start}")
            for start in starts
        ]
        for shot in range(num_shots)
    ]
    return np.stack([np.concatenate(parts) for parts in shots], axis=1)


def embed_shots(recognizer: Recognizer, images_NSHWC: np.ndarray) -> np.ndarray:
    """Unit embeddings [N, S, D] of images of people."""
    people, shots = images_NSHWC.shape[:2]
    unit_MD = recognizer.embed(images_NSHWC.reshape(-1, *images_NSHWC.shape[2:]))
    return unit_MD.reshape(people, shots, -1)


def decoded_own(
    generator: TrainedGenerator, recognizer: Recognizer, unit_KD: np.ndarray
) -> dict[str, float]:
    """Mean and deviation of the cosines of drawn faces to the prototypes that they are of.

    The first NUM_PEOPLE of K prototypes, NUM_SHOTS images of each.
    """
    asked_ND = unit_KD[:NUM_PEOPLE]
    drawn_NSD = embed_shots(recognizer, draw_shots(generator, asked_ND, NUM_SHOTS))
    own_NS = (drawn_NSD * asked_ND[:, None]).sum(2)
    return {"mean": float(own_NS.mean()), "std": float(own_NS.std()), "images": own_NS.size}
