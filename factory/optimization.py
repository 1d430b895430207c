"""What every training loop shares: sample order, learning rate, moving average, random streams.

All of it is a pure function of (seed, step), so a resumed training goes on exactly where it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch


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


def batch_indices(
    seed: int, step: int, num_samples: int, batch_size: int, rank: int = 0, world_size: int = 1
) -> np.ndarray:
    """Samples of a step: epoch permutations by Philox, the global batch cut into equal ranks."""
    per_epoch = num_samples // batch_size
    epoch, position = divmod(step, per_epoch)
    rng = np.random.Generator(np.random.Philox(stream_seed(seed, "order", epoch)))
    batch = rng.permutation(num_samples)[position * batch_size : (position + 1) * batch_size]
    share = batch_size // world_size
    return batch[rank * share : (rank + 1) * share]


def step_decay(epoch: float, milestones: Sequence[float]) -> float:
    """Factor on the learning rate: a tenth at each milestone passed."""
    return float(0.1 ** sum(epoch >= milestone for milestone in milestones))


def cosine_decay(progress: float) -> float:
    """Factor on the learning rate from 1 at progress 0 to 0 at progress 1."""
    return float(0.5 * (1 + np.cos(np.pi * min(max(progress, 0.0), 1.0))))


def linear_decay(progress: float, share: float) -> float:
    """Factor on the learning rate: 1, then linearly to 0 over the last `share` of the training."""
    return 1.0 if share == 0 else min(1.0, max(0.0, (1 - progress) / share))


class EMA:
    """Exponential moving average of a module's weights, in float32, warmed up by (1+t)/(10+t)."""

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.num_updates = 0
        self.shadow = {n: p.detach().float().clone() for n, p in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: torch.nn.Module) -> None:
        self.num_updates += 1
        decay = min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))
        state = module.state_dict()
        shadow = list(self.shadow.values())
        torch._foreach_lerp_(shadow, [state[n].float() for n in self.shadow], 1 - decay)

    def state_dict(self) -> dict[str, object]:
        return {"num_updates": self.num_updates, "shadow": self.shadow}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.num_updates = int(state["num_updates"])  # type: ignore[call-overload]
        saved = dict(state["shadow"])  # type: ignore[call-overload]
        for name, value in self.shadow.items():
            value.copy_(saved[name])  # into place, so that it stays on its device
