"""How full the batches of a unit are: by hand, and against units that are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from factory.config import PlanConfig
from factory.planning.batches import FULL, advised_unit, describe_batches, used_fraction

PLAN = PlanConfig(identities_per_unit=10, micro_batch=128, max_rounds=3)


def test_slots_are_counted_round_by_round():
    """160 shots in 2 x 128, 64 top-ups in 128, 25.6 in 128: 249.6 of 512 slots."""
    assert used_fraction(160, PLAN, 0.6) == pytest.approx(249.6 / 512)
    small = PlanConfig(micro_batch=128, topup_batch=32, max_rounds=2)
    assert used_fraction(160, small, 0.6) == pytest.approx(224 / (256 + 64))
    assert used_fraction(256, PLAN, 1.0) == 1.0


@pytest.mark.parametrize("shots", [160, 640, 2500])
def test_the_expected_fraction_is_that_of_units_drawn_at_random(shots):
    draw, used, slots = np.random.default_rng(0), 0, 0
    for _ in range(400):
        missing = shots
        for _ in range(PLAN.max_rounds):
            used, slots = used + missing, slots + -(-missing // 128) * 128
            missing -= draw.binomial(missing, 0.62)
    assert used_fraction(shots, PLAN, 0.62) == pytest.approx(used / slots, abs=0.06)


def test_the_advised_unit_is_the_least_whose_batches_are_full():
    advised = advised_unit(160, PLAN, 0.62)
    assert advised is not None
    assert advised % 10 == 0
    assert used_fraction(16 * advised, PLAN, 0.62) >= FULL
    assert used_fraction(16 * (advised - 10), PLAN, 0.62) < FULL


def test_advice_is_given_where_slots_are_wasted_alone():
    wasteful = describe_batches(160, PLAN, 0.62, on_gpu=True)
    assert wasteful[0] == "batches      48% of the slots hold a shot, top-ups included"
    assert wasteful[1].startswith("             plan.identities_per_unit=")
    assert len(describe_batches(128 * 40, PLAN, 0.62, on_gpu=True)) == 1
    small = PlanConfig(micro_batch=128, topup_batch=4)
    assert "plan.topup_batch=4" in describe_batches(128 * 40, small, 0.62, on_gpu=True)[-1]
    assert len(describe_batches(128 * 40, small, 0.62, on_gpu=False)) == 1
