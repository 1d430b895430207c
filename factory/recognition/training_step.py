"""The networks of a recognizer's training, and what a step does with them (METHODS 1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from factory.config import ComputeConfig, Config, RecognizerConfig
from factory.images import to_network
from factory.recognition.augmentation import NUM_DRAWS, augment
from factory.recognition.backbone import IResNet
from factory.recognition.batches import Batch
from factory.recognition.prototypes import Prototypes, num_virtual_features
from factory.recognition.quality import QualityHead, quality_loss
from factory.seeds import stream_seed, torch_generator
from factory.training.distributed import rank, world_size
from factory.training.ema import EMA
from factory.training.engine import Engine, channels_last, start_engine

GRAD_CLIP = 5.0
"""Largest gradient norm of the backbone, as in ArcFace's reference training."""


class Learner(nn.Module):
    """The module that the engine trains: the backbone, and a quality head where it has a weight."""

    def __init__(self, recipe: RecognizerConfig, image_px: int, *, checkpointing: bool) -> None:
        super().__init__()
        self.backbone = IResNet(
            recipe.backbone, recipe.embedding_dim, image_px, recipe.dropout, checkpointing
        )
        if recipe.batch_norm == "synced":
            self.backbone = nn.SyncBatchNorm.convert_sync_batchnorm(self.backbone)
        self.quality = QualityHead(recipe.embedding_dim) if recipe.quality_weight else None
        self._frozen_norms = recipe.batch_norm == "frozen"

    def forward(self, x_BCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        features_BD = self.backbone(x_BCHW).float()
        return features_BD, self.quality(features_BD) if self.quality else None

    def train(self, mode: bool = True) -> Learner:
        super().train(mode)
        if self._frozen_norms:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self


@dataclass(frozen=True)
class StepSizes:
    """How much of a step lies in one micro-batch of one rank."""

    accumulate: int
    """Micro-batches of a step."""
    local: int
    """Images of a micro-batch on this rank."""
    num_virtual: int
    """Virtual classes of a micro-batch over all ranks."""

    @classmethod
    def of(
        cls, recipe: RecognizerConfig, compute: ComputeConfig, local: int, num_real: int
    ) -> StepSizes:
        """Sizes for `local` images and `num_real` people."""
        num_virtual = num_virtual_features(
            local * world_size(), num_real, recipe.num_virtual, recipe.virtual_per_step
        )
        return cls(compute.accumulate, local, num_virtual)


class TrainedNetworks:
    """All that the steps of a training change: backbone, prototypes, and their averages."""

    def __init__(
        self,
        recipe: RecognizerConfig,
        seed: int,
        engine: Engine,
        prototypes: Prototypes,
        sizes: StepSizes,
    ) -> None:
        self.engine, self.prototypes = engine, prototypes
        self._recipe, self._seed, self._sizes = recipe, seed, sizes
        self.ema: EMA | None = None
        if recipe.ema:
            with engine.weights() as module:
                self.ema = EMA(module, recipe.ema)

    def load(self, folder: Path) -> None:
        """Take over a state's prototypes and averages; the engine has its own."""
        self.prototypes.load(folder)
        if self.ema:
            self.ema.load(folder)

    def save(self, folder: Path) -> None:
        """Write a state, on every rank."""
        self.engine.save(folder)
        self.prototypes.save(folder)
        if self.ema:
            self.ema.save(folder)

    def backward(self, batch: Batch, margin: float, step: int, part: int) -> torch.Tensor:
        """Add the gradients of micro-batch `part` of a step; its loss without the quality head's.

        The loss stays on its device.
        """
        recipe, device, sizes = self._recipe, self.engine.device, self._sizes
        uniform_BU, virtual_V, noise_VD = draws(
            recipe, self._seed, (step, part), sizes.local, sizes.num_virtual
        )
        images_BHWC = batch.images_BHWC.to(device, non_blocking=True)
        labels_B = batch.labels_B.to(device, non_blocking=True)
        x_BCHW = augment(to_network(images_BHWC), recipe.augment, uniform_BU)
        torch.manual_seed(stream_seed(self._seed, "dropout", step, part, rank()))
        features_BD, quality_B = self.engine(x_BCHW.contiguous(memory_format=torch.channels_last))
        loss = self.prototypes.loss(
            features_BD,
            labels_B,
            virtual_V,
            noise_VD.to(device, non_blocking=True),
            margin=margin,
            step=step * sizes.accumulate + part,
        )
        of_prototypes = loss.detach()
        if quality_B is not None:
            targets = self.prototypes.confidence(features_BD, labels_B)
            loss = loss + recipe.quality_weight * quality_loss(quality_B, *targets)
        self.engine.backward(loss)
        return of_prototypes

    def update(self, lr: float) -> torch.Tensor | float | None:
        """Update the weights, then their averages; the gradient norm of the backbone."""
        grad_norm = self.engine.step(lr)
        self.prototypes.step(lr)
        if self.ema:
            with self.engine.weights() as module:
                self.ema.update(module)
            self.prototypes.average(self.ema.current_decay)
        return grad_norm

    def weights(self) -> dict[str, torch.Tensor]:
        """The learner's weights on the CPU, averaged where there is an average; all ranks call."""
        with self.engine.weights() as module:
            final = self.ema.whole() if self.ema else module.state_dict()
            return {
                name: tensor.detach().float().cpu().clone()
                for name, tensor in final.items()
                if "num_batches" not in name
            }


def start_networks(
    config: Config, local: int, num_real: int, resume: Path | None
) -> tuple[TrainedNetworks, IResNet]:
    """The networks of a training in the state `resume`, or as it begins, and their backbone.

    `local` are the images of a micro-batch on this rank.
    """
    recipe, seed, compute = config.recognizer, config.training.seed, config.compute
    torch.manual_seed(seed)
    learner = Learner(
        recipe, config.source.image_px, checkpointing=compute.activation_checkpointing
    )
    channels_last(learner)

    def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            parameters, recipe.lr, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
        )

    engine = start_engine(learner, sgd, compute, grad_clip=GRAD_CLIP, resume=resume)
    prototypes = Prototypes(recipe, num_real, seed=seed, tf32=compute.tf32).to(engine.device)
    sizes = StepSizes.of(recipe, compute, local, num_real)
    networks = TrainedNetworks(recipe, seed, engine, prototypes, sizes)
    if resume:
        networks.load(resume)
    return networks, learner.backbone


def draws(
    recipe: RecognizerConfig, seed: int, position: tuple[int, int], local: int, num_virtual: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random numbers of a micro-batch at `position` = (step, part), the same for any ranks.

    They are for augmenting this rank's images [B, NUM_DRAWS], virtual classes [V], and their noise
    [V, D].
    """
    draw = torch_generator(seed, "step", *position)
    uniform = torch.rand(local * world_size(), NUM_DRAWS, generator=draw)
    virtual_V = torch.randperm(recipe.num_virtual, generator=draw)[:num_virtual]
    noise_VD = torch.randn(num_virtual, recipe.embedding_dim, generator=draw)
    return uniform[rank() * local : (rank() + 1) * local], virtual_V, noise_VD
