"""Recognizer training against bare loops; each prints a line of JSON.

python -m pytest tests/benchmarks/test_recognizer_speed.py -q -s
"""

from __future__ import annotations

import json
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from factory.config import ComputeConfig, RecognizerConfig
from factory.recognition.backbone import IResNet
from factory.recognition.margin import arcface
from factory.recognition.prototypes import Prototypes
from factory.training import distributed
from factory.training.engine import PlainEngine, channels_last, start_engine
from tests.benchmarks.timing import fastest, report
from tests.ranks import run_ranks

BATCH, DIM, SCALE, MARGIN, PX = 64, 512, 64.0, 0.5, 112
NO_VIRTUAL = (torch.zeros(0, dtype=torch.long), torch.zeros(0, DIM))
BF16 = ComputeConfig(device="cpu", precision="bf16")


pytestmark = pytest.mark.usefixtures("one_thread")


def sgd(parameters):
    return torch.optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)


def batch(num_classes: int):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH, 3, PX, PX, generator=draw)
    labels = torch.randint(num_classes, (BATCH,), generator=draw)
    return x.contiguous(memory_format=torch.channels_last), labels


def our_step(num_classes: int, rate: float):
    torch.manual_seed(0)
    recipe = RecognizerConfig(embedding_dim=DIM, scale=SCALE, sample_rate=rate)
    backbone = channels_last(IResNet("iresnet_mini", DIM, PX)).train()
    engine = PlainEngine(backbone, sgd, BF16, grad_clip=5.0)
    prototypes = Prototypes(recipe, num_classes)
    x, labels = batch(num_classes)

    def step() -> None:
        loss = prototypes.loss(engine(x), labels, *NO_VIRTUAL, margin=MARGIN)
        engine.backward(loss)
        engine.step(0.1)
        prototypes.step(0.1)

    return step


def bare_step(num_classes: int):
    """ArcFace as it is usually written: one weight matrix, autograd, torch's SGD."""
    torch.manual_seed(0)
    backbone = channels_last(IResNet("iresnet_mini", DIM, PX)).train()
    weight = nn.Parameter(torch.randn(num_classes, DIM) * 0.01)
    optimizer = sgd([*(p for p in backbone.parameters() if p.requires_grad), weight])
    x, labels = batch(num_classes)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = backbone(x)
        cosine = F.normalize(features.float()) @ F.normalize(weight).T
        target = arcface(cosine.gather(1, labels[:, None]), MARGIN)
        loss = F.cross_entropy(SCALE * cosine.scatter(1, labels[:, None], target), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(backbone.parameters(), 5.0)
        optimizer.step()

    return step


@pytest.mark.timeout(600)
def test_a_step_of_10_000_classes_against_a_bare_loop():
    """Their seconds over ours, full softmax."""
    ours_s, bare_s = fastest(our_step(10_000, 1.0), bare_step(10_000), repeats=8)
    report("recognizer_step_10k", bare_s / ours_s, 0.95, ours_s=ours_s, bare_s=bare_s)


@pytest.mark.timeout(900)
def test_a_step_of_400_000_classes_sampled_against_the_full_softmax():
    """Seconds of a bare loop with the full softmax over ours at sample rate .1."""
    ours_s, bare_s = fastest(our_step(400_000, 0.1), bare_step(400_000), repeats=3)
    report("recognizer_step_400k_sampled", bare_s / ours_s, 3.0, ours_s=ours_s, bare_s=bare_s)


class Loss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = IResNet("iresnet_mini", DIM, PX)

    def forward(self, x):
        return self.backbone(x).square().mean()


def zero_and_ddp() -> dict[str, float]:
    """Seconds of a step by DeepSpeed ZeRO-1 and by torch's DDP on this rank, alternating."""
    from torch.nn.parallel import DistributedDataParallel

    engine = start_engine(Loss(), sgd, ComputeConfig(device="cpu", zero_stage=1), grad_clip=5.0)
    theirs = DistributedDataParallel(Loss())
    optimizer = sgd([p for p in theirs.parameters() if p.requires_grad])
    x = torch.randn(BATCH // distributed.world_size(), 3, PX, PX)

    def ours() -> None:
        engine.backward(engine(x))
        engine.step(0.1)

    def ddp() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = theirs(x)
        loss.backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 5.0)
        optimizer.step()

    seconds: dict[str, list[float]] = {"zero1_s": [], "ddp_s": []}
    for _ in range(6):
        for name, step in (("zero1_s", ours), ("ddp_s", ddp)):
            distributed.wait_for_all()
            started = time.perf_counter()
            step()
            distributed.wait_for_all()
            seconds[name].append(time.perf_counter() - started)
    return {name: min(times) for name, times in seconds.items()}


@pytest.mark.timeout(600)
def test_zero_1_on_two_ranks_against_ddp():
    """Reported, not judged: DDP's seconds over ZeRO-1's."""
    seconds = run_ranks(f"{__name__}:zero_and_ddp", 2)[0]
    ratio = seconds["ddp_s"] / seconds["zero1_s"]
    print(json.dumps({"benchmark": "zero1_vs_ddp", "ratio": round(ratio, 3), **seconds}))
    assert ratio > 0
