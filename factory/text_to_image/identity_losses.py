"""Identity losses, which keep a personalized model true to its person (METHODS 3).

The anchor is the embedding of the estimated clean image, the positive that of the photograph that
noise was added to, the negative that of the prior image of the same step; all are unit vectors
[B, D].

ID-Booth's eq 8 is printed with its two cosines exchanged, which would reward being like the prior
and unlike the person. The sign here is the one the text argues for: the term falls when the anchor
moves to the positive or away from the negative, and is 0 once it is nearer by the margin.
"""

from __future__ import annotations

import torch


def dreambooth(
    anchor_BD: torch.Tensor, positive_BD: torch.Tensor, negative_BD: torch.Tensor, margin: float
) -> torch.Tensor:
    """Zero: the denoising errors alone (Ruiz et al. 2023)."""
    return torch.zeros(len(anchor_BD), device=anchor_BD.device)


def portraitbooth(
    anchor_BD: torch.Tensor, positive_BD: torch.Tensor, negative_BD: torch.Tensor, margin: float
) -> torch.Tensor:
    """1 - cos(anchor, positive), [B] (Peng et al. 2024)."""
    return 1 - (anchor_BD * positive_BD).sum(1)


def idbooth(
    anchor_BD: torch.Tensor, positive_BD: torch.Tensor, negative_BD: torch.Tensor, margin: float
) -> torch.Tensor:
    """max(cos(anchor, negative) - cos(anchor, positive) + margin, 0), [B].

    It is eq 8 of Tomasevic et al. 2025 with the sign corrected.
    """
    to_negative, to_positive = (anchor_BD * negative_BD).sum(1), (anchor_BD * positive_BD).sum(1)
    return (to_negative - to_positive + margin).clamp(min=0)


OBJECTIVES = {"dreambooth": dreambooth, "portraitbooth": portraitbooth, "idbooth": idbooth}


def weight_of_time(t_B: torch.Tensor, num_timesteps: int) -> torch.Tensor:
    """w_t = (1 - t/T)^2, because an estimate from much noise hardly shows anybody [C]."""
    return (1 - t_B / num_timesteps) ** 2
