"""What every training loop shares: sample order, learning rate, moving average, random streams.

All of it is a pure function of (seed, step), so a resumed training goes on exactly where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from factory.distributed import from_rank, rank, world_size

MakeOptimizer = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]
"""From parameters to an optimizer; its learning rate is set at every step."""


def stream_seed(*parts: int | str) -> int:
    """A 63-bit seed from blake2b of its parts: independent streams without a global generator."""
    text = "/".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


def torch_generator(*parts: int | str) -> torch.Generator:
    """A CPU generator seeded by `stream_seed`."""
    return torch.Generator().manual_seed(stream_seed(*parts))


def num_steps(num_samples: int, batch_size: int, epochs: float, max_steps: int | None) -> int:
    """Steps of a training: whole batches only, the last partial one of an epoch is dropped."""
    steps = round(epochs * (num_samples // batch_size))
    return min(steps, max_steps) if max_steps else steps


class Order:
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
        """A rank's equal share of `batch`."""
        share = self.batch_size // world_size
        return self.batch(step)[rank * share : (rank + 1) * share]

    def _draw(self, epoch: int) -> np.ndarray:
        rng = np.random.Generator(np.random.Philox(stream_seed(self._seed, "order", epoch)))
        if self._weights_N is None:
            return rng.permutation(self._num_samples)
        ends_N = np.cumsum(self._weights_N)  # systematic sampling: one tooth of a comb a unit
        teeth = np.arange(self.per_epoch) + rng.random()
        teeth *= ends_N[-1] / self.per_epoch
        samples = np.searchsorted(ends_N, teeth, side="right")
        return rng.permutation(np.minimum(samples, self._num_samples - 1))


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


class EMA:
    """Exponential moving average of a module's weights, in float32, warmed up by (1+t)/(10+t).

    Each rank keeps that of a part of the tensors, about as many values as the others.
    """

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        state = module.state_dict()
        self._shapes = {name: tensor.shape for name, tensor in state.items()}
        self._owner = owners({n: tensor.numel() for n, tensor in state.items()}, world_size())
        self.shadow = {
            n: p.detach().float().clone() for n, p in state.items() if self._owner[n] == rank()
        }
        """This rank's part."""

    @property
    def current_decay(self) -> float:
        """Decay of the last update: small at first, so that early weights are forgotten."""
        return min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))

    @torch.no_grad()
    def update(self, module: torch.nn.Module) -> None:
        self.num_updates += 1
        state = module.state_dict()
        shadow = list(self.shadow.values())
        new = [state[n].float() for n in self.shadow]
        torch._foreach_lerp_(shadow, new, 1 - self.current_decay)

    def whole(self) -> dict[str, torch.Tensor]:
        """All of it on the CPU, by name; every rank calls it."""
        device = next(iter(self.shadow.values())).device if self.shadow else torch.device("cpu")
        return {
            name: from_rank(owner, self.shadow.get(name), self._shapes[name], device).cpu()
            for name, owner in self._owner.items()
        }

    def save(self, folder: Path) -> None:
        """Write the average into a training's state folder; every rank calls it."""
        state = {"num_updates": self.num_updates, "shadow": self.whole()}
        if rank() == 0:
            torch.save(state, folder / "ema.pt")

    def load(self, folder: Path) -> None:
        """Read what `save` wrote, with any number of ranks."""
        saved = torch.load(folder / "ema.pt", map_location="cpu", weights_only=True)
        self.num_updates = int(saved["num_updates"])
        for name, value in self.shadow.items():
            value.copy_(saved["shadow"][name])  # into place, so that it stays on its device


def owners(sizes: dict[str, int], count: int) -> dict[str, int]:
    """Which of `count` ranks owns what: the largest first, each to whoever has least."""
    loads, owner = [0] * count, {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        least = loads.index(min(loads))
        owner[name] = least
        loads[least] += sizes[name]
    return {name: owner[name] for name in sizes}
