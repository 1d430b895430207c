"""IResNet, the residual network of face recognition (Duta et al. 2020; ArcFace's reference net).

Shapes: B batch, C channels, H W pixels, D embedding.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class Shape:
    """Widths of the four stages, blocks in each, and the stride of the stem."""

    widths: tuple[int, int, int, int]
    blocks: tuple[int, int, int, int]
    stem_stride: int = 1
    squeeze: int = 0
    """Channels to one of the bottleneck of a block's squeeze-and-excitation; 0: none."""


SHAPES = {
    "iresnet_mini": Shape((32, 64, 128, 192), (1, 2, 2, 1), stem_stride=2),
    "iresnet18": Shape((64, 128, 256, 512), (2, 2, 2, 2)),
    "iresnet34": Shape((64, 128, 256, 512), (3, 4, 6, 3)),
    "iresnet50": Shape((64, 128, 256, 512), (3, 4, 14, 3)),
    "iresnet100": Shape((64, 128, 256, 512), (3, 13, 30, 3)),
    "ir_se50": Shape((64, 128, 256, 512), (3, 4, 14, 3), squeeze=16),
}


class SqueezeExcitation(nn.Module):
    """Channels weighted by what all of the image says of them (Hu et al. 2018, section 3).

    `x * sigmoid(W2 relu(W1 mean(x)))` with W1 of C/squeeze rows, both without bias, as in the
    IR-SE50 of ArcFace's and AdaFace's public code.
    """

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, channels // squeeze, 1, bias=False)
        self.up = nn.Conv2d(channels // squeeze, channels, 1, bias=False)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        mean_BC11 = x_BCHW.mean((2, 3), keepdim=True)
        weight_BC11: torch.Tensor = self.up(self.down(mean_BC11).relu()).sigmoid()
        return x_BCHW * weight_BC11


class Block(nn.Module):
    """Residual block: BN, 3x3, BN, PReLU, 3x3 with the stride, BN, SE where wanted; plus the input.

    In IR-SE50's public code the shortcut of a block that keeps its width takes every other pixel;
    here it is a 1x1 convolution wherever there is a stride, as in IResNet.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, squeeze: int = 0) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            *([SqueezeExcitation(outputs, squeeze)] if squeeze else []),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        output_BCHW: torch.Tensor = self.body(x_BCHW) + self.shortcut(x_BCHW)
        return output_BCHW


class IResNet(nn.Module):
    """Maps images in [-1, 1], [B, 3, px, px] RGB, to embeddings [B, D], not normalized."""

    def __init__(
        self,
        name: str,
        embedding_dim: int,
        image_px: int = 112,
        dropout: float = 0.0,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self._checkpointing = checkpointing
        shape = SHAPES[name]
        width = shape.widths[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, shape.stem_stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
        )
        stages = []
        for outputs, num_blocks in zip(shape.widths, shape.blocks, strict=True):
            blocks = [Block(width, outputs, 2, shape.squeeze)]
            blocks += [Block(outputs, outputs, 1, shape.squeeze) for _ in range(num_blocks - 1)]
            stages.append(nn.Sequential(*blocks))
            width = outputs
        self.stages = nn.ModuleList(stages)
        side = image_px
        for stride in (shape.stem_stride, 2, 2, 2, 2):
            side = (side - 1) // stride + 1
        self.norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout)
        self.embed = nn.Linear(width * side * side, embedding_dim)
        self.embed_norm = nn.BatchNorm1d(embedding_dim)
        self.embed_norm.weight.requires_grad_(False)  # because only the direction is used
        self._initialize()

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return self.head(self.feature_maps(x_BCHW)[-1])

    def feature_maps(self, x_BCHW: torch.Tensor) -> list[torch.Tensor]:
        """Output of each stage, finest first (a perceptual loss compares them)."""
        maps, x_BCHW = [], self.stem(x_BCHW)
        for stage in self.stages:
            for block in stage:  # type: ignore[attr-defined]
                recompute = self._checkpointing and self.training
                x_BCHW = _recomputed(block, x_BCHW) if recompute else block(x_BCHW)
            maps.append(x_BCHW)
        return maps

    def head(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Embeddings [B, D] of the last stage's output."""
        x_BF = self.dropout(self.norm(x_BCHW).flatten(1))
        features_BD: torch.Tensor = self.embed_norm(self.embed(x_BF).float())
        return features_BD

    def dropout_passes(self, x_BCHW: torch.Tensor, num_passes: int) -> torch.Tensor:
        """Embeddings [B, M, D] by M dropout masks, which are the same for all images."""
        maps_BF = self.norm(self.feature_maps(x_BCHW)[-1]).flatten(1)
        keep, draw = 1 - self.dropout.p, torch.Generator().manual_seed(0)
        masks_MF = torch.rand(num_passes, maps_BF.shape[1], generator=draw) < keep
        masks_MF = masks_MF.to(maps_BF) / keep
        passes = [self.embed_norm(self.embed(maps_BF * mask_F).float()) for mask_F in masks_MF]
        return torch.stack(passes, 1)

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _recomputed(block: nn.Module, x_BCHW: torch.Tensor) -> torch.Tensor:
    """The block's output; the backward pass computes its activations again.

    The statistics of its norms must not be updated a second time then.
    """

    def contexts() -> tuple[Any, Any]:
        return contextlib.nullcontext(), _frozen_statistics(block)

    output = checkpoint(block, x_BCHW, use_reentrant=False, context_fn=contexts)
    assert isinstance(output, torch.Tensor)
    return output


@contextlib.contextmanager
def _frozen_statistics(block: nn.Module) -> Iterator[None]:
    norms = [
        module for module in block.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
