"""What the loss of a generator is given for the faces of a micro-batch (METHODS 1 and 2).

Shapes: B batch, C x H x W the denoised space, D embedding, W width of the network, S x H x W hints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from factory.config import Config, GeneratorConfig
from factory.diffusion.augmented_copies import AugmentedCopies
from factory.diffusion.frozen_networks import FrozenNetworks
from factory.diffusion.head_poses import FacePoses
from factory.diffusion.latent_cache import TrainingCache
from factory.diffusion.measured_similarity import MeasuredSimilarity
from factory.diffusion.noise_schedule import draw_timesteps
from factory.diffusion.similarity import TrainingSimilarities, draw_similarities
from factory.recognition.embed import Recognizer
from factory.records import Log
from factory.training.run import TrainingRun


class LossInputs(NamedTuple):
    """The arguments of GeneratorLoss, in its order."""

    x_BCHW: torch.Tensor
    noise: torch.Tensor
    t_B: torch.Tensor
    condition_BD: torch.Tensor
    identity_BD: torch.Tensor
    m_B: torch.Tensor
    dropout_BW: torch.Tensor | None
    hint_BSHW: torch.Tensor | None


@dataclass(frozen=True)
class TrainingInputs:
    """The faces of a training as their networks see them, half of them mirrored."""

    recipe: GeneratorConfig
    cache: TrainingCache
    copies: AugmentedCopies
    measured: MeasuredSimilarity | None
    """With generator.similarity_label=measured."""
    poses: FacePoses | None
    """With generator.pose."""

    @classmethod
    def open(
        cls,
        config: Config,
        run: TrainingRun,
        networks: FrozenNetworks,
        labelers: Sequence[Recognizer],
        log: Log,
    ) -> TrainingInputs:
        """Those of a run's faces; `labelers` are further recognizers that measure similarities."""
        recipe, copies = config.generator, AugmentedCopies.of(config)
        recognizer, autoencoder = networks.recognizer, networks.autoencoder
        cache = TrainingCache(run.faces, recognizer, autoencoder, recipe.condition, copies)
        run.read_ahead(*cache.arrays)
        measured = None
        if recipe.similarity_label == "measured":
            measured = MeasuredSimilarity(run.faces, [recognizer, *labelers])
            log(measured.learned.summary)
        poses = FacePoses(run.faces, config) if recipe.pose else None
        return cls(recipe, cache, copies, measured, poses)

    @property
    def learned(self) -> TrainingSimilarities | None:
        """Which similarities are learned from; None where none are measured."""
        return self.measured.learned if self.measured else None

    @property
    def facts(self) -> dict[str, Any]:
        """What a checkpoint keeps of poses and similarities."""
        stored = {"pose": self.poses.to_json()} if self.poses else {}
        return stored | ({"similarity": self.learned.to_json()} if self.learned else {})

    def draw(self, part: np.ndarray, draw: torch.Generator) -> LossInputs:
        """The inputs for rows `part` of the faces; what is random comes from `draw`.

        Rows of a dropped condition are zero, and so is their similarity.
        """
        recipe = self.recipe
        mirrored = (torch.rand(len(part), generator=draw) < 0.5).long().numpy()
        x, unit_BD = self.cache.rows(self.copies.draw(mirrored, draw), part)
        noise = torch.randn(x.shape, generator=draw)
        t_B = draw_timesteps(len(x), recipe.num_timesteps, recipe.time_sampling, draw)
        keep_B = torch.rand(len(x), generator=draw) >= recipe.condition_dropout
        if self.measured:
            m_B = self.measured.rows(mirrored, part)
            keep_B &= ~m_B.isnan()  # nobody else to be alike to
        else:
            m_B = draw_similarities(len(x), draw)
        m_B = torch.where(keep_B, m_B, 0.0)
        dropout_BW = None
        if recipe.identity_dropout:
            dropout_BW = dropout((len(x), recipe.width), recipe.identity_dropout, draw)
        hint_BSHW = self.poses.images(mirrored, part) if self.poses else None
        condition_BD = unit_BD * keep_B[:, None]
        return LossInputs(x, noise, t_B, condition_BD, unit_BD, m_B, dropout_BW, hint_BSHW)


def dropout(size: tuple[int, int], fraction: float, draw: torch.Generator) -> torch.Tensor:
    """Factors that drop a fraction of the values and keep their mean: 0 or 1/(1 - fraction)."""
    return (torch.rand(size, generator=draw) >= fraction) / (1 - fraction)
