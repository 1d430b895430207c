"""What only a GPU can show: the same networks draw and embed there as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory.config import load
from factory.recognition.embed import Recognizer
from factory.sources import open_source, read_faces
from factory.training.distributed import pick_device
from tests.conftest import PX

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


def test_embeddings_agree_with_the_cpu(weights, release_config):
    faces = read_faces(open_source(release_config().source), 0.0)
    name = str(weights / "recognizer")
    cpu = Recognizer.load(name, torch.device("cpu")).embed(faces.images_NHWC)
    gpu = Recognizer.load(name, torch.device("cuda")).embed(faces.images_NHWC)
    assert (cpu * gpu).sum(1).min() > 0.999


def test_a_release_is_made_on_the_gpu_with_the_labels_of_the_plan(release_config, tmp_path):
    from tests.factory.test_release import make

    config = release_config("compute.device=cuda")
    assert pick_device(config.compute).type == "cuda"
    store, _ = make(config)
    faces = read_faces(
        open_source(
            load(
                tmp_path / "release.yaml",
                ["source.kind=webdataset", f"source.path={store.root}", f"source.image_px={PX}"],
            ).source
        ),
        0.0,
    )
    assert np.bincount(faces.labels).tolist() == [2] * 6


def test_a_training_resumes_on_the_gpu_in_bf16(tmp_path):
    from tests.factory.training.test_engine import steps

    whole = steps("adamw", 0, 6, precision="bf16", device="cuda")
    steps("adamw", 0, 3, precision="bf16", device="cuda", out=tmp_path)
    rest = steps("adamw", 3, 6, precision="bf16", device="cuda", resume=tmp_path)
    assert rest["losses"] == pytest.approx(whole["losses"][3:], rel=1e-3)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("stage", [0, 3])
def test_torchrun_with_two_gpus_on_a_node_gives_the_losses_of_one(people, tmp_path, stage):
    from factory.recognition.train import train
    from tests.cluster.test_gang import RECIPE, losses, quiet, torchrun

    arguments = [*RECIPE, f"source.path={people}", "compute.device=cuda", "training.max_steps=12"]
    arguments.append(f"compute.zero_stage={stage}")
    (tmp_path / "c.yaml").write_text("{}\n")
    torchrun(tmp_path, [*arguments, f"training.out={tmp_path / 'two'}"])
    alone = load(tmp_path / "c.yaml", [*arguments, f"training.out={tmp_path / 'alone'}"])
    train(alone, quiet)
    two = load(tmp_path / "c.yaml", [*arguments, f"training.out={tmp_path / 'two'}"])
    assert losses(two) == pytest.approx(losses(alone), rel=1e-3, abs=1e-3)
