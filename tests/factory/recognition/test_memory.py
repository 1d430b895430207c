"""What a rank needs against the bytes that live in a step, at the real depth and image size."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from factory.config import ComputeConfig, RecognizerConfig
from factory.errors import ConfigError
from factory.recognition import memory
from factory.recognition.backbone import SHAPES, IResNet
from factory.recognition.memory import (
    ClassifierBytes,
    RankMemory,
    activation_values,
    classifier_bytes,
    fitted,
    num_parameters,
    rank_memory,
)
from tests.fake_gpu import FakeGpu, use_fake_gpu
from tests.memory import peak_bytes
from tests.ranks import run_ranks
from tests.recognizer_step import RecognizerSteps

TOLERANCE = 0.14
"""The formula adds what is not quite there at once: gradients grow while activations go."""


def live_bytes(recipe, compute, px, num_real, world=1) -> int:
    """Peak of a second step, in which momentum is there, of a rank with its part of the classes."""
    steps = RecognizerSteps(recipe, compute, px, num_real, world)
    with FakeGpu() as gpu:
        gpu.holds(*steps.tensors())
        steps.run(0)
        gpu.peak_bytes = gpu.live_bytes
        steps.run(1)
    return gpu.peak_bytes


@pytest.mark.parametrize(
    ("compute", "recipe"),
    [
        ({}, {"backbone": "iresnet100", "batch_size": 8}),
        ({}, {"backbone": "iresnet18", "batch_size": 32, "sample_rate": 0.1}),
        ({}, {"backbone": "iresnet18", "num_virtual": 30_000, "sample_rate": 0.3, "ema": 0.9}),
        ({"activation_checkpointing": True}, {"backbone": "iresnet34", "batch_size": 32}),
        ({}, {"backbone": "ir_se50", "batch_size": 32}),
        ({"accumulate": 4}, {"backbone": "iresnet18", "batch_size": 64, "sample_rate": 0.1}),
    ],
)
def test_a_step_over_10_000_classes_at_112_px_needs_what_the_formula_says(
    monkeypatch, compute, recipe
):
    use_fake_gpu(monkeypatch)
    recipe = RecognizerConfig(**({"batch_size": 64} | recipe))
    compute = ComputeConfig(precision="fp32", **compute)
    need = rank_memory(recipe, compute, image_px=112, num_real=10_000, world=1)
    assert live_bytes(recipe, compute, 112, 10_000) == pytest.approx(need.peak, rel=TOLERANCE)


@pytest.mark.parametrize(
    ("compute", "recipe"),
    [({}, {"batch_size": 192}), ({"accumulate": 4}, {"batch_size": 16, "sample_rate": 0.8})],
)
def test_a_classifier_larger_than_its_network_needs_what_the_formula_says(
    monkeypatch, compute, recipe
):
    """The softmax decides the first, the sampled rows of micro-batches the second."""
    use_fake_gpu(monkeypatch)
    recipe = RecognizerConfig(backbone="iresnet_mini", embedding_dim=64, **recipe)
    compute = ComputeConfig(precision="fp32", **compute)
    need = rank_memory(recipe, compute, image_px=32, num_real=60_000, world=1)
    assert max(need.backward, need.update) > 0.5 * need.peak
    assert live_bytes(recipe, compute, 32, 60_000) == pytest.approx(need.peak, rel=TOLERANCE)


def test_a_classifiers_parts_in_closed_form():
    """100 rows of 8 values, half of them sampled in each of 3 micro-batches of 10 features."""
    assert classifier_bytes(100, 8, 10, 0.5, averaged=True, parts=3) == ClassifierBytes(
        rows=4 * 3 * 100 * 8,
        sampled=4 * 3 * 2 * 50 * 8,
        softmax=4 * 4 * 10 * 50,
        update=4 * (3 * 3 * 50 + 2 * 100) * 8,
    )
    whole = classifier_bytes(100, 8, 10, 1.0, parts=3)
    assert whole.sampled == whole.update == 4 * 100 * 8  # one gradient of all
    assert whole.peak == 4 * (2 * 100 * 8 + 100 * 8 + 4 * 10 * 100)


def test_500_000_classes_on_eight_ranks_need_what_the_formula_says(monkeypatch):
    """Rank 0's rows, with the images of all ranks, as far as one process can be one of eight."""
    use_fake_gpu(monkeypatch)
    recipe = RecognizerConfig(backbone="iresnet18", batch_size=64, sample_rate=0.1)
    compute = ComputeConfig(precision="fp32", zero_stage=0)
    live = live_bytes(recipe, compute, 112, 500_000, world=8)
    of_eight = rank_memory(recipe, compute, image_px=112, num_real=500_000, world=8)
    alone = rank_memory(recipe, compute, image_px=112, num_real=62_500, world=1)
    assert of_eight.rows == alone.rows == 2 * 4 * 62_500 * 512
    assert live == pytest.approx(alone.peak, rel=TOLERANCE)
    assert of_eight.activations == pytest.approx(alone.activations / 8)


def resident_of_two_steps() -> dict[str, float]:
    """Resident memory of this process for two steps above that of a small one, and the formula."""
    compute = ComputeConfig(device="cpu", precision="fp32")
    RecognizerSteps(RecognizerConfig(backbone="iresnet18", batch_size=2), compute, 32, 9, 1).run(0)
    recipe, before = RecognizerConfig(backbone="iresnet100", batch_size=8), peak_bytes()
    steps = RecognizerSteps(recipe, compute, 112, 10_000, 1)
    steps.run(0)
    steps.run(1)
    need = rank_memory(recipe, compute, image_px=112, num_real=10_000, world=1)
    return {"resident": peak_bytes() - before, "formula": need.peak}


@pytest.mark.slow
def test_a_process_takes_as_much_as_the_formula_says():
    """IResNet-100 at 112 px over 10,000 classes, 1/50 of 500,000, on the CPU: within 25 %."""
    given_back = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # so that what is freed is not counted
    (found,) = run_ranks(f"{__name__}:resident_of_two_steps", 1, joined=False, **given_back)
    print(json.dumps(found | {"ratio": round(found["resident"] / found["formula"], 3)}))
    assert found["resident"] == pytest.approx(found["formula"], rel=0.25)


@pytest.mark.parametrize("backbone", sorted(SHAPES))
@pytest.mark.parametrize("px", [32, 45])
def test_activations_are_what_autograd_keeps(backbone, px):
    """Different storages that the backward pass is given, but for the parameters."""
    with torch.device("meta"):
        network = IResNet(backbone, 64, px)
        image = torch.empty(3, 3, px, px)
    own, kept = {p.untyped_storage()._cdata for p in network.parameters()}, {}

    def keep(tensor):
        if tensor.untyped_storage()._cdata not in own:
            kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(image)
    recipe = RecognizerConfig(backbone=backbone, embedding_dim=64)
    values = sum(t.numel() for t in kept.values() if t.shape[:1] == (3,) and t.shape != (3, 64))
    assert values == 3 * activation_values(recipe, px, recomputed=False)


def test_parameters_are_those_of_the_network():
    recipe = RecognizerConfig(backbone="iresnet_mini", embedding_dim=32)
    network = IResNet("iresnet_mini", 32, 48)
    assert num_parameters(recipe, 48) == sum(p.numel() for p in network.parameters())


def test_half_precision_halves_activations_and_keeps_a_copy_of_the_weights():
    recipe = RecognizerConfig(backbone="iresnet_mini", batch_size=4)
    needs = [
        rank_memory(recipe, ComputeConfig(precision=p), image_px=32, num_real=9, world=1)
        for p in ("fp32", "bf16")
    ]
    images, cast = 4 * 5 * 3 * 32 * 32, 2 * num_parameters(recipe, 32)
    assert needs[1].activations - images - cast == (needs[0].activations - images) / 2


def test_zero_cuts_states_then_gradients_then_weights():
    recipe = RecognizerConfig(backbone="iresnet_mini", batch_size=8)
    weights = 4 * num_parameters(recipe, 32)
    backbone, backward = [], []
    for stage in range(4):
        need = rank_memory(
            recipe, ComputeConfig(zero_stage=stage), image_px=32, num_real=8, world=4
        )
        backbone.append(need.backbone / weights)
        backward.append((need.backward - 4 * 2 * 512) / weights)
    assert backbone == pytest.approx([2, 1.5, 1.5, 0.75], rel=1e-5)
    averaged = dataclasses.replace(recipe, ema=0.9)  # each rank keeps a part of the average
    need = rank_memory(averaged, ComputeConfig(zero_stage=0), image_px=32, num_real=8, world=4)
    assert need.backbone / weights == pytest.approx(2.25, rel=1e-5)
    assert backward == pytest.approx([1, 2, 1.25, 1.25], rel=1e-5)


def test_a_training_that_does_not_fit_is_refused_in_one_line():
    giga = 10**9
    need = RankMemory(giga, rows=2 * giga, activations=3 * giga, backward=giga, update=2 * giga)
    assert fitted(need, 8 * giga) == (
        "needs about 7.00 GB a rank (backbone 1.00, rows 2.00, activations 3.00, backward 1.00, "
        "update 2.00)"
    )
    assert dataclasses.replace(need, update=5 * giga).peak == 8 * giga
    assert "nearly all of 7.50 GB; if it fails, want more ranks" in fitted(need, 7_500_000_000)
    with pytest.raises(ConfigError, match=r"needs about 7.00 GB a rank .* has 6.00 GB; want more"):
        fitted(need, 6 * giga)


def test_a_log_tells_what_is_needed_and_a_gpu_is_asked_for_its_size(monkeypatch):
    from factory.config import Config

    config = Config(recognizer=RecognizerConfig(backbone="iresnet_mini", batch_size=8))
    line = memory.memory_line(config, 100)
    assert line.startswith("needs about 0.0")
    monkeypatch.setattr(memory, "device_here", lambda compute: torch.device("cuda"))

    @dataclasses.dataclass
    class Card:
        total_memory: int = 1000

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Card())
    with pytest.raises(ConfigError, match=r"recognizer\.batch_size"):
        memory.memory_line(config, 100)
