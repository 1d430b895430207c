"""Which samples a step of a training uses, a pure function of seed and step.

So a resumed training goes on exactly where it was, with any number of ranks.
"""

from __future__ import annotations

import numpy as np

from factory.config import TrainingConfig
from factory.seeds import stream_seed

TRAINING = TrainingConfig()


def num_steps(
    num_samples: int, batch_size: int, epochs: float, training: TrainingConfig = TRAINING
) -> int:
    """Steps of a training: whole batches only, the last partial one of an epoch is dropped.

    They are at least training.min_steps and at most training.max_steps, where these are given.
    """
    steps = max(round(epochs * (num_samples // batch_size)), training.min_steps or 0)
    return min(steps, training.max_steps) if training.max_steps else steps


class BatchOrder:
    """Which samples a step uses: a pure function of seed and step, the same for any ranks.

    `weights_N` says how often a sample comes in an epoch on average (None: once). A sample of
    weight 2.3 comes two or three times, and so does any group of samples that stand side by side
    (a class) come as often as its weights say, within one.
    """

    def __init__(
        self, seed: int, num_samples: int, batch_size: int, weights_N: np.ndarray | None = None
    ) -> None:
        self._seed, self._num_samples, self._weights_N = seed, num_samples, weights_N
        total = num_samples if weights_N is None else round(float(weights_N.sum()))
        self.per_epoch = max(1, total)
        self.batch_size = min(batch_size, self.per_epoch)
        self._epoch, self._drawn = -1, np.empty(0, np.int64)

    def batch(self, step: int) -> np.ndarray:
        """Samples of a step over all ranks, int64 [batch_size]."""
        epoch, position = divmod(step, self.per_epoch // self.batch_size)
        if epoch != self._epoch:
            self._epoch, self._drawn = epoch, self._draw(epoch)
        return self._drawn[position * self.batch_size :][: self.batch_size]

    def rank_batch(self, step: int, rank: int, world_size: int) -> np.ndarray:
        """A rank's equal part of `batch`."""
        size = self.batch_size // world_size
        return self.batch(step)[rank * size : (rank + 1) * size]

    def _draw(self, epoch: int) -> np.ndarray:
        rng = np.random.Generator(np.random.Philox(stream_seed(self._seed, "order", epoch)))
        if self._weights_N is None:
            return rng.permutation(self._num_samples)
        ends_N = np.cumsum(self._weights_N)  # systematic sampling: one tooth of a comb a unit
        teeth = np.arange(self.per_epoch) + rng.random()
        teeth *= ends_N[-1] / self.per_epoch
        samples = np.searchsorted(ends_N, teeth, side="right")
        return rng.permutation(np.minimum(samples, self._num_samples - 1))
