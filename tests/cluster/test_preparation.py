"""What a training reads, made by Ray actors of which one is killed, is what one process makes."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from factory.config import load
from factory.diffusion.latent_cache import open_embeddings
from factory.execution import inline
from factory.execution.preparation import prepare
from tests.conftest import PX

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]
NUM_FACES = 2100
"""Three shards."""


@pytest.fixture
def config(weights, tmp_path):
    for person in range(NUM_FACES // 100):
        (tmp_path / f"people/{person}").mkdir(parents=True)
    for index in range(NUM_FACES):
        noise = np.random.default_rng(index).integers(0, 256, (PX, PX, 3), np.uint8)
        file = tmp_path / f"people/{index // 100}/{index}.png"
        Image.fromarray(noise).save(file, compress_level=0)
    (tmp_path / "c.yaml").write_text("{}\n")
    settings = [f"source.path={tmp_path / 'people'}", "source.kind=folder"]
    settings += [f"source.image_px={PX}", "compute.device=cpu", "compute.precision=fp32"]
    settings += [f"recognizer.checkpoint={weights / 'recognizer'}", "fleet.num_workers=2"]
    return load(tmp_path / "c.yaml", [*settings, f"training.cache={tmp_path / 'inline'}"])


def files_of(folder: str) -> dict[str, bytes]:
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def kill_one_actor(stop: threading.Event) -> None:
    """SIGKILL the first actor that makes a shard, once."""
    while not stop.wait(0.05):
        for process in psutil.process_iter(["cmdline"]):
            if any("MakerActor.make" in part for part in process.info["cmdline"] or []):
                os.kill(process.pid, signal.SIGKILL)
                return


def test_a_killed_actor_costs_no_byte(config, tmp_path):
    import ray

    from cluster import fleet

    prepare(config, [open_embeddings], inline.run_units, print)
    training = replace(config.training, cache=str(tmp_path / "fleet"))
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    stop = threading.Event()
    killer = threading.Thread(target=kill_one_actor, args=(stop,))
    killer.start()
    try:
        prepare(replace(config, training=training), [open_embeddings], fleet.run_units, print)
    finally:
        stop.set()
        killer.join()
        ray.shutdown()
    made = files_of(str(tmp_path / "fleet"))
    assert made == files_of(str(tmp_path / "inline"))
    assert len([name for name in made if name.startswith("embeddings-")]) == 6
