"""The micro-batch that is tried out: which size is taken, and that the plan keeps it."""

from dataclasses import replace

import pytest
import torch

from factory.errors import ConfigError, DeviceError, PlanError
from factory.execution.inline import run_units
from factory.planning.plan_writer import write_plan
from factory.planning.preflight import preflight
from factory.release import build
from factory.shards.manifest import read_plan
from factory.store import open_store
from factory.synthesis import tuning


@pytest.mark.parametrize(
    ("cost", "wanted"),
    [
        (lambda size: 1.0 + size, 16),  # a fixed cost a batch: 32 gains less than a twentieth
        (lambda size: float(size), 1),  # a batch gains nothing
        (lambda size: size ** (1 / 2), 512),  # larger is always better
        (lambda size: max(size, 8) / 8, 8),  # a device of eight lanes
    ],
)
def test_the_smallest_size_near_the_best_rate(cost, wanted):
    assert tuning.best_size(cost) == wanted


def test_memory_ends_the_trials():
    def cost(size: int) -> float:
        if size > 4:
            raise torch.OutOfMemoryError
        return 1.0

    assert tuning.best_size(cost) == 4


def test_no_batch_is_larger_than_a_unit():
    assert tuning.best_size(lambda size: size**0.5, largest=20) == 16


def test_a_device_on_which_nothing_fits():
    def cost(size: int) -> float:
        raise torch.OutOfMemoryError

    with pytest.raises(DeviceError, match=r"plan\.micro_batch: not even one shot fits"):
        tuning.best_size(cost)


def test_two_drivers_that_tried_out_at_one_moment_make_one_plan(release_config, monkeypatch):
    config = release_config("plan.micro_batch=null")
    store = open_store(config.store).below("tiny/releases/0.1.0")
    inputs = preflight(config)
    monkeypatch.setattr(tuning, "best_size", lambda seconds_of, largest: 2)
    first = write_plan(config, inputs, store)
    monkeypatch.setattr(tuning, "best_size", lambda seconds_of, largest: 4)
    assert write_plan(config, inputs, store) == first
    filters = replace(inputs.request.filters, min_own_cosine=0.5)
    other = replace(inputs.request, filters=filters)
    with pytest.raises(PlanError, match="begun with other settings"):
        write_plan(config, replace(inputs, request=other), store)


def test_the_plan_keeps_what_was_tried_out(release_config, monkeypatch):
    tried = []
    monkeypatch.setattr(tuning, "best_size", lambda f, largest: tried.append(f(2)) or 2)
    config = release_config("plan.micro_batch=null")
    said: list[str] = []
    build(config, run_units, log=said.append)
    plan = read_plan(open_store(config.store).below("tiny/releases/0.1.0"))
    assert plan is not None
    assert plan.request.plan.micro_batch == 2
    assert len(tried) == 1
    assert tried[0] > 0
    build(config, run_units, log=said.append)  # the same plan, not tried again
    assert len(tried) == 1
    assert "nothing to do" in said[-1]


def test_personalized_models_want_a_number(release_config):
    with pytest.raises(ConfigError, match=r"plan\.micro_batch: got null with release\.method=lora"):
        release_config(
            "plan.micro_batch=null",
            "release.method=lora",
            "personalization.loras=all",
            "identities.num_virtual=0",
            "plan.fill_to=3",
            "release.allow_real=true",
        )
