"""No step of a training waits for its GPU: the meta device stands in for it (tests/fake_gpu.py)."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import pytest
import torch

from factory.config import (
    AugmentConfig,
    ComputeConfig,
    GeneratorConfig,
    RecognizerConfig,
    load,
)
from factory.diffusion.autoencoder import train as train_autoencoder
from factory.diffusion.loss_by_noise_level import LossByNoiseLevel
from factory.diffusion.train import GeneratorLoss
from factory.diffusion.train import train as train_generator
from factory.diffusion.uvit import Shape
from factory.recognition.backbone import IResNet
from factory.recognition.train import train as train_recognizer
from factory.training.ema import EMA
from factory.training.engine import start_engine
from factory.training.run import TrainingRun
from factory.training.run_state import RunState
from factory.training.schedules import adamw
from tests.factory.diffusion.conftest import quiet, recipe  # noqa: F401
from tests.factory.recognition.test_train import RECIPE
from tests.fake_gpu import DEVICE, FakeGpu, HostSync, use_fake_gpu
from tests.recognizer_step import RecognizerSteps

PX, DIM, BATCH = 32, 16, 6


@pytest.mark.parametrize(
    "waits",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).all()),
        lambda x: float(x[0]),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.unique(),
        lambda x: x.masked_select(x > 0),
        lambda x: x.index_put_((x > 0,), x),
        lambda x: x + torch.ones(4).to(DEVICE),
        lambda x: x.copy_(torch.ones(4)),
    ],
)
def test_what_waits_for_a_gpu_raises(waits):
    x = torch.ones(4, device=DEVICE)
    with FakeGpu(), pytest.raises((HostSync, RuntimeError, NotImplementedError)):
        waits(x)


def test_what_does_not_wait_passes_and_its_bytes_are_counted():
    with FakeGpu() as gpu:
        x = torch.ones(4).to(DEVICE, non_blocking=True)
        x.copy_(torch.ones(4), non_blocking=True)
        y = x * 2
        view = y[torch.zeros(2, dtype=torch.long)].view(1, 2)
        assert (gpu.live_bytes, gpu.peak_bytes) == (16 + 16 + 8, 40)
        del y, view
        assert (gpu.live_bytes, gpu.peak_bytes) == (16, 40)


@pytest.mark.parametrize(
    ("changes", "compute", "world"),
    [
        ({}, {}, 1),
        ({"num_virtual": 40}, {}, 1),
        ({"num_virtual": 40}, {}, 4),
        ({"num_virtual": 400, "sample_rate": 0.5, "margin": "adaface"}, {}, 1),
        ({"num_virtual": 400, "sample_rate": 0.5}, {"accumulate": 2}, 2),
        ({"quality_weight": 1.0, "ema": 0.9, "dropout": 0.2}, {}, 4),
        ({"augment": AugmentConfig(crop=0.8, jitter=0.2, erase=0.3)}, {}, 1),
        ({}, {"activation_checkpointing": True, "tf32": True}, 1),
    ],
)
def test_a_recognizers_step_does_not_wait(monkeypatch, changes, compute, world):
    use_fake_gpu(monkeypatch)
    config = RecognizerConfig(
        backbone="iresnet_mini", embedding_dim=DIM, batch_size=BATCH, **changes
    )
    steps = RecognizerSteps(config, ComputeConfig(precision="fp32", **compute), PX, 50, world)
    with FakeGpu():
        for step in range(2):
            assert steps.run(step).device == DEVICE


class Frozen:
    """What a generator's losses need of a recognizer."""

    def __init__(self):
        self.backbone = IResNet("iresnet_mini", DIM, PX).to(DEVICE).requires_grad_(False)

    def unit_features(self, x_BCHW):
        return torch.nn.functional.normalize(self.backbone(x_BCHW))


@pytest.mark.parametrize(
    "changes",
    [
        {"identity_weight": 0.0},
        {"identity_weight": 1.0, "identity_batch": 3, "identity_dropout": 0.5},
        {"similarity_tokens": 2, "loss_weighting": "min_snr", "prediction": "epsilon"},
    ],
)
def test_a_generators_step_does_not_wait(monkeypatch, changes):
    use_fake_gpu(monkeypatch)
    config = GeneratorConfig(space="pixels", **changes)
    shape = Shape(3, PX, 8, None, 32, 3, 2, DIM, similarity_tokens=config.similarity_tokens)
    model = GeneratorLoss(config, shape, lambda x: x, Frozen())
    run, recorded = TrainingRun.__new__(TrainingRun), []
    run._engine = start_engine(
        model, adamw(1e-3, 0.1), ComputeConfig(precision="fp32"), grad_clip=1.0
    )
    run._part, run._losses, run._ema = "network", [], EMA(run._engine.module.network, 0.9)
    run.state = SimpleNamespace(record=lambda loss, lr, norm: recorded.append((loss, norm)))
    by_level = LossByNoiseLevel(config.num_timesteps)
    model.schedule.alpha_bar_on(DEVICE)  # copied once in a training
    with FakeGpu():
        for _ in range(2):
            x, noise = torch.randn(2, BATCH, 3, PX, PX)
            t_B = torch.randint(0, config.num_timesteps, (BATCH,))
            unit_BD = torch.randn(BATCH, DIM)
            dropout_BW = torch.rand(BATCH, 32) if config.identity_dropout else None
            loss, error_B = run(x, noise, t_B, unit_BD, unit_BD, torch.rand(BATCH), dropout_BW)
            run.backward(loss)
            by_level.add(t_B, error_B)
            run.update(1e-3)
    assert [(loss.device, norm.device) for loss, norm in recorded] == [(DEVICE, DEVICE)] * 2


class TwoSteps(Exception):
    """A training has taken two steps without waiting."""


@pytest.fixture
def two_steps(monkeypatch):
    """Let the loops take a step that may wait (for what is copied once), and two that may not."""

    def steps(self, total, batch_size, save):
        yield 0
        with FakeGpu():
            yield from (1, 2)
        raise TwoSteps

    use_fake_gpu(monkeypatch)
    monkeypatch.setattr(RunState, "steps", steps)


def test_the_loop_of_a_recognizer_does_not_wait(two_steps, people, tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    dotlist = [*RECIPE, f"source.path={people}", f"training.out={tmp_path}", "recognizer.ema=0.9"]
    with pytest.raises(TwoSteps):
        train_recognizer(load(tmp_path / "c.yaml", dotlist), quiet)


@pytest.mark.parametrize("train", [train_generator, train_autoencoder])
def test_the_loop_of_a_diffusion_model_does_not_wait(two_steps, request, train):
    make = request.getfixturevalue("recipe")
    settings = ["generator.space=pixels", "generator.patch=4", "generator.identity_weight=0"]
    with pytest.raises(TwoSteps):
        train(make(*settings, "autoencoder.perceptual_weight=0", "autoencoder.block=2"), quiet)


def test_the_fake_gpu_is_not_left_behind():
    with contextlib.suppress(HostSync), FakeGpu():
        torch.ones(2, device=DEVICE).cpu()
    assert torch.ones(2).sum().item() == 2
