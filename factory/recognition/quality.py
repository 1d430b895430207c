"""How good an image is for recognition: CR-FIQA and SER-FIQ (METHODS 7).

CR-FIQA is a head that is trained with the backbone (Boutros 2023), SER-FIQ the agreement of dropout
passes (Terhoerst 2020).

Shapes: B images, D embedding, M passes.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

EPSILON = 1e-9


class QualityHead(nn.Module):
    """A linear layer from features to the classifiability that CR-FIQA predicts."""

    def __init__(self, embedding_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_dim, 1)

    def forward(self, features_BD: torch.Tensor) -> torch.Tensor:
        quality_B: torch.Tensor = self.linear(features_BD).squeeze(1)
        return quality_B


def classifiability(ccs_B: torch.Tensor, nnccs_B: torch.Tensor) -> torch.Tensor:
    """CCS / (NNCCS + 1 + eps): the cosine to the own class over that to the nearest other one."""
    return ccs_B / (nnccs_B + 1 + EPSILON)


def quality_loss(
    quality_B: torch.Tensor, ccs_B: torch.Tensor, nnccs_B: torch.Tensor
) -> torch.Tensor:
    """Smooth L1 (beta .5) between the head's output and classifiability, which gets no gradient."""
    return F.smooth_l1_loss(quality_B, classifiability(ccs_B, nnccs_B).detach(), beta=0.5)


def ser_fiq(unit_BMD: torch.Tensor) -> torch.Tensor:
    """2*sigmoid(-mean pairwise Euclidean distance) of each image's M dropout embeddings.

    [B] in [0, 1], 1 where all passes agree.
    """
    num_passes = unit_BMD.shape[1]
    distance_BMM = torch.cdist(unit_BMD, unit_BMD, compute_mode="donot_use_mm_for_euclid_dist")
    mean_B = distance_BMM.sum((1, 2)) / (num_passes * (num_passes - 1))
    return 2 * torch.sigmoid(-mean_B)
