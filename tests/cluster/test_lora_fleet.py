"""LoRAs on Ray actors: one is killed while it trains, and the files are those of a quiet run."""

from __future__ import annotations

import os
import signal
import threading
import time

import psutil
import pytest

from factory.execution import inline
from factory.shards import layout
from factory.shards.writer import read_commit
from factory.store import open_store
from factory.synthesis.lora_finetuning import finetune
from tests.base_model import save_base
from tests.conftest import PEOPLE

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]
SMALL = "steps=40 num_prior=2 prior_steps=2 crop=whole rank=2 alpha=2".split()


def lora_files(config) -> dict[str, bytes]:
    store = open_store(config.store).below(
        layout.loras_prefix("tiny", config.personalization.loras)
    )
    return {layout.lora_name(unit): store.get(layout.lora_name(unit)) for unit in range(PEOPLE)}


def kill_one_actor(stop: threading.Event) -> None:
    """SIGKILL the first actor that is busy, once."""
    while not stop.wait(0.2):
        for process in psutil.process_iter(["cmdline", "cpu_times"]):
            if any("MakerActor.make" in part for part in process.info["cmdline"] or []):
                time.sleep(0.5)  # into the training
                os.kill(process.pid, signal.SIGKILL)
                return


def test_a_killed_actor_costs_no_byte(release_config, tmp_path):
    import ray

    from cluster import fleet

    settings = [f"personalization.{item}" for item in SMALL] + [
        f"base_model.path={save_base(tmp_path / 'base')}"
    ]
    request = ["identities.num_virtual=0", "plan.fill_to=5", "release.allow_real=true", *settings]
    quiet = release_config(*request, "personalization.loras=quiet")
    finetune(quiet, inline.run_units, log=lambda line: None)

    config = release_config(*request, "personalization.loras=chaos", "fleet.num_workers=2")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    stop = threading.Event()
    killer = threading.Thread(target=kill_one_actor, args=(stop,))
    killer.start()
    try:
        finetune(config, fleet.run_units, log=lambda line: None)
    finally:
        stop.set()
        killer.join()
        ray.shutdown()
    assert lora_files(config) == lora_files(quiet)
    store = open_store(config.store).below(layout.loras_prefix("tiny", "chaos"))
    assert any(read_commit(store, unit).attempt for unit in range(PEOPLE))  # somebody began again
