"""Sample order and schedules are pure functions of seed and step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from factory.optimization import (
    EMA,
    batch_indices,
    cosine_decay,
    linear_decay,
    num_steps,
    step_decay,
    stream_seed,
)


@given(st.integers(2, 60), st.integers(1, 20), st.integers(0, 5))
def test_an_epoch_uses_every_sample_at_most_once(num_samples, batch_size, epoch):
    batch_size = min(batch_size, num_samples)
    per_epoch = num_samples // batch_size
    steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
    drawn = np.concatenate([batch_indices(7, s, num_samples, batch_size) for s in steps])
    assert len(drawn) == per_epoch * batch_size == len(set(drawn.tolist()))


def test_ranks_cut_the_same_batch():
    whole = batch_indices(1, 5, 100, 8)
    parts = [batch_indices(1, 5, 100, 8, rank, 2) for rank in range(2)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_streams_differ_and_repeat():
    assert stream_seed(1, 2, "noise", 0) == stream_seed(1, 2, "noise", 0)
    assert len({stream_seed(1, i, "noise", a) for i in range(100) for a in range(3)}) == 300
    assert stream_seed(1, 23) != stream_seed(12, 3)


def test_schedules():
    assert num_steps(100, 32, 2.0, None) == 6
    assert num_steps(100, 32, 2.0, 4) == 4
    assert step_decay(25, (24.0, 30.0)) == pytest.approx(0.1)
    assert step_decay(30, (24.0, 30.0)) == pytest.approx(0.01)
    assert cosine_decay(0.5) == pytest.approx(0.5)
    assert (linear_decay(0.5, 0.3), linear_decay(0.85, 0.3)) == (1.0, pytest.approx(0.5))
    assert linear_decay(1.0, 0.3) == 0.0


def test_ema_follows_by_its_warmed_up_decay():
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    ema = EMA(module, 0.9)
    torch.nn.init.ones_(module.weight)
    ema.update(module)
    assert float(ema.shadow["weight"]) == pytest.approx(1 - 2 / 11)
    again = EMA(module, 0.9)
    again.load_state_dict(ema.state_dict())
    assert again.num_updates == 1
