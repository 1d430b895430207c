"""A step of a recognizer's training with its own parts, on whatever device the engine takes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from factory.config import ComputeConfig, RecognizerConfig
from factory.images import to_network
from factory.recognition.augmentation import augment
from factory.recognition.prototypes import Prototypes
from factory.recognition.quality import quality_loss
from factory.recognition.train import GRAD_CLIP, Learner, draws
from factory.training.ema import EMA
from factory.training.engine import DeepSpeedEngine, Engine, start_engine


class RecognizerSteps:
    """What `recognition.train.train` does between its loader and its log."""

    def __init__(
        self,
        recipe: RecognizerConfig,
        compute: ComputeConfig,
        px: int,
        num_real: int,
        world: int,
        start: Callable[..., Engine] = start_engine,
    ) -> None:
        self._recipe, self._compute, self._world = recipe, compute, world
        self._px, self._num_real = px, num_real
        torch.manual_seed(0)
        learner = Learner(recipe, px, checkpointing=compute.activation_checkpointing)
        if start is not DeepSpeedEngine:  # which takes the plain layout alone
            learner.to(memory_format=torch.channels_last)
        self.engine = start(
            learner,
            lambda parameters: torch.optim.SGD(parameters, recipe.lr, 0.9, nesterov=True),
            compute,
            grad_clip=GRAD_CLIP,
        )
        self.device = self.engine.device
        self.prototypes = Prototypes(recipe, num_real, rank=0, world=world).to(self.device)
        self.ema = EMA(self.engine.module, recipe.ema) if recipe.ema else None

    def tensors(self) -> list[torch.Tensor]:
        """All that stays on the device between steps."""
        modules = (self.engine.module, self.prototypes)
        held = [t for m in modules for t in (*m.parameters(), *m.buffers())]
        return held + (list(self.ema.shadow.values()) if self.ema else [])

    def run(self, step: int) -> torch.Tensor:
        """One step; the loss on its device."""
        recipe, device = self._recipe, self.device
        self.engine.module.train()
        losses = []
        for part in range(self._compute.accumulate):
            size = recipe.batch_size // self._compute.accumulate
            num_virtual = min(size, recipe.num_virtual)
            uniform_BU, virtual_V, noise_VD = draws(recipe, 0, (step, part), size, num_virtual)
            images = torch.randint(0, 256, (size, self._px, self._px, 3), dtype=torch.uint8)
            labels_B = torch.randint(0, self._num_real, (size,)).to(device, non_blocking=True)
            images_BHWC = images.to(device, non_blocking=True)
            x_BCHW = augment(to_network(images_BHWC), recipe.augment, uniform_BU)
            features_BD, quality_B = self.engine(
                x_BCHW.contiguous(memory_format=torch.channels_last)
            )
            noise_VD = noise_VD.to(device, non_blocking=True)
            loss = self.prototypes.loss(
                features_BD, labels_B, virtual_V, noise_VD, margin=0.5, step=step
            )
            losses.append(loss.detach())
            if quality_B is not None:
                targets = self.prototypes.confidence(features_BD, labels_B)
                loss = loss + quality_loss(quality_B, *targets)
            self.engine.backward(loss)
        self.engine.step(0.1)
        self.prototypes.step(0.1)
        if self.ema:
            with self.engine.weights() as module:
                self.ema.update(module)
            self.prototypes.average(self.ema.current_decay)
        return torch.stack(losses).mean()
