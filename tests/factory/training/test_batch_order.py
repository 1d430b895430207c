"""The order of samples is a pure function of seed and step, the same for any ranks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from factory.config import TrainingConfig
from factory.training.batch_order import BatchOrder, num_steps


def test_steps_are_whole_batches():
    assert num_steps(100, 32, 2.0) == 6
    assert num_steps(100, 32, 2.0, TrainingConfig(max_steps=4)) == 4


def test_few_images_get_the_least_steps_and_many_their_epochs():
    few = TrainingConfig(min_steps=50)
    assert num_steps(100, 32, 2.0, few) == 50
    assert num_steps(3200, 32, 2.0, few) == 200
    exactly = TrainingConfig(min_steps=70, max_steps=70)
    assert num_steps(100, 32, 2.0, exactly) == num_steps(3200, 32, 2.0, exactly) == 70


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
