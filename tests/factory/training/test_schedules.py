"""Learning rates as factors, in closed form."""

from __future__ import annotations

import pytest
import torch

from factory.training.schedules import adamw, cosine_decay, linear_decay, step_decay, warmup


def test_a_warm_up_rises_linearly_and_stays():
    assert [warmup(step, 4) for step in (0, 1, 3, 4, 99)] == [0.25, 0.5, 1.0, 1.0, 1.0]
    assert warmup(0, 0) == 1.0
    assert warmup(0, 0.5) == 1.0


def test_a_step_decay_divides_by_ten_at_each_milestone():
    assert step_decay(23.9, (24.0, 30.0)) == 1.0
    assert step_decay(25, (24.0, 30.0)) == pytest.approx(0.1)
    assert step_decay(30, (24.0, 30.0)) == pytest.approx(0.01)


def test_a_cosine_decay_goes_from_one_to_zero():
    assert [cosine_decay(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.5, 0.0])


def test_a_linear_decay_falls_over_the_last_fraction():
    assert (linear_decay(0.5, 0.3), linear_decay(0.85, 0.3)) == (1.0, pytest.approx(0.5))
    assert linear_decay(1.0, 0.3) == 0.0
    assert linear_decay(1.0, 0.0) == 1.0


def test_adamw_has_the_betas_of_diffusion_models():
    optimizer = adamw(1e-3, 0.02)([torch.nn.Parameter(torch.zeros(1))])
    assert optimizer.defaults["betas"] == (0.9, 0.99)
    assert optimizer.defaults["weight_decay"] == 0.02
    published = adamw(1e-3, 0.02, (0.9, 0.999))([torch.nn.Parameter(torch.zeros(1))])
    assert published.defaults["betas"] == (0.9, 0.999)
