"""The exponential moving average of a network's weights, each rank keeping a part of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from factory.store.atomic import writing
from factory.training.distributed import collective_device, from_rank, rank, world_size


class EMA:
    """Exponential moving average of a module's weights, in float32, warmed up by (1+t)/(10+t).

    With `sigma_rel`, it is the power-function average of EDM2 (Karras et al. 2024, section 3), as
    long as a part of the steps so far, whatever `decay` is. Each rank keeps the average of a part
    of the tensors, about as many values as the others.
    """

    def __init__(
        self, module: torch.nn.Module, decay: float, sigma_rel: float | None = None
    ) -> None:
        self.decay = decay
        self._exponent = None if sigma_rel is None else exponent_of(sigma_rel)
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
        if self._exponent is not None:
            return float((1 - 1 / max(self.num_updates, 1)) ** (self._exponent + 1))
        return min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))

    @torch.no_grad()
    def update(self, module: torch.nn.Module) -> None:
        self.num_updates += 1
        state = module.state_dict()
        shadow = list(self.shadow.values())
        new = [state[n].float() for n in self.shadow]
        if shadow:  # a rank owns none where there are more ranks than tensors
            torch._foreach_lerp_(shadow, new, 1 - self.current_decay)

    def whole(self) -> dict[str, torch.Tensor]:
        """The whole average on the CPU, by name; every rank calls it."""
        own = next(iter(self.shadow.values()), None)  # none where there are more ranks than tensors
        device = collective_device() if own is None else own.device
        return {
            name: from_rank(owner, self.shadow.get(name), self._shapes[name], device).cpu()
            for name, owner in self._owner.items()
        }

    def save(self, folder: Path) -> None:
        """Write the average into a training's state folder; every rank calls it."""
        state = {"num_updates": self.num_updates, "shadow": self.whole()}
        if rank() == 0:
            with writing(folder / "ema.pt") as file:
                torch.save(state, file)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote, with any number of ranks."""
        saved = torch.load(folder / "ema.pt", map_location="cpu", weights_only=True)
        self.num_updates = int(saved["num_updates"])
        for name, value in self.shadow.items():
            value.copy_(saved["shadow"][name])  # into place, so that it stays on its device


def exponent_of(sigma_rel: float) -> float:
    """gamma of the average of weights as t^gamma whose standard deviation is sigma_rel of the end.

    EDM2 eq 3: sigma_rel = (gamma+1)^(1/2) (gamma+2)^(-1) (gamma+3)^(-1/2), for 0 < sigma_rel <
    .2887, which is that of a plain mean.
    """
    square = sigma_rel**-2
    return float(np.roots([1, 7, 16 - square, 12 - square]).real.max())


def owners(sizes: dict[str, int], count: int) -> dict[str, int]:
    """The owner of each tensor among `count` ranks: the largest first, each to the least loaded."""
    loads, owner = [0] * count, {}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        least = loads.index(min(loads))
        owner[name] = least
        loads[least] += sizes[name]
    return {name: owner[name] for name in sizes}
