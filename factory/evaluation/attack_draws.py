"""The generator under attack: it draws at given embeddings, and denoises real images.

It is opened as a release opens it and samples as `sampler` says; without an identity it is not
guided. A generator that is shown five points gets none, one with similarities the largest of
sampler.similarity (for real images the largest that it knows). Shapes: N images, B batch, L noise
levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config
from factory.diffusion.autoencoder import Autoencoder
from factory.records import Log, Shot
from factory.seeds import stream_seed
from factory.synthesis.generators import DiffusionGenerator

LOG_EVERY = 8
"""Batches between two lines of progress."""


class AttackedGenerator:
    """A generator whose conditions are rows of an array; a row of zeros is nobody's."""

    def __init__(self, config: Config, condition_ND: np.ndarray, device: torch.device) -> None:
        loaded = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
        precision, autoencoder = config.compute.precision, None
        if loaded.config["space"] == "latents":
            autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
        self._network = DiffusionGenerator(loaded, autoencoder, condition_ND, device, precision)
        self._is_nobody_N = np.asarray(~condition_ND.any(1))
        self._config = config

    def draws(
        self, rows: Sequence[int], seeds: Sequence[int], what: str, log: Log
    ) -> Iterator[tuple[np.ndarray, slice]]:
        """Images [B, H, W, 3] at rows of conditions, each with its seed, and which they are."""
        size = self._config.attack.batch_size
        for number, start in enumerate(range(0, len(rows), size)):
            part = slice(start, min(start + size, len(rows)))
            guided = self._config.sampler.guidance
            assert guided is not None, "null is refused with all but students"
            shots = [
                self._shot(row, slot, seed, 1.0 if self._is_nobody_N[row] else guided)
                for slot, (row, seed) in enumerate(zip(rows[part], seeds[part], strict=True))
            ]
            drawn = self._network.generate(shots, size).images_BHWC[: len(shots)]
            yield drawn, part
            if number % LOG_EVERY == LOG_EVERY - 1 or part.stop == len(rows):
                log(f"attack: {part.stop} of {len(rows)} draws at {what}")

    def losses(
        self, images_NHWC: np.ndarray, rows: Sequence[int], what: str, log: Log
    ) -> np.ndarray:
        """Denoising errors [L, N] of real images with rows of conditions, over all noises."""
        attack = self._config.attack
        size, parts = attack.batch_size, []
        for number, start in enumerate(range(0, len(rows), size)):
            part = slice(start, start + size)
            x_BCHW = self._network.encode(images_NHWC[part])
            most = self._network.most_similar
            shots = [self._shot(row, slot, 0, 1.0, most) for slot, row in enumerate(rows[part])]
            parts.append(self._losses(x_BCHW, shots))
            if number % LOG_EVERY == LOG_EVERY - 1 or part.stop >= len(rows):
                log(f"attack: {min(part.stop, len(rows))} of {len(rows)} losses with {what}")
        return np.concatenate(parts, 1)

    def _losses(self, x_BCHW: torch.Tensor, shots: list[Shot]) -> np.ndarray:
        """Errors [L, B] at every level, the mean over all noises."""
        attack, network = self._config.attack, self._network
        seeds = [stream_seed("attack noise", attack.seed, i) for i in range(attack.num_noises)]
        return np.stack(
            [
                np.mean([network.denoising_error(x_BCHW, shots, level, s) for s in seeds], 0)
                for level in attack.noise_levels
            ]
        )

    def _shot(
        self, row: int, slot: int, seed: int, guidance: float, similarity: float | None = None
    ) -> Shot:
        sampler = self._config.sampler
        if sampler.similarity:
            similarity = max(sampler.similarity) if similarity is None else similarity
        begin, end = sampler.guidance_interval
        away = row if sampler.negative_condition == "same_identity" else -1
        return Shot(
            key=f"attack {slot}",
            identity=int(row),
            image=0,
            attempt=0,
            seed=seed,
            sampler=sampler.kind,
            num_steps=sampler.num_steps,
            guidance=guidance,
            batch=0,
            slot=slot,
            timestep_spacing=sampler.timestep_spacing,
            guidance_from=begin,
            guidance_to=end,
            negative_identity=away,
            similarity=similarity,
        )
