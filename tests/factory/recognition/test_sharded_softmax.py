"""Gradients of the hand-written functions against autograd, in float64."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch.nn import functional as F

from factory.recognition import sharded_softmax
from factory.recognition.sharded_softmax import (
    Cosine,
    LogSumExp,
    products_in_tf32,
    put_at,
    take,
)


def draw(*shape: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_cosines_and_their_gradients_are_those_of_normalized_rows():
    unit = F.normalize(draw(4, 6, seed=0)).requires_grad_()
    rows = draw(5, 6, seed=1).requires_grad_()
    torch.testing.assert_close(Cosine.apply(unit, rows), unit @ F.normalize(rows).T)
    assert torch.autograd.gradcheck(Cosine.apply, (unit, rows))


def test_the_log_sum_puts_the_wanted_value_in_the_labels_place():
    cosine, wanted = draw(3, 5, seed=2) / 3, draw(3, seed=3) / 3
    column = torch.tensor([0, 4, -1])  # the third one's class is another rank's
    got = LogSumExp.apply(cosine, column, wanted, 8.0)
    for row in range(3):
        others = [c for k, c in enumerate(cosine[row]) if k != column[row]]
        terms = torch.stack([*others, wanted[row]]) * 8
        assert got[row].item() == pytest.approx(torch.logsumexp(terms, 0).item())
    inputs = (cosine.requires_grad_(), column, wanted.requires_grad_(), 8.0)
    assert torch.autograd.gradcheck(LogSumExp.apply, inputs)


def test_a_large_scale_does_not_overflow():
    cosine, wanted = torch.tensor([[0.9, -0.9]]), torch.tensor([0.5])
    got = LogSumExp.apply(cosine, torch.tensor([1]), wanted, 1e4)
    assert got.item() == pytest.approx(9000, rel=1e-5)


def test_taking_and_clearing_leave_other_ranks_columns():
    square = torch.arange(6.0).view(3, 2) + 1
    column = torch.tensor([1, -1, 0])
    assert take(square, column).tolist() == [2.0, 0.0, 5.0]
    put_at(square, column, 0.0)
    assert square.tolist() == [[1.0, 0.0], [3.0, 4.0], [0.0, 6.0]]
    assert take(torch.empty(2, 0), column[:2]).tolist() == [0.0, 0.0]


def test_tf32_is_for_products_on_gpus_alone_and_put_back():
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    before = torch.get_float32_matmul_precision()
    seen = []
    for allowed, device in ((True, gpu), (False, gpu), (True, cpu)):
        with products_in_tf32(allowed, device):
            seen.append(torch.get_float32_matmul_precision())
    assert seen == ["high", before, before]

    def fail():
        with products_in_tf32(True, gpu):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert torch.get_float32_matmul_precision() == before == "highest"


@pytest.mark.parametrize("tf32", [False, True])
def test_all_three_products_of_the_cosines_are_in_the_precision_asked_for(monkeypatch, tf32):
    entered = []

    def watch(allowed, device):
        entered.append((allowed, device.type))
        return contextlib.nullcontext()

    monkeypatch.setattr(sharded_softmax, "products_in_tf32", watch)
    unit, rows = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    Cosine.apply(unit, rows, tf32).sum().backward()
    assert entered == [(tf32, "cpu")] * 2  # one product forward, two backward
