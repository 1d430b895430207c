"""Images as networks see them and as they are stored: uint8 to [-1, 1] and back."""

from __future__ import annotations

import numpy as np
import torch


def to_network(images_BHWC: np.ndarray | torch.Tensor) -> torch.Tensor:
    """RGB uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in [-1, 1], channels_last: (x/255-.5)/.5."""
    x_BHWC = torch.as_tensor(images_BHWC)
    # a tensor, because by a plain number a GPU multiplies with its rounded inverse
    half = torch.full((), 127.5, device=x_BHWC.device)
    return x_BHWC.permute(0, 3, 1, 2).float().div_(half).sub_(1)


def to_pixels(x_BCHW: torch.Tensor) -> torch.Tensor:
    """Inverse of `to_network`, rounded and clamped, where it is: uint8 [B, H, W, 3]."""
    x_BCHW = x_BCHW.float().add(1).mul(127.5).round().clamp(0, 255)
    return x_BCHW.permute(0, 2, 3, 1).to(torch.uint8).contiguous()


def to_uint8(x_BCHW: torch.Tensor) -> np.ndarray:
    """The pixels of `to_pixels` in this process's memory."""
    return on_host(to_pixels(x_BCHW))


def on_host(pixels_BHWC: torch.Tensor) -> np.ndarray:
    """Pixels in this process's memory; from a GPU by one copy into memory that it can reach."""
    if pixels_BHWC.device.type != "cuda":
        return pixels_BHWC.numpy()
    host = torch.empty(pixels_BHWC.shape, dtype=torch.uint8, pin_memory=True)
    host.copy_(pixels_BHWC, non_blocking=True)
    torch.cuda.current_stream(pixels_BHWC.device).synchronize()
    return host.numpy()
