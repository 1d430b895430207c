"""U-ViT (Bao et al. 2023): a transformer with long skips, driven by time and identity.

Both enter through AdaLN (Peebles & Xie 2023; one modulation shared by all blocks as in
PixArt-alpha).

With similarity tokens it is also conditioned on how alike the image is to be to the identity: a
similarity m, joined with the identity to further keys and values of every attention (CemiFace,
section 3.2), and here to the drive too.

With hint channels it is also conditioned on an image, in pixels whatever the space: five points of
a face (pose.py), or what stays of a photograph and where something is to be drawn
(editing/uvit_inpainting.py). They enter through a layer that begins at zero, so that a network that
begins with another's weights draws as that did.

The stream of tokens and all that is added to it stay in float32; what a matrix multiplies is cast
to the type of its weights. So a network whose matrices are bfloat16 (`cast_matrices`) needs no
autocast, which under one casts the same values the same way.

Shapes: B batch, C H W the space, p patch, N = HW/p^2 tokens, K similarity tokens, W width,
D embedding, S hint channels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from factory.errors import ConfigError

IDENTITY_LAYERS = ("identity", "joined", "joined_drive")
"""Layers that read embeddings: they depend on the recognizer they were trained with."""
OLDER_NAMES = {"seen_channels": "hint_channels", "seen_px": "hint_px", "seen.weight": "hint.weight"}
"""Fields of a shape and tensors, as checkpoints of version 0.1 call them: their present names."""


@dataclass(frozen=True)
class Shape:
    """All that fixes the network; stored in its checkpoint."""

    channels: int
    side: int
    patch: int
    patch_rank: int | None
    width: int
    depth: int
    num_heads: int
    embedding_dim: int
    similarity_tokens: int = 0
    hint_channels: int = 0
    hint_px: int = 0

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Shape:
        """The shape in the config of a checkpoint, older ones included."""
        return cls(**with_present_names(config["shape"]))


def with_present_names(stored: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's shape or tensors by the present names, whenever it was written."""
    return {OLDER_NAMES.get(name, name): value for name, value in stored.items()}


class UViT(nn.Module):
    """The denoiser: from x_t and its conditions to the prediction [B, C, H, W].

    Conditions are timesteps [B], unit embeddings [B, D] (zero for none), similarities [B] where the
    shape has tokens for them, and hints [B, S, px, px] where it has channels. In training the
    projected embedding may be multiplied by `dropout_BW` (IDiff-Face).
    """

    rate_H: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        if shape.side % shape.patch:
            raise ConfigError(
                f"generator.patch: got {shape.patch}; want a divisor of the side {shape.side}"
            )
        self.shape = shape
        width, grid = shape.width, shape.side // shape.patch
        values = shape.channels * shape.patch**2
        self.embed: nn.Module = nn.Linear(values, width)
        if shape.patch_rank:
            self.embed = nn.Sequential(
                nn.Linear(values, shape.patch_rank, bias=False), nn.Linear(shape.patch_rank, width)
            )
        self.position_1NW = nn.Parameter(torch.randn(1, grid**2, width) * 0.02)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.identity = nn.Sequential(
            nn.Linear(shape.embedding_dim, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        if shape.similarity_tokens:
            self.similarity = nn.Linear(1, width)
            self.joined = nn.Linear(shape.embedding_dim + width, shape.similarity_tokens * width)
            self.joined_drive = nn.Linear(shape.similarity_tokens * width, width)
            nn.init.zeros_(self.joined_drive.weight)
            nn.init.zeros_(self.joined_drive.bias)
        if shape.hint_channels:
            if not shape.hint_px or shape.hint_px % grid:
                raise ConfigError(
                    f"source.image_px: got {shape.hint_px}; want a multiple of the {grid} patches "
                    "along a side of the generator"
                )
            hint_values = shape.hint_channels * (shape.hint_px // grid) ** 2
            self.hint = nn.Linear(hint_values, width, bias=False)
            nn.init.zeros_(self.hint.weight)
        half = shape.depth // 2
        self.down = nn.ModuleList(Block(width, shape.num_heads) for _ in range(half))
        self.middle = Block(width, shape.num_heads)
        self.up = nn.ModuleList(Block(width, shape.num_heads) for _ in range(half))
        self.skips = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(half))
        self.final_table_2W = nn.Parameter(torch.randn(2, width) / width**0.5)
        self.final = nn.Linear(width, values)
        nn.init.zeros_(self.final.weight)
        nn.init.zeros_(self.final.bias)
        self.register_buffer("rate_H", _rates(width // 2), persistent=False)

    @classmethod
    def from_checkpoint(cls, config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> UViT:
        """The network of a checkpoint, older ones included."""
        network = cls(Shape.from_config(config))
        network.load_state_dict(with_present_names(tensors))
        return network

    def cast_matrices(self, dtype: torch.dtype) -> None:
        """Cast the weights of all matrix products, once and for all."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.to(dtype)
            elif isinstance(module, Block):
                module.scale_2d.data = module.scale_2d.data.to(dtype)

    def forward(
        self,
        x_BCHW: torch.Tensor,
        t_B: torch.Tensor,
        condition_BD: torch.Tensor,
        similarity_B: torch.Tensor | None = None,
        dropout_BW: torch.Tensor | None = None,
        hint_BSHW: torch.Tensor | None = None,
    ) -> torch.Tensor:
        dtype = self.final.weight.dtype
        scaled_BD = condition_BD * self.shape.embedding_dim**0.5  # entries of about unit size
        identity_BW = self.identity(scaled_BD.to(dtype))
        if dropout_BW is not None:
            identity_BW = identity_BW * dropout_BW
        drive_BW = self.time(self._sinusoid(t_B).to(dtype)) + identity_BW
        extra_BKW = None
        if self.shape.similarity_tokens:
            assert similarity_B is not None, "this network is conditioned on a similarity"
            joined_BV = self._joined(scaled_BD, similarity_B)
            drive_BW = drive_BW + self.joined_drive(F.silu(joined_BV))
            extra_BKW = joined_BV.unflatten(1, (self.shape.similarity_tokens, -1))
        drive_B6W = self.modulation(drive_BW).unflatten(1, (6, -1))
        x_BNW = self.embed(to_patches(x_BCHW, self.shape.patch).to(dtype)) + self.position_1NW
        if self.shape.hint_channels:
            assert hint_BSHW is not None, "this network is conditioned on an image"
            grid = self.shape.side // self.shape.patch
            hint_BNV = to_patches(hint_BSHW, self.shape.hint_px // grid)
            x_BNW = x_BNW + self.hint(hint_BNV.to(dtype))
        skips = []
        for block in self.down:
            x_BNW = block(x_BNW, drive_B6W, extra_BKW)
            skips.append(x_BNW)
        x_BNW = self.middle(x_BNW, drive_B6W, extra_BKW)
        for block, merge in zip(self.up, self.skips, strict=True):
            both_BNV = torch.cat([x_BNW, skips.pop()], 2)
            x_BNW = block(merge(both_BNV.to(dtype)), drive_B6W, extra_BKW)
        shift_BW, scale_BW = (self.final_table_2W + drive_BW[:, None]).unbind(1)
        x_BNV = self.final(_modulate(x_BNW, shift_BW, 1 + scale_BW).to(dtype))
        return from_patches(x_BNV, self.shape.patch).float()

    def _sinusoid(self, t_B: torch.Tensor) -> torch.Tensor:
        """Sines and cosines of the timestep at wavelengths from 2*pi to 10,000*2*pi, [B, W]."""
        angle_BH = t_B[:, None].float() * self.rate_H
        waves_BV = torch.cat([angle_BH.sin(), angle_BH.cos()], 1)
        odd = self.shape.width % 2
        return F.pad(waves_BV, (0, 1)) if odd else waves_BV

    def _joined(self, scaled_BD: torch.Tensor, similarity_B: torch.Tensor) -> torch.Tensor:
        """C_att = Linear([C_id, Linear(m)]), [B, K*W]."""
        dtype = self.joined.weight.dtype
        similarity_BW = self.similarity(similarity_B[:, None].to(dtype))
        both_BD = torch.cat([scaled_BD, similarity_BW.to(scaled_BD.dtype)], 1)
        joined_BV: torch.Tensor = self.joined(both_BD.to(dtype))
        return joined_BV


class Block(nn.Module):
    """Self-attention and MLP, each modulated and gated by the drive."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.table_6W = nn.Parameter(torch.randn(6, width) / width**0.5)
        self.qkv = nn.Linear(width, 3 * width)
        self.scale_2d = nn.Parameter(torch.ones(2, width // num_heads))
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(
        self, x_BNW: torch.Tensor, drive_B6W: torch.Tensor, extra_BKW: torch.Tensor | None = None
    ) -> torch.Tensor:
        drive_B6W = drive_B6W + self.table_6W
        scales_B2W = 1 + drive_B6W[:, 1::3]
        shift1, _, gate1, shift2, _, gate2 = drive_B6W.unbind(1)
        scale1, scale2 = scales_B2W.unbind(1)
        dtype = self.qkv.weight.dtype
        tokens_BNW = _modulate(x_BNW, shift1, scale1).to(dtype)
        x_BNW = x_BNW + gate1[:, None] * self._attend(tokens_BNW, extra_BKW)
        tokens_BNW = _modulate(x_BNW, shift2, scale2).to(dtype)
        out_BNW: torch.Tensor = x_BNW + gate2[:, None] * self.mlp(tokens_BNW)
        return out_BNW

    def _attend(self, x_BNW: torch.Tensor, extra_BKW: torch.Tensor | None) -> torch.Tensor:
        qkv_BN3Hd = self.qkv(x_BNW).unflatten(2, (3, self.num_heads, -1))
        scale_2d = self.scale_2d.to(qkv_BN3Hd.dtype)
        # normalized, so that bf16 cannot overflow
        qk_BN2Hd = _unit(qkv_BN3Hd[:, :, :2]) * scale_2d[:, None]
        q, k = qk_BN2Hd.permute(2, 0, 3, 1, 4)
        v = qkv_BN3Hd[:, :, 2].transpose(1, 2)
        if extra_BKW is not None:
            width = x_BNW.shape[2]
            both = F.linear(extra_BKW, self.qkv.weight[width:], self.qkv.bias[width:])
            more_k, more_v = both.unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
            k, v = torch.cat([k, _unit(more_k) * scale_2d[1]], 2), torch.cat([v, more_v], 2)
        mixed_BNW = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        out_BNW: torch.Tensor = self.out(mixed_BNW)
        return out_BNW


def to_patches(x_BCHW: torch.Tensor, patch: int) -> torch.Tensor:
    """The patches of square images as tokens [B, N, C*p^2]."""
    return F.pixel_unshuffle(x_BCHW, patch).flatten(2).transpose(1, 2)


def from_patches(x_BNV: torch.Tensor, patch: int) -> torch.Tensor:
    """The square images [B, C, H, W] of `to_patches`."""
    grid = math.isqrt(x_BNV.shape[1])
    return F.pixel_shuffle(x_BNV.transpose(1, 2).unflatten(2, (grid, grid)), patch)


def _modulate(x_BNW: torch.Tensor, shift_BW: torch.Tensor, scale_BW: torch.Tensor) -> torch.Tensor:
    normal_BNW = F.layer_norm(x_BNW, x_BNW.shape[-1:])
    return normal_BNW * scale_BW[:, None] + shift_BW[:, None]


def _unit(x: torch.Tensor) -> torch.Tensor:
    """Vectors with a mean square of one."""
    return F.rms_norm(x, x.shape[-1:])


def _rates(half: int) -> torch.Tensor:
    """Frequencies of the timestep's waves, [half]."""
    return torch.exp(-math.log(10_000) * torch.arange(half) / half)
