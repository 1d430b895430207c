"""Augmented copies of faces for a generator, whose latents and embeddings are made once.

A source of few images is soon known by heart. Each copy has an embedding of its own, so that a
changed light or crop is learned as belonging to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field

import numpy as np
import torch

from factory.config import AugmentConfig, Config
from factory.images import to_network, to_uint8
from factory.recognition.augmentation import NUM_DRAWS, augment
from factory.seeds import torch_generator


@dataclass(frozen=True)
class AugmentedCopies:
    """How many copies a face has besides itself, and how they are changed."""

    count: int = 0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    seed: int = 0

    @classmethod
    def of(cls, config: Config) -> AugmentedCopies:
        """Those of generator.augmented_copies, by recognizer.augment and training.seed."""
        count = config.generator.augmented_copies
        if not count:
            return cls()
        return cls(count, config.recognizer.augment, config.training.seed)

    @property
    def facts(self) -> list[str]:
        """What decides the copies, for the names of files that hold their rows."""
        if not self.count:
            return []
        return [f"{self.count} copies {astuple(self.augment)} seed {self.seed}"]

    def of_batch(self, images_BHWC: np.ndarray, rows: Sequence[int], copy: int) -> np.ndarray:
        """A copy of each image, RGB uint8 [B, H, W, 3]; copy 0 is the image itself.

        `rows` are the places of the faces in their source: a copy depends on nothing else.
        """
        if copy == 0:
            return images_BHWC
        streams = (torch_generator(self.seed, "copy", copy, int(row)) for row in rows)
        uniform = torch.stack([torch.rand(NUM_DRAWS, generator=stream) for stream in streams])
        uniform[:, 0] = 1  # not flipped: mirrors are rows of their own
        return to_uint8(augment(to_network(images_BHWC), self.augment, uniform))

    def draw(self, mirrored: np.ndarray, stream: torch.Generator) -> np.ndarray:
        """Which row of its face each sample is: mirrored + 2 x copy, all copies equally often.

        Nothing is drawn where there are no copies.
        """
        if not self.count:
            return mirrored
        copy = torch.randint(1 + self.count, (len(mirrored),), generator=stream).numpy()
        return np.asarray(mirrored + 2 * copy, np.int64)
