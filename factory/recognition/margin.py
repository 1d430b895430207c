"""Margins on the label's cosine: ArcFace, CosFace and AdaFace.

ArcFace is Deng 2019, eq 3; CosFace Wang 2018, eq 4; AdaFace Kim 2022, eqs 8-11.

Shapes: N features. A margin function takes cosine and quality of each and gives what replaces the
cosine in the softmax.
"""

from __future__ import annotations

import math

import torch
from torch import nn

ADAFACE_SPREAD = 0.333
"""h of AdaFace eq 9: norms within one h-th of a standard deviation spread over [-1, 1]."""
ADAFACE_DECAY = 0.99
"""Decay of the moving statistics of feature norms."""


def arcface(cosine_N: torch.Tensor, margin: float) -> torch.Tensor:
    """cos(theta + m) of the label's cosine cos(theta).

    Beyond theta = pi - m, where that would rise again, it goes on falling as cos(theta) - m*sin(m).
    """
    sine_N = (1 - cosine_N.square()).clamp(min=1e-7).sqrt()
    turned_N = cosine_N * math.cos(margin) - sine_N * math.sin(margin)
    beyond_N = cosine_N <= math.cos(math.pi - margin)
    return torch.where(beyond_N, cosine_N - margin * math.sin(margin), turned_N)


def cosface(cosine_N: torch.Tensor, margin: float) -> torch.Tensor:
    """cos(theta) - m of the label's cosine cos(theta)."""
    return cosine_N - margin


def adaface(cosine_N: torch.Tensor, margin: float, quality_N: torch.Tensor) -> torch.Tensor:
    """cos(theta - m*q) - m*q - m of the label's cosine and quality q.

    It is CosFace at q = 0, becomes ArcFace as q falls to -1, and a negative angular margin at 1.
    """
    theta_N = cosine_N.clamp(-1 + 1e-6, 1 - 1e-6).acos()
    turned_N = (theta_N - margin * quality_N).clamp(1e-3, math.pi - 1e-3)
    return turned_N.cos() - margin * (1 + quality_N)


class NormQuality(nn.Module):
    """AdaFace's quality of a feature in [-1, 1]: its norm, standardized over recent batches.

    It has no gradient.
    """

    mean_std_2: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(
            "mean_std_2", torch.tensor([20.0, 100.0])
        )  # AdaFace's own initial values

    @torch.no_grad()
    def forward(self, norms_N: torch.Tensor) -> torch.Tensor:
        """Quality of the features of a whole step, whose norms also update the statistics."""
        norms_N = norms_N.clamp(1e-3, 100.0)
        batch_2 = torch.stack([norms_N.mean(), norms_N.std(correction=0)])
        self.mean_std_2.lerp_(batch_2, 1 - ADAFACE_DECAY)
        mean, std = self.mean_std_2
        quality_N: torch.Tensor = ADAFACE_SPREAD * (norms_N - mean) / (std + 1e-3)
        return quality_N.clamp(-1, 1)


def with_margin(
    kind: str, cosine_N: torch.Tensor, margin: float, quality_N: torch.Tensor
) -> torch.Tensor:
    """Apply the margin that a config names to the labels' cosines."""
    if kind == "adaface":
        return adaface(cosine_N, margin, quality_N)
    return {"arcface": arcface, "cosface": cosface}[kind](cosine_N, margin)
