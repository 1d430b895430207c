"""A step of a recognizer's training with its own parts, on whatever device the engine takes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from factory.config import ComputeConfig, RecognizerConfig
from factory.recognition.batches import Batch
from factory.recognition.prototypes import Prototypes
from factory.recognition.training_step import GRAD_CLIP, Learner, StepSizes, TrainedNetworks
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
        self._compute, self._px, self._num_real = compute, px, num_real
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
        prototypes = Prototypes(recipe, num_real, rank=0, world=world).to(self.engine.device)
        size = recipe.batch_size // compute.accumulate
        sizes = StepSizes(compute.accumulate, size, min(size, recipe.num_virtual))
        self.networks = TrainedNetworks(recipe, 0, self.engine, prototypes, sizes)
        self._size = size

    def tensors(self) -> list[torch.Tensor]:
        """All that stays on the device between steps."""
        modules = (self.engine.module, self.networks.prototypes)
        held = [t for m in modules for t in (*m.parameters(), *m.buffers())]
        ema = self.networks.ema
        return held + (list(ema.shadow.values()) if ema else [])

    def run(self, step: int) -> torch.Tensor:
        """One step; the loss on its device."""
        self.engine.module.train()
        losses = []
        for part in range(self._compute.accumulate):
            size = (self._size, self._px, self._px, 3)
            images = torch.randint(0, 256, size, dtype=torch.uint8)
            labels_B = torch.randint(0, self._num_real, (self._size,))
            losses.append(self.networks.backward(Batch(images, labels_B, {}), 0.5, step, part))
        self.networks.update(0.1)
        return torch.stack(losses).mean()
