"""What every training loop shares: sample order, learning rate, moving average, random streams.

All of it is a pure function of (seed, step), so a resumed training goes on exactly where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

MakeOptimizer = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]
"""From parameters to an optimizer; its learning rate is set at every step."""


def step_decay(epoch: float, milestones: Sequence[float]) -> float:
    """Factor on the learning rate: a tenth at each milestone passed."""
    return float(0.1 ** sum(epoch >= milestone for milestone in milestones))


def cosine_decay(progress: float) -> float:
    """Factor on the learning rate from 1 at progress 0 to 0 at progress 1."""
    return float(0.5 * (1 + np.cos(np.pi * min(max(progress, 0.0), 1.0))))


def linear_decay(progress: float, share: float) -> float:
    """Factor on the learning rate: 1, then linearly to 0 over the last `share` of the training."""
    return 1.0 if share == 0 else min(1.0, max(0.0, (1 - progress) / share))


def adamw(lr: float, weight_decay: float) -> MakeOptimizer:
    """AdamW as diffusion models are trained with it: betas .9 and .99."""
    return lambda parameters: torch.optim.AdamW(
        parameters, lr, (0.9, 0.99), weight_decay=weight_decay
    )
