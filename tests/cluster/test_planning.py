"""A driver without a GPU plans on a worker that has one; GPUs are pretended, Ray is real."""

from __future__ import annotations

import os

import pytest

from cluster import fleet
from cluster.planning import on_device_of
from factory.errors import ConfigError, DeviceError, FactoryError
from factory.planning import device_part
from factory.planning.plan_writer import write_plan
from factory.planning.preflight import preflight
from factory.release import build
from factory.shards import layout
from factory.shards.manifest import committed_units, read_plan
from factory.shots import environment
from factory.store import open_store

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def one_gpu():
    """A Ray with one GPU that is not there, and room for two processes."""
    import ray

    os.environ["PYTHONWARNINGS"] = "ignore"
    ray.init(address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def given() -> tuple[int, list[str], str | None]:
    """(process, GPUs that Ray gave it, what CUDA would see of them)."""
    import ray

    ids = [str(gpu) for gpu in ray.get_gpu_ids()]
    return os.getpid(), ids, os.environ.get("CUDA_VISIBLE_DEVICES")


def refuses(text: str) -> None:
    raise ConfigError(text)


def dies() -> None:
    os._exit(9)


@pytest.mark.usefixtures("one_gpu")
def test_a_headless_driver_plans_in_a_process_that_was_given_a_gpu(release_config):
    on_device = on_device_of(release_config("fleet.runner=ray"))
    process, gpus, visible = on_device(given)
    assert process != os.getpid()
    assert (gpus, visible) == (["0"], "0")
    shared = on_device_of(release_config("fleet.runner=ray", "fleet.gpus_per_actor=0"))
    assert shared(given)[1] == []


@pytest.mark.usefixtures("one_gpu")
def test_errors_of_a_planning_task_are_those_of_its_function(release_config):
    on_device = on_device_of(release_config("fleet.runner=ray"))
    with pytest.raises(ConfigError, match=r"^compute: not so$"):
        on_device(refuses, "compute: not so")
    with pytest.raises(DeviceError, match="the task that plans on a device died"):
        on_device(dies)


@pytest.mark.usefixtures("one_gpu")
def test_the_headless_driver_of_a_cuda_release_leaves_its_gpu_to_the_worker(release_config):
    """Neither driver nor worker has one here: the worker is who misses it, after preflight."""
    config = release_config("fleet.runner=ray", "compute.device=cuda")
    inputs, store = preflight(config), open_store(config.store).below("tiny/releases/0.1.0")
    with pytest.raises(ConfigError, match=r"compute\.device: got 'cuda' but torch sees no GPU"):
        write_plan(config, inputs, store, on_device=on_device_of(config))
    assert store.exists(layout.ROSTER)
    assert not store.exists(layout.PLAN)


@pytest.mark.usefixtures("one_gpu")
def test_a_headless_driver_of_another_machine_plans_makes_and_resumes(release_config, monkeypatch):
    """The driver has another CPU, other libraries and other code than the workers."""
    config = release_config("fleet.runner=ray", "plan.micro_batch=null")
    real = environment.environment()
    monkeypatch.setattr(environment, "stack_fingerprint", lambda: {"torch": "the driver's"})
    monkeypatch.setattr(environment, "sources_sha256", lambda: "the driver's")

    def not_here(*args):
        raise AssertionError("asked the driver's own device")

    for name in ("pick_device", "tuned_micro_batch", "environment", "load_planned"):
        monkeypatch.setattr(device_part, name, not_here)

    def killed_at_once(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(config, killed_at_once, on_device=on_device_of(config), log=lambda line: None)
    store = open_store(config.store).below("tiny/releases/0.1.0")
    plan = read_plan(store)
    assert plan is not None
    assert plan.request.environment == real
    assert plan.request.compute.device == "cpu"
    assert plan.canary
    build(config, fleet.run_units, on_device=not_here, log=lambda line: None)
    assert committed_units(store) == {0, 1, 2}
    assert store.exists(layout.SUCCESS)


def test_a_gpu_that_does_not_join_is_missed_by_name(release_config):
    import ray

    ray.shutdown()
    ray.init(address="local", num_cpus=1, num_gpus=0, include_dashboard=False, log_to_driver=False)
    config = release_config("compute.device=cuda", "fleet.runner=ray", "fleet.join_timeout_s=1")
    try:
        with pytest.raises(FactoryError, match=r"no node of the cluster has a GPU after 1 s"):
            on_device_of(config)(given)
    finally:
        ray.shutdown()
