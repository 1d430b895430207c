"""Sample order and schedules are pure functions of seed and step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from factory.seeds import stream_seed
from factory.training.batch_order import BatchOrder, num_steps
from factory.training.distributed import wait_for_all
from factory.training.ema import EMA, owners
from factory.training.schedules import cosine_decay, linear_decay, step_decay
from tests.ranks import run_ranks


@given(st.integers(2, 60), st.integers(1, 20), st.integers(0, 5))
def test_an_epoch_uses_every_sample_at_most_once(num_samples, batch_size, epoch):
    order = BatchOrder(7, num_samples, batch_size)
    per_epoch = num_samples // order.batch_size
    steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
    drawn = np.concatenate([order.batch(step) for step in steps])
    assert len(drawn) == per_epoch * order.batch_size == len(set(drawn.tolist()))


def test_ranks_cut_the_same_batch_whatever_was_asked_before():
    order = BatchOrder(1, 100, 8)
    whole = order.batch(50)
    parts = [BatchOrder(1, 100, 8).rank_batch(50, rank, 2) for rank in range(2)]
    assert np.array_equal(whole, np.concatenate(parts))
    order.batch(3)
    assert np.array_equal(whole, order.batch(50))


@given(st.lists(st.floats(0.1, 6.0), min_size=2, max_size=40), st.integers(0, 3))
def test_weights_are_kept_within_one_by_samples_and_by_classes(weights, epoch):
    weights = np.array(weights)
    order = BatchOrder(3, len(weights), 1, weights)
    drawn = np.concatenate(
        [order.batch(epoch * order.per_epoch + i) for i in range(order.per_epoch)]
    )
    counts = np.bincount(drawn, minlength=len(weights))
    stretched = weights * order.per_epoch / weights.sum()
    assert (np.abs(counts - stretched) < 1 + 1e-6).all()
    half = len(weights) // 2  # those that stand side by side
    assert abs(counts[:half].sum() - stretched[:half].sum()) < 1 + 1e-6


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


def test_ema_follows_by_its_warmed_up_decay(tmp_path):
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    ema = EMA(module, 0.9)
    torch.nn.init.ones_(module.weight)
    ema.update(module)
    assert float(ema.shadow["weight"]) == pytest.approx(1 - 2 / 11)
    again = EMA(module, 0.9)
    ema.save(tmp_path)
    again.load(tmp_path)
    assert again.num_updates == 1
    assert torch.equal(again.shadow["weight"], ema.shadow["weight"])


def average_over_ranks(folder: str) -> dict[str, object]:
    """A few updates of a network, the average saved, read again by everybody."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    ema = EMA(module, 0.9)
    for _ in range(3):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter += 1
        ema.update(module)
    ema.save(Path(folder))
    again = EMA(module, 0.9)
    wait_for_all()
    again.load(Path(folder))
    whole = ema.whole()
    assert all(torch.equal(again.whole()[name], value) for name, value in whole.items())
    return {
        "mine": sorted(ema.shadow),
        "whole": {name: value.flatten().tolist() for name, value in whole.items()},
    }


def test_an_average_is_cut_over_ranks_and_whole_again(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    alone = average_over_ranks(str(tmp_path / "one"))
    first, second = run_ranks(
        f"{__name__}:average_over_ranks", 2, {"folder": str(tmp_path / "two")}
    )
    assert first["whole"] == second["whole"] == alone["whole"]
    assert sorted(first["mine"] + second["mine"]) == alone["mine"]
    assert set(first["mine"]) != set(alone["mine"])  # nobody keeps all
    states = [torch.load(tmp_path / name / "ema.pt", weights_only=True) for name in ("one", "two")]
    assert states[0]["num_updates"] == states[1]["num_updates"] == 3
    for name, value in states[0]["shadow"].items():
        assert torch.equal(states[1]["shadow"][name], value)


def test_owners_share_evenly():
    sizes = {"a": 100, "b": 60, "c": 50, "d": 10}
    assert owners(sizes, 2) == {"a": 0, "b": 1, "c": 1, "d": 0}
    assert owners(sizes, 1) == dict.fromkeys(sizes, 0)
