"""A discriminator of image patches, its hinge loss, and the weight that balances it.

Patches by Isola et al. (2017, section 3.2), spectral norm by Miyato et al. (2018), hinge by Lim and
Ye (2017), the adaptive weight by Esser et al. (2021, VQGAN, eq 7).

Shapes: B batch, images [B, 3, H, W] in [-1, 1].
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from factory.store.atomic import writing
from factory.training.distributed import autocast, mean_over_ranks, rank

LEAK = 0.2
"""Slope of the leaky ReLUs below zero, as in DCGAN and all patch discriminators since."""
BETAS = (0.5, 0.9)
"""AdamW's for both sides of an adversarial training (VQGAN): the past is a moving target."""
LR_RATIO = 2.0
"""Learning rate of the discriminator over the decoder's: two time scales (Heusel et al. 2017)."""
EPSILON, LARGEST = 1e-6, 1e4
"""Added to the denominator of the adaptive weight, and its largest value (VQGAN's code)."""
STATE = "discriminator.pt"


class PatchDiscriminator(nn.Sequential):
    """Maps images to a realness for each patch of 38 pixels, [B, 1, H/8, W/8].

    Three 4x4 convolutions of stride 2 and a 3x3 one, each with spectral norm.
    """

    def __init__(self, width: int) -> None:
        layers: list[nn.Module] = []
        channels = 3
        for outputs in (width, 2 * width, 4 * width):
            layers += [_normed(nn.Conv2d(channels, outputs, 4, 2, 1)), nn.LeakyReLU(LEAK)]
            channels = outputs
        super().__init__(*layers, _normed(nn.Conv2d(channels, 1, 3, 1, 1)))


def hinge(of_real: torch.Tensor, of_made: torch.Tensor) -> torch.Tensor:
    """The discriminator's loss: mean of max(0, 1 - real) plus mean of max(0, 1 + made)."""
    return F.relu(1 - of_real).mean() + F.relu(1 + of_made).mean()


def adaptive_weight(of_error: torch.Tensor, of_adversarial: torch.Tensor) -> torch.Tensor:
    """|g_error| / (|g_adversarial| + EPSILON), at most LARGEST, of gradients at the last layer.

    So both losses pull the last layer with the same force.
    """
    ratio: torch.Tensor = of_error.norm() / (of_adversarial.norm() + EPSILON)
    return ratio.clamp(max=LARGEST).detach()


class DiscriminatorTraining:
    """Trains a discriminator with a decoder, alike on all ranks; its state is part of theirs."""

    def __init__(
        self,
        network: PatchDiscriminator,
        lr: float,
        precision: str,
        resume: Path | None,
    ) -> None:
        """`network` is on its device; `resume` is a folder that `save` has written to."""
        self._network, self._precision = network, precision
        self._device = next(network.parameters()).device
        self._optimizer = torch.optim.AdamW(network.parameters(), lr, BETAS, weight_decay=0.0)
        if resume:
            saved = torch.load(resume / STATE, map_location=self._device, weights_only=True)
            network.load_state_dict(saved["network"])
            self._optimizer.load_state_dict(saved["optimizer"])

    def backward(self, x_BCHW: torch.Tensor, y_BCHW: torch.Tensor, share: float) -> torch.Tensor:
        """Add `share` of the gradient of real images x and made ones y; returns the loss."""
        with autocast(self._device, self._precision):
            loss = hinge(self._network(x_BCHW).float(), self._network(y_BCHW.detach()).float())
        (loss * share).backward()
        return loss.detach()

    def step(self) -> None:
        """Average the gradients over the ranks and update the weights."""
        for parameter in self._network.parameters():
            assert parameter.grad is not None
            parameter.grad.copy_(mean_over_ranks(parameter.grad))
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def save(self, folder: Path) -> None:
        """Write weights and moments into a training's state folder, from rank 0."""
        if rank() == 0:
            state = {
                "network": self._network.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            }
            with writing(folder / STATE) as file:
                torch.save(state, file)


def _normed(layer: nn.Conv2d) -> nn.Module:
    normed: nn.Module = nn.utils.parametrizations.spectral_norm(layer)
    return normed
