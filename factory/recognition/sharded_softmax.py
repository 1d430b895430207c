"""A softmax whose classes lie on several ranks: cosines, the label's term, the log of the sum.

Nothing here depends on values for its shape, so a GPU is never waited for.

Shapes: N features of all ranks, D embedding, S classes of this rank; `column_N` is the label's
column among them, -1 where another rank has it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from factory.training.distributed import max_over_ranks, sum_over_ranks


@contextlib.contextmanager
def products_in_tf32(allowed: bool, device: torch.device) -> Iterator[None]:
    """Context in which float32 products may round factors to TF32's 10 bits, on GPUs alone.

    The setting is the process's; it is put back, so that nothing else computes so.
    """
    if not allowed or device.type != "cuda":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class Cosine(torch.autograd.Function):
    """Cosines [N, S] of unit features and rows of any length, without a normalized copy of them.

    With `tf32` the three products may use it on a GPU: a cosine then errs by up to 2^-10.
    """

    @staticmethod
    def forward(
        ctx: Any, unit_ND: torch.Tensor, weight_SD: torch.Tensor, tf32: bool = False
    ) -> torch.Tensor:
        length_S = torch.linalg.vector_norm(weight_SD, dim=1).clamp(min=1e-12)
        with products_in_tf32(tf32, unit_ND.device):
            cosine_NS = (unit_ND @ weight_SD.T).div_(length_S)
        ctx.save_for_backward(unit_ND, weight_SD, length_S, cosine_NS)
        ctx.tf32 = tf32
        return cosine_NS

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """d cos / d w = (f - cos * w/|w|) / |w|; d cos / d f = w/|w|."""
        unit_ND, weight_SD, length_S, cosine_NS = ctx.saved_tensors
        along_S = (grads[0] * cosine_NS).sum(0) / length_S.square()
        scaled_NS = grads[0] / length_S
        with products_in_tf32(ctx.tf32, unit_ND.device):
            grad_SD = scaled_NS.T @ unit_ND
            grad_ND = scaled_NS @ weight_SD
        grad_SD.addcmul_(along_S.unsqueeze(1), weight_SD, value=-1)
        return grad_ND, grad_SD, None


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
        put_at(others_NS, column_N, 0.0)
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
        put_at(probability_NS, column_N, 0.0)
        wanted_probability_N = (wanted_N * ctx.scale - log_sum_N).exp()
        return probability_NS.mul_(grad_N.unsqueeze(1)), None, wanted_probability_N * grad_N, None


def take(cosine_NS: torch.Tensor, column_N: torch.Tensor) -> torch.Tensor:
    """The cosine in each feature's column, 0 where the column is another rank's (-1)."""
    if not cosine_NS.shape[1]:
        return cosine_NS.sum(1)
    taken_N = cosine_NS.gather(1, column_N.clamp(min=0).unsqueeze(1)).squeeze(1)
    return torch.where(column_N >= 0, taken_N, 0.0)


def put_at(square_NS: torch.Tensor, column_N: torch.Tensor, value: float) -> None:
    """Write a value in each feature's column, where this rank has it."""
    if not square_NS.shape[1]:
        return
    index_N1 = column_N.clamp(min=0).unsqueeze(1)
    kept_N1 = square_NS.gather(1, index_N1)
    kept_N1.masked_fill_((column_N >= 0).unsqueeze(1), value)
    square_NS.scatter_(1, index_N1, kept_N1)
