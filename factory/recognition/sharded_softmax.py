"""A softmax whose classes lie on several ranks: cosines, the label's term, the log of the sum.

Shapes: N features of all ranks, D embedding, S classes of this rank; `column_N` is the label's
column among them, -1 where another rank has it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from factory.training.distributed import max_over_ranks, sum_over_ranks


class Cosine(torch.autograd.Function):
    """Cosines [N, S] of unit features and rows of any length, without a normalized copy of them."""

    @staticmethod
    def forward(ctx: Any, unit_ND: torch.Tensor, weight_SD: torch.Tensor) -> torch.Tensor:
        length_S = torch.linalg.vector_norm(weight_SD, dim=1).clamp(min=1e-12)
        cosine_NS = (unit_ND @ weight_SD.T).div_(length_S)
        ctx.save_for_backward(unit_ND, weight_SD, length_S, cosine_NS)
        return cosine_NS

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """d cos / d w = (f - cos * w/|w|) / |w|; d cos / d f = w/|w|."""
        unit_ND, weight_SD, length_S, cosine_NS = ctx.saved_tensors
        along_S = (grads[0] * cosine_NS).sum(0) / length_S.square()
        scaled_NS = grads[0] / length_S
        grad_SD = scaled_NS.T @ unit_ND
        grad_SD.addcmul_(along_S.unsqueeze(1), weight_SD, value=-1)
        return scaled_NS @ weight_SD, grad_SD


class LogSumExp(torch.autograd.Function):
    """Log of the sum of exp(s*cos) over the classes of all ranks.

    The label's term is exp(s*wanted), the same on every rank.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cosine_NS: torch.Tensor,
        column_N: torch.Tensor,
        wanted_N: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        top_N = wanted_N.clone()
        if cosine_NS.shape[1]:
            top_N = torch.maximum(top_N, cosine_NS.amax(1))
        top_N = max_over_ranks(top_N) * scale
        others_NS = (cosine_NS * scale).sub_(top_N.unsqueeze(1)).exp_()
        put_zero(others_NS, column_N)
        total_N = sum_over_ranks(others_NS.sum(1)) + (wanted_N * scale - top_N).exp()
        log_sum_N = top_N + total_N.log()
        ctx.save_for_backward(cosine_NS, column_N, wanted_N, log_sum_N)
        ctx.scale = scale
        return log_sum_N

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        cosine_NS, column_N, wanted_N, log_sum_N = ctx.saved_tensors
        grad_N = grads[0] * ctx.scale
        probability_NS = (cosine_NS * ctx.scale).sub_(log_sum_N.unsqueeze(1)).exp_()
        put_zero(probability_NS, column_N)
        wanted_probability_N = (wanted_N * ctx.scale - log_sum_N).exp()
        return probability_NS.mul_(grad_N.unsqueeze(1)), None, wanted_probability_N * grad_N, None


def take(cosine_NS: torch.Tensor, column_N: torch.Tensor) -> torch.Tensor:
    """The cosine in each feature's column, 0 where the column is another rank's (-1)."""
    if not cosine_NS.shape[1]:
        return cosine_NS.sum(1)
    taken_N = cosine_NS.gather(1, column_N.clamp(min=0).unsqueeze(1)).squeeze(1)
    return torch.where(column_N >= 0, taken_N, 0.0)


def put_zero(square_NS: torch.Tensor, column_N: torch.Tensor) -> None:
    """Write 0 in each feature's column, where this rank has it."""
    local_N = column_N >= 0
    square_NS[local_N, column_N[local_N]] = 0.0
