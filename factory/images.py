"""Images as networks see them and as they are stored: uint8 to [-1, 1] and back."""

from __future__ import annotations

import numpy as np
import torch


def to_network(images_BHWC: np.ndarray | torch.Tensor) -> torch.Tensor:
    """RGB uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in [-1, 1], channels_last: (x/255-.5)/.5."""
    x_BHWC = torch.as_tensor(images_BHWC)
    return x_BHWC.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_uint8(x_BCHW: torch.Tensor) -> np.ndarray:
    """Inverse of `to_network`, rounded and clamped: [B, 3, H, W] -> uint8 [B, H, W, 3]."""
    x_BCHW = x_BCHW.float().add(1).mul(127.5).round().clamp(0, 255)
    return np.ascontiguousarray(x_BCHW.permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy())
