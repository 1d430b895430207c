"""Margins on the label's cosine: ArcFace (Deng 2019, eq 3) and CosFace (Wang 2018, eq 4)."""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F


def arcface(cosine_B: torch.Tensor, margin: float) -> torch.Tensor:
    """cos(theta + m) of the label's cosine; below theta = pi - m, where that would rise again, the
    line cos(theta) - m*sin(m) goes on downwards."""
    sine_B = (1 - cosine_B.square()).clamp(min=1e-7).sqrt()
    turned_B = cosine_B * math.cos(margin) - sine_B * math.sin(margin)
    beyond_B = cosine_B <= math.cos(math.pi - margin)
    return torch.where(beyond_B, cosine_B - margin * math.sin(margin), turned_B)


def cosface(cosine_B: torch.Tensor, margin: float) -> torch.Tensor:
    """cos(theta) - m."""
    return cosine_B - margin


MARGINS = {"arcface": arcface, "cosface": cosface}


def margin_softmax(
    cosine_BK: torch.Tensor, labels_B: torch.Tensor, kind: str, margin: float, scale: float
) -> torch.Tensor:
    """Mean cross-entropy of s*cos with the margin on the label's class."""
    label_B1 = labels_B.unsqueeze(1)
    target_B1 = MARGINS[kind](cosine_BK.gather(1, label_B1), margin)
    return F.cross_entropy(scale * cosine_BK.scatter(1, label_B1, target_B1), labels_B)
