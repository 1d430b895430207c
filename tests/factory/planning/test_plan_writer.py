"""Plans by drivers without a device, and by two drivers at one moment."""

from __future__ import annotations

import functools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from factory.errors import ConfigError, IntegrityError, PlanError
from factory.evaluation import evaluate as evaluation
from factory.execution.inline import run_units
from factory.identities import roster_building as rosters
from factory.planning import device_part
from factory.planning import preflight as preflight_module
from factory.planning.plan_writer import refuse_other_plan, write_plan
from factory.planning.preflight import preflight
from factory.release import build
from factory.shards import layout
from factory.shards.manifest import read_plan
from factory.shots import environment
from factory.store import open_store
from factory.synthesis.loading import LoadedRelease


def quiet(line: str) -> None:
    pass


@pytest.fixture
def store(release_config):
    return open_store(release_config().store).below("tiny/releases/0.1.0")


def test_a_headless_driver_asks_another_process_for_all_that_needs_a_device(
    release_config, store, monkeypatch
):
    """compute.device=cuda, and no GPU here: preflight, roster and the call itself need none."""
    config = release_config("compute.device=cuda", "fleet.runner=ray", "plan.micro_batch=null")
    asked = []

    def on_device(function, *args):
        asked.append(function)
        remote = replace(args[0], compute=replace(args[0].compute, device="cpu"))
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        return function(remote, *args[1:])

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plan = write_plan(config, preflight(config), store, on_device=on_device)
    assert asked == [device_part.complete]
    assert plan.request.compute.device == "cpu"  # that of the other process
    assert plan.request.plan.micro_batch
    assert plan.canary
    assert read_plan(store) == plan


def test_without_a_fleet_preflight_looks_for_the_gpu(release_config, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"compute\.device: got 'cuda' but torch sees no GPU"):
        preflight(release_config("compute.device=cuda"))


def test_auto_compiles_no_drawing_and_keeps_to_a_plan_that_does(release_config, store, monkeypatch):
    """Because a measured time would decide bytes; the plan that is there decides a resume."""
    auto = release_config("compute.compile=auto")
    assert preflight(auto).request.compute.compile is False
    request = preflight(release_config("compute.compile=true")).request
    assert request.compute.compile is True
    began = SimpleNamespace(request=request, private=None, units=[])
    monkeypatch.setattr(preflight_module, "read_plan", lambda store: began)
    monkeypatch.setattr(preflight_module, "committed_units", lambda store: set())
    assert preflight(auto).request.compute.compile is True
    assert preflight(release_config("compute.compile=false")).request.compute.compile is False


def test_a_headless_driver_with_other_libraries_resumes(release_config, store, monkeypatch):
    config = release_config()
    plan = write_plan(config, preflight(config), store)
    monkeypatch.setattr(environment, "stack_fingerprint", lambda: {"torch": "another"})
    monkeypatch.setattr(environment, "sources_sha256", lambda: "another")
    refuse_other_plan(plan, preflight(config), store)
    with pytest.raises(PlanError, match=r"another plan \(release\.seed: 0 there, 1 asked for\)"):
        refuse_other_plan(plan, preflight(release_config("release.seed=1")), store)


def test_two_drivers_on_two_machines_make_one_plan(release_config, store, monkeypatch):
    """The second one has another environment, tuning and canary, and takes the plan that is there.

    Even where its own CPU rounded the roster otherwise.
    """
    config = release_config("plan.micro_batch=null")
    inputs = preflight(config)
    monkeypatch.setattr("factory.synthesis.tuning.best_size", lambda seconds_of, largest: 2)
    monkeypatch.setattr(device_part, "environment", lambda: inputs.request.environment)
    first = write_plan(config, inputs, store)
    monkeypatch.setattr("factory.synthesis.tuning.best_size", lambda seconds_of, largest: 4)
    other = replace(inputs.request.environment, stack={"cpu_capability": "other"})
    monkeypatch.setattr(device_part, "environment", lambda: other)
    assert write_plan(config, inputs, store) == first
    plain = rosters.build_roster

    def rounded_otherwise(*args, **options):
        roster = plain(*args, **options)
        return replace(roster, unit_ND=roster.unit_ND * (1 + 1e-7))

    monkeypatch.setattr(rosters, "build_roster", rounded_otherwise)
    assert write_plan(config, inputs, store) == first
    sampler = replace(inputs.request.sampler, num_steps=9)
    longer = replace(inputs, request=replace(inputs.request, sampler=sampler))
    with pytest.raises(PlanError, match="begun with other settings"):
        write_plan(config, longer, store)


def test_other_weights_on_the_device_are_refused_while_planning(release_config, store, weights):
    config = release_config()

    def with_other_recognizer(function, config, *args):
        other = replace(config.recognizer, checkpoint=str(weights / "judge"))
        judge = replace(config.judge, checkpoint=None)
        return function(replace(config, recognizer=other, judge=judge), *args)

    with pytest.raises(IntegrityError, match=r"weights\.recognizer"):
        write_plan(config, preflight(config), store, on_device=with_other_recognizer)
    assert not store.exists(layout.PLAN)


def test_a_headless_driver_measures_on_its_cpu_what_gpus_made(release_config, monkeypatch):
    """A plan that says cuda, compute.device=cuda, and no GPU: sealed, measured, reported."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = release_config("fleet.runner=ray", "compute.device=cuda", "filters.min_own_cosine=0")
    cpu = replace(config, compute=replace(config.compute, device="cpu"))
    sketched = []
    plain = LoadedRelease.sketch

    def on_device(function, config, prefix, plan):
        done = function(cpu, prefix, plan)
        compute = replace(done.request.compute, device="cuda")
        told = {name: done.canary.digests[name] for name in ("images", "encoded", "scores")}
        canary = replace(done.canary, digests=told)  # as GPUs do, without what is not rounded
        return replace(done, request=replace(done.request, compute=compute), canary=canary)

    def sketch(self, shot):
        sketched.append(shot)
        return plain(self, shot)

    def on_workers(fleet, open_maker, units, on_done, draining, on_state):
        """As workers with a GPU would: their device is the plan's."""
        from factory.shards import plan_files
        from factory.synthesis.maker import ShardMaker

        with monkeypatch.context() as patch:
            patch.setattr(plan_files, "difference_from", lambda plan, device: None)
            patch.setattr("factory.synthesis.loading.difference_from", lambda plan, device: None)
            prefix = layout.release_prefix("tiny", "0.1.0")
            if open_maker.func == ShardMaker.open:  # else one that measures, on any device
                open_maker = functools.partial(ShardMaker.open, cpu, prefix)
            run_units(fleet, open_maker, units, on_done, draining)

    monkeypatch.setattr(LoadedRelease, "sketch", sketch)
    assert evaluation.device_here(config.compute).type == "cpu"
    store = open_store(config.store).below("tiny/releases/0.1.0")
    build(config, on_workers, on_device=on_device, log=quiet)
    plan = read_plan(store)
    assert plan is not None
    assert plan.request.compute.device == "cuda"
    assert store.exists(layout.SUCCESS)
    assert store.exists(layout.REPORT)
    assert sketched
