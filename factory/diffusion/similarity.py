"""How alike an image is to be to its identity: CemiFace's condition m and its loss (METHODS 2)."""

from __future__ import annotations

import torch
from torch.nn import functional as F

GRID = torch.arange(-25, 26) * 0.04
"""Values of m in training, -1 to 1: drawn from a continuous range they collapse (CemiFace)."""


def draw_similarities(count: int, generator: torch.Generator) -> torch.Tensor:
    """m of a batch [count], uniform over GRID."""
    return GRID[torch.randint(len(GRID), (count,), generator=generator)]


def similarity_loss(
    unit_BD: torch.Tensor, identity_BD: torch.Tensor, m_B: torch.Tensor, g_B: torch.Tensor
) -> torch.Tensor:
    """L_SimMat [B] = (1-g)*(1-s)^2 + g*(m-s)^2, with s the cosine of x0^ to the identity.

    g = t/T: noisy steps aim at m, the last ones at the identity itself.
    """
    s_B = F.cosine_similarity(unit_BD, identity_BD)
    return (1 - g_B) * (1 - s_B).square() + g_B * (m_B - s_B).square()
