"""What only a GPU can show: the same networks draw and embed there as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory.config import load
from factory.identities.packing import Packing, pack
from factory.identities.search import DeviceFacts
from factory.recognition.embed import Recognizer
from factory.recognition.sharded_softmax import Cosine
from factory.sources import open_source, read_faces
from factory.training.distributed import FirstRankSays, pick_device
from tests.benchmarks.gpu import correctness
from tests.benchmarks.gpu.machine import Budget
from tests.benchmarks.gpu.memory import of_recipe
from tests.conftest import PX
from tests.vectors import unit_rows

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


def test_every_path_agrees_with_the_cpu_in_float64():
    """Convolutions are in TF32 by torch's default, so factors keep 10 bits there."""
    found = correctness.measure(torch.device("cuda"), Budget(600.0, small=True))
    for name, error in found["networks"].items():
        assert error < 2e-2 if name.endswith("bf16") else error < 5e-3, name
    for name, error in (found["classifier"] | found["schedule_and_samplers"]).items():
        assert error < 1e-5, name
    assert found["search"].pop("error_over_band") <= 1
    assert found["search"].pop("neighbors_same") > 0.99  # ties fall otherwise
    assert set(found["search"].values()) == {0.0, 1.0}
    assert max(found["scores"].values()) < 1e-4


def test_tf32_rounds_the_classifiers_cosines_and_nothing_else():
    draw = torch.Generator().manual_seed(0)
    unit = torch.nn.functional.normalize(torch.randn(64, 512, generator=draw)).cuda()
    rows = torch.randn(1000, 512, generator=draw).cuda()
    exact = Cosine.apply(unit.double(), rows.double()).float()
    rounded, plain = Cosine.apply(unit, rows, True), Cosine.apply(unit, rows)
    assert (plain - exact).abs().max() < 1e-6
    assert 1e-6 < (rounded - exact).abs().max() < 2**-10
    assert (unit @ rows.T - unit.double() @ rows.double().T).abs().max() < 1e-4


def test_a_step_of_a_recognizer_needs_what_the_formula_says():
    torch.cuda.empty_cache()
    row = of_recipe(torch.device("cuda"), "iresnet50", 64, 112, 10_000, "bf16")
    assert row["measured_over_formula"] == pytest.approx(1, abs=0.2)


def test_the_first_ranks_answer_comes_a_step_later_over_nccl():
    """A group of one rank, in this process."""
    from torch import distributed

    store = distributed.HashStore()
    distributed.init_process_group("nccl", store=store, rank=0, world_size=1)
    try:
        says = FirstRankSays()
        assert [says(answer) for answer in (True, False, True)] == [False, True, False]
        says.forget()
        assert not says(False)
    finally:
        distributed.destroy_process_group()


def test_packing_on_a_gpu_spreads_points_as_on_a_cpu():
    facts = DeviceFacts.here()
    start, real = unit_rows(1, 500, 12), unit_rows(2, 50, 12)
    there = pack(start, real, 2.0, Packing(), facts)
    here = pack(start, real, 2.0, Packing(), DeviceFacts(False, facts.fast_bf16, 0))
    largest = [(x @ x.T - 2 * np.eye(500)).max(1).mean() for x in (start, there, here)]
    assert largest[1] < largest[0] - 0.05
    assert largest[1] == pytest.approx(largest[2], abs=0.01)
