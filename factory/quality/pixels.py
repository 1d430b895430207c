"""Sharpness and brightness of a batch of images, in whole numbers and so the same on any device.

The gray of a pixel is its Rec. 601 luma times 1,000, (299*R + 587*G + 114*B); sums of it and of its
Laplacian are integers, and only the last division rounds.
"""

from __future__ import annotations

import numpy as np
import torch

LUMA = (299, 587, 114)
"""Thousandths of Rec. 601 luma of RGB."""
SCALE = 1000


@torch.inference_mode()
def sharpness_and_brightness(
    images_BHWC: np.ndarray | torch.Tensor,
) -> tuple[list[float], list[float]]:
    """For each RGB uint8 image the variance of its 4-neighbor Laplacian and its mean gray.

    Both on the scale of 0 to 255. The images stay on their device; three numbers each leave it.
    """
    images = torch.as_tensor(images_BHWC)
    gray = torch.zeros(images.shape[:3], dtype=torch.int32, device=images.device)
    for channel, weight in enumerate(LUMA):
        gray += images[..., channel].int() * weight
    sides = gray[:, :-2, 1:-1] + gray[:, 2:, 1:-1] + gray[:, 1:-1, :-2] + gray[:, 1:-1, 2:]
    laplacian = (sides - 4 * gray[:, 1:-1, 1:-1]).long().flatten(1)
    sums_B3 = torch.stack([gray.sum((1, 2)), laplacian.sum(1), laplacian.square().sum(1)], 1)
    pixels, inner = gray[0].numel(), laplacian.shape[1]
    sharp, bright = [], []
    for total, first, second in sums_B3.tolist():
        sharp.append((inner * second - first * first) / (inner * inner * SCALE**2))
        bright.append(total / (pixels * SCALE))
    return sharp, bright
