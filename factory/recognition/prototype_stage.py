"""A short stage after a recognizer in which its virtual prototypes become faces (METHODS 1).

VIGFace's loss has no attraction to faces: rows that begin at random directions stay there, because
a virtual feature is near its own row and far from all others from the first steps on. So this
stage, which is ours, begins at draws from the normal distribution of real class centers, and
multiplies the gradients of the same loss by its covariance. Backbone and real prototypes are
frozen.

Shapes: M kept embeddings, B of them in a step on this rank, K virtual prototypes, D embedding.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from factory.config import Config, RecognizerConfig
from factory.errors import ConfigError, SourceError
from factory.recognition.batches import TrainingSet
from factory.recognition.class_shards import FIRST_SPREAD, draw_rows
from factory.recognition.covariance import colored, moments
from factory.recognition.embed import Recognizer
from factory.recognition.prototypes import Prototypes, num_virtual_features
from factory.seeds import torch_generator
from factory.sources import CorruptImageError
from factory.sources.base import THREADS
from factory.training.distributed import gather_rows, rank, sum_over_ranks, world_size
from factory.training.schedules import cosine_decay, warmup

WARMUP_STEPS = 50
"""Steps of linear rise of the learning rate, in which the momentum and sigma settle."""
READ_AT_ONCE = 256
"""Images that are in memory together."""


@dataclass(frozen=True)
class KeptFeatures:
    """Embeddings of images, not normalized [M, D], and their classes [M], the same on all ranks."""

    feature_MD: torch.Tensor
    label_M: torch.Tensor

    def centers(self) -> torch.Tensor:
        """Unit mean embeddings [P, D] of the people who are there."""
        unit_MD = F.normalize(self.feature_MD).double()
        sum_ND = unit_MD.new_zeros(int(self.label_M.max()) + 1, unit_MD.shape[1])
        sum_ND.index_add_(0, self.label_M, unit_MD)
        return F.normalize(sum_ND[self.label_M.unique()]).float()


@dataclass(frozen=True)
class Shaped:
    """What the stage made, the same on all ranks."""

    virtual_KD: torch.Tensor
    start_KD: torch.Tensor
    """Unit vectors that the rows began at."""
    figures: dict[str, Any]


def check_stage(config: Config) -> None:
    """Raise ConfigError for a stage whose step does not divide over the ranks."""
    stage, ranks = config.recognizer.prototypes, max(world_size(), config.compute.num_ranks or 1)
    if stage.steps and stage.batch_size % ranks:
        raise ConfigError(
            f"recognizer.prototypes.batch_size: got {stage.batch_size} for {ranks} ranks; want a "
            "multiple of them"
        )


def keep_features(
    recognizer: Recognizer, training_set: TrainingSet, label_N: np.ndarray, max_images: int
) -> KeptFeatures:
    """Embed at most `max_images` of a training set, spread evenly over the people.

    `label_N` are the classes of its images, -1 for those that are none of the recognizer's. Each
    rank embeds its part. For an image that cannot be read another one stands in.
    """
    order = np.argsort(label_N, kind="stable")
    order = order[label_N[order] >= 0]
    count = max(min(max_images, len(order)) // world_size(), 1) * world_size()
    chosen = order[np.linspace(0, len(order) - 1, count).round().astype(np.int64)]
    own = chosen.reshape(-1, world_size())[:, rank()]
    features, labels = [], []
    for start in range(0, len(own), READ_AT_ONCE):
        images, indices = _read(training_set, own[start : start + READ_AT_ONCE])
        features.append(torch.from_numpy(recognizer.features(images)).to(recognizer.device))
        labels.append(label_N[indices])
    feature_BD = torch.cat(features)
    label_B = torch.from_numpy(np.concatenate(labels).astype(np.int64)).to(feature_BD.device)
    return KeptFeatures(gather_rows(feature_BD), gather_rows(label_B))


def shape_prototypes(
    recipe: RecognizerConfig,
    real_RD: torch.Tensor,
    num_real: int,
    kept: KeptFeatures,
    seed: int,
) -> Shaped:
    """Virtual prototypes by the stage `recipe.prototypes`; all ranks call it.

    `real_RD` are this rank's rows of the `num_real` real prototypes. The figures are the loss of
    the first and the last step and the seconds that the steps took.
    """
    stage, device = recipe.prototypes, kept.feature_MD.device
    prototypes = Prototypes(recipe, num_real, seed=seed).to(device)
    virtual = slice(len(real_RD), None)
    by_DD = _begin(prototypes, real_RD.to(device), kept.centers(), seed)
    start_RD = prototypes.weight_RD[virtual].clone()
    num_virtual = num_virtual_features(
        stage.batch_size, num_real, recipe.num_virtual, recipe.virtual_per_step
    )
    own = stage.batch_size // world_size()
    losses, began = [], time.monotonic()
    for step in range(stage.steps):
        chosen_B, virtual_V, noise_VD = _draws(recipe, len(kept.label_M), num_virtual, seed, step)
        mine_B = chosen_B[rank() * own : (rank() + 1) * own].to(device)
        loss = prototypes.loss(
            kept.feature_MD[mine_B],
            kept.label_M[mine_B],
            virtual_V,
            noise_VD.to(device),
            margin=recipe.margin_m,
            virtual_margin=min(stage.margin, recipe.margin_m),
            step=step,
        )
        loss.backward()
        rate = warmup(step, WARMUP_STEPS) * cosine_decay(step / stage.steps)
        prototypes.step(stage.lr * rate, virtual_by_DD=by_DD)
        losses.append(loss.detach())
    figures = {
        "steps": stage.steps,
        "images": len(kept.label_M),
        "first_loss": round(float(losses[0]), 4),
        "final_loss": round(float(losses[-1]), 4),
        "seconds": round(time.monotonic() - began, 1),
    }
    whole = [_whole(prototypes, rows_RD) for rows_RD in (prototypes.weight_RD[virtual], start_RD)]
    return Shaped(whole[0], F.normalize(whole[1]), figures)


@torch.no_grad()
def _begin(
    prototypes: Prototypes, real_RD: torch.Tensor, center_PD: torch.Tensor, seed: int
) -> torch.Tensor:
    """Set this rank's rows to real ones and to draws from N(mean, C) of the class centers.

    Returns C over its largest eigenvalue. Draws are as long as the rows of a training begin,
    because their length decides what a learning rate does. A row is the same whichever rank holds
    it.
    """
    weight_RD, rows = prototypes.weight_RD, prototypes.rows
    mean_D, covariance_DD = moments(center_PD)
    white_RD = torch.empty(len(rows.virtual), real_RD.shape[1])
    draw_rows(seed, "colored", rows.virtual, white_RD)
    white_RD = white_RD.to(weight_RD.device) / FIRST_SPREAD
    length = FIRST_SPREAD * real_RD.shape[1] ** 0.5
    weight_RD[: len(real_RD)] = real_RD
    weight_RD[len(real_RD) :] = colored(white_RD, mean_D, covariance_DD) * length
    largest: torch.Tensor = torch.linalg.eigvalsh(covariance_DD)[-1]
    return covariance_DD / largest


def _draws(
    recipe: RecognizerConfig, num_kept: int, num_virtual: int, seed: int, step: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Embeddings [B of all ranks], virtual classes [V] and noise [V, D], the same for any ranks."""
    draw = torch_generator(seed, "prototype stage", step)
    chosen_B = torch.randint(num_kept, (recipe.prototypes.batch_size,), generator=draw)
    virtual_V = torch.randperm(recipe.num_virtual, generator=draw)[:num_virtual]
    return chosen_B, virtual_V, torch.randn(num_virtual, recipe.embedding_dim, generator=draw)


def _whole(prototypes: Prototypes, rows_RD: torch.Tensor) -> torch.Tensor:
    """The virtual rows of all ranks [K, D] on the CPU."""
    rows, count = prototypes.rows.virtual, prototypes.num_virtual
    whole_KD = rows_RD.new_zeros(count, rows_RD.shape[1])
    whole_KD[rows.start : rows.stop] = rows_RD.detach()
    return sum_over_ranks(whole_KD).cpu()


def _read(training_set: TrainingSet, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images [B, H, W, 3] of a training set, and the indices that they really are of.

    The nearest readable one of the batch stands in for one that is not.
    """

    def image(index: int) -> np.ndarray | None:
        try:
            return training_set.image(index)
        except CorruptImageError:
            return None

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(image, indices.tolist()))
    good = np.array([place for place, one in enumerate(found) if one is not None])
    if not len(good):
        raise SourceError(
            f"source: {len(indices)} images in a row cannot be read; repair the source"
        )
    used = [int(good[np.abs(good - place).argmin()]) for place in range(len(found))]
    return np.stack([one for place in used if (one := found[place]) is not None]), indices[used]
