"""Augmentation of whole batches of images in [-1, 1], on tensors."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from factory.config import AugmentConfig

NUM_DRAWS = 10
"""Uniform numbers that augmenting one image takes."""


def augment(x_BCHW: torch.Tensor, config: AugmentConfig, uniform_BU: torch.Tensor) -> torch.Tensor:
    """Flip half of the images; crop, jitter and erase as configured.

    `uniform_BU` are NUM_DRAWS numbers in [0, 1) an image, on the CPU, so that an image looks the
    same on whichever rank it is.
    """
    device = x_BCHW.device
    flip_B111 = (uniform_BU[:, 0] < 0.5)[:, None, None, None].to(device, non_blocking=True)
    if config.crop < 1:
        side_B = config.crop + (1 - config.crop) * uniform_BU[:, 1]
        x_BCHW = _crop(x_BCHW, side_B, uniform_BU[:, 2:4])
    x_BCHW = torch.where(flip_B111, x_BCHW.flip(3), x_BCHW)
    if config.jitter:
        x_BCHW = _jitter(x_BCHW, (2 * uniform_BU[:, 4:7] - 1) * config.jitter)
    if config.erase:
        area_B = erased_area(config, uniform_BU[:, 7])
        x_BCHW = _erase(x_BCHW, area_B, uniform_BU[:, 8:10])
    return x_BCHW


def erased_area(config: AugmentConfig, uniform_B: torch.Tensor) -> torch.Tensor:
    """Fractions of the area [B] that are erased: none, or from erase_least to erase, uniformly."""
    along_B = uniform_B / config.erase_chance
    area_B = config.erase_least + (config.erase - config.erase_least) * along_B
    return torch.where(along_B <= 1, area_B, 0.0)


def _crop(x_BCHW: torch.Tensor, side_B: torch.Tensor, position_B2: torch.Tensor) -> torch.Tensor:
    theta_B23 = torch.zeros(len(x_BCHW), 2, 3)
    theta_B23[:, 0, 0] = theta_B23[:, 1, 1] = side_B
    theta_B23[:, :, 2] = (2 * position_B2 - 1) * (1 - side_B)[:, None]
    theta_B23 = theta_B23.to(x_BCHW.device, non_blocking=True)
    grid = F.affine_grid(theta_B23, list(x_BCHW.shape), align_corners=False)
    return F.grid_sample(x_BCHW, grid, padding_mode="reflection", align_corners=False)


def _jitter(x_BCHW: torch.Tensor, amount_B3: torch.Tensor) -> torch.Tensor:
    amount_B3 = amount_B3.to(x_BCHW.device, non_blocking=True)
    brightness, contrast, saturation = amount_B3.T[:, :, None, None, None]
    gray_B1HW = x_BCHW.mean(1, keepdim=True)
    x_BCHW = gray_B1HW + (x_BCHW - gray_B1HW) * (1 + saturation)
    mean_B111 = x_BCHW.mean((1, 2, 3), keepdim=True)
    x_BCHW = mean_B111 + (x_BCHW - mean_B111) * (1 + contrast) + brightness
    return x_BCHW.clamp(-1, 1)


def _erase(x_BCHW: torch.Tensor, area_B: torch.Tensor, position_B2: torch.Tensor) -> torch.Tensor:
    height, width = x_BCHW.shape[2:]
    half_B = area_B.sqrt() / 2
    rows_BH = (torch.arange(height) / height - position_B2[:, :1]).abs() < half_B[:, None]
    columns_BW = (torch.arange(width) / width - position_B2[:, 1:]).abs() < half_B[:, None]
    hole_BHW = rows_BH[:, :, None] & columns_BW[:, None, :]
    hole_B1HW = hole_BHW[:, None].to(x_BCHW.device, non_blocking=True)
    return x_BCHW.masked_fill(hole_B1HW, 0.0)
