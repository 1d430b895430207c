"""Learning rates as factors that depend on the step alone, and the optimizer of diffusion models.

So a resumed training goes on exactly where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

MakeOptimizer = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]
"""From parameters to an optimizer; its learning rate is set at every step."""


def warmup(step: int, num_steps: float) -> float:
    """Factor on the learning rate: a linear rise to 1 over the first `num_steps` steps."""
    return min(1.0, (step + 1) / max(num_steps, 1))


def step_decay(epoch: float, milestones: Sequence[float]) -> float:
    """Factor on the learning rate: a tenth at each milestone passed."""
    return float(0.1 ** sum(epoch >= milestone for milestone in milestones))


def cosine_decay(progress: float) -> float:
    """Factor on the learning rate from 1 at progress 0 to 0 at progress 1."""
    return float(0.5 * (1 + np.cos(np.pi * min(max(progress, 0.0), 1.0))))


def linear_decay(progress: float, fraction: float) -> float:
    """Factor on the learning rate: 1, then linearly to 0 over the last `fraction` of a training."""
    return 1.0 if fraction == 0 else min(1.0, max(0.0, (1 - progress) / fraction))


def adamw(
    lr: float, weight_decay: float, betas: tuple[float, float] = (0.9, 0.99)
) -> MakeOptimizer:
    """AdamW with the betas of our diffusion models; papers that name none have torch's .9, .999."""
    return lambda parameters: torch.optim.AdamW(parameters, lr, betas, weight_decay=weight_decay)
