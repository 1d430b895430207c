"""Mean and covariance of rows that lie on several ranks, and how far two covariances are apart.

Shapes: P rows of this rank, D their length.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

from factory.training.distributed import SumWhole, sum_over_ranks

LEAST_SQUARE = 1e-12
"""Smallest squared norm of a covariance that distances are divided by: one person has none."""


def moments(
    rows_PD: torch.Tensor, taken_P: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean [D] and covariance [D, D], divided by the number of rows, of the rows of all ranks.

    `taken_P` is 1 for rows that count and 0 for others; None: all count. The covariance has a
    gradient to the rows, whole on each rank; the mean needs none, because the covariance does not
    change with the point that it is taken about to first order.
    """
    taken_P1 = (torch.ones_like(rows_PD[:, 0]) if taken_P is None else taken_P).unsqueeze(1)
    with torch.no_grad():
        count = sum_over_ranks(taken_P1.sum()).clamp(min=1)
        mean_D = sum_over_ranks((rows_PD * taken_P1).sum(0)) / count
    centered_PD = (rows_PD - mean_D) * taken_P1
    covariance_DD: torch.Tensor = SumWhole.apply(centered_PD.T @ centered_PD) / count
    return mean_D, covariance_DD


def covariance_distance(other_DD: torch.Tensor, wanted_DD: torch.Tensor) -> torch.Tensor:
    """Squared Frobenius distance relative to the wanted covariance: 0 if equal, 1 for none."""
    square = wanted_DD.square().sum().clamp(min=LEAST_SQUARE)
    return (other_DD - wanted_DD).square().sum() / square


def colored(
    white_KD: torch.Tensor, mean_D: torch.Tensor, covariance_DD: torch.Tensor
) -> torch.Tensor:
    """Unit vectors [K, D], float32, of mean + C^(1/2) w: directions w become people.

    For w of standard normal values, mean + C^(1/2) w has the mean and the covariance C.
    """
    value_D, axes_DD = torch.linalg.eigh(covariance_DD.double())
    root_DD = (axes_DD * value_D.clamp(min=0).sqrt()) @ axes_DD.T  # symmetric: no sign to choose
    return F.normalize(mean_D.double() + white_KD.double() @ root_DD).float()
