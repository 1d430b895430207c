"""Real and virtual prototypes in one margin softmax (VIGFace stage 1, eqs 5-7; METHODS 1).

Shapes: B images, V virtual features of a step, D embedding, n real and k virtual classes.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from factory.distributed import mean_over_ranks
from factory.recognition.margin import margin_softmax


class Prototypes(nn.Module):
    """W = [W_real (n) | W_virtual (k)] and the moving variance of features round their class."""

    sigma_D: torch.Tensor

    def __init__(self, num_real: int, num_virtual: int, embedding_dim: int) -> None:
        super().__init__()
        self.real = nn.Parameter(torch.randn(num_real, embedding_dim) * 0.01)
        self.virtual = nn.Parameter(torch.randn(num_virtual, embedding_dim) * 0.01)
        self.register_buffer("sigma_D", torch.zeros(embedding_dim))

    def loss(
        self,
        features_BD: torch.Tensor,
        labels_B: torch.Tensor,
        virtual_V: torch.Tensor,
        noise_VD: torch.Tensor,
        *,
        kind: str,
        margin: float,
        scale: float,
    ) -> torch.Tensor:
        """Margin softmax over real features and the virtual features of this step.

        `virtual_V` are the virtual classes drawn for the step, `noise_VD` standard normal draws.
        With no virtual class this is the plain margin softmax of the real ones.
        """
        unit_BD = F.normalize(features_BD.float())
        unit_KD = F.normalize(torch.cat([self.real, self.virtual]).float())
        if len(virtual_V):
            self._update_sigma(unit_BD, unit_KD[labels_B])
            virtual_labels_V = virtual_V + len(self.real)
            virtual_VD = unit_KD[virtual_labels_V] + noise_VD * self.sigma_D  # eq 5
            unit_BD = torch.cat([unit_BD, F.normalize(virtual_VD)])
            labels_B = torch.cat([labels_B, virtual_labels_V])
        return margin_softmax(unit_BD @ unit_KD.T, labels_B, kind, margin, scale)

    @torch.no_grad()
    def _update_sigma(self, unit_BD: torch.Tensor, prototypes_BD: torch.Tensor) -> None:
        sigma_D = mean_over_ranks((unit_BD - prototypes_BD).square().mean(0)).sqrt()  # eq 6
        started = bool(self.sigma_D.any())
        self.sigma_D.copy_(0.9 * self.sigma_D + 0.1 * sigma_D if started else sigma_D)  # eq 7


def num_virtual_features(batch_size: int, num_real: int, num_virtual: int, mode: str) -> int:
    """Virtual features of a step: the batch size ('batch') or round(k*b/n) ('proportional')."""
    wanted = batch_size if mode == "batch" else round(num_virtual * batch_size / num_real)
    return min(wanted, num_virtual)


def geometry(real_ND: torch.Tensor, virtual_KD: torch.Tensor) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of pairwise cosines, real-real, real-virtual, virtual-virtual;
    10,000 classes of each kind at most (the first ones)."""
    unit_ND = F.normalize(real_ND[:10_000].float())
    unit_KD = F.normalize(virtual_KD[:10_000].float())
    pairs = {
        "real_real": _off_diagonal(unit_ND @ unit_ND.T),
        "real_virtual": (unit_ND @ unit_KD.T).flatten(),
        "virtual_virtual": _off_diagonal(unit_KD @ unit_KD.T),
    }
    return {
        name: {"mean": float(cosines.mean()), "std": float(cosines.std())}
        for name, cosines in pairs.items()
        if len(cosines) > 1
    }


def _off_diagonal(square_NN: torch.Tensor) -> torch.Tensor:
    row, column = torch.triu_indices(*square_NN.shape, offset=1)
    return square_NN[row, column]
