"""A tiny recognizer learns four drawn people, resumes exactly, and is loaded as it was."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.config import AugmentConfig, load
from factory.errors import CheckpointError, ConfigError
from factory.images import to_network, to_uint8
from factory.recognition import training_step as training
from factory.recognition.augmentation import NUM_DRAWS, augment
from factory.recognition.backbone import SHAPES, IResNet
from factory.recognition.embed import Recognizer
from factory.recognition.train import check, learning_rate, margin_at, train
from factory.sources import open_source, read_faces
from tests.conftest import PX

RECIPE = [
    "source.kind=folder",
    f"source.image_px={PX}",
    "compute.precision=fp32",
    "training.save_every_s=10000",
    "recognizer.backbone=iresnet_mini",
    "recognizer.embedding_dim=16",
    "recognizer.num_virtual=8",
    "recognizer.batch_size=6",
    "recognizer.epochs=20",
    "recognizer.margin_m=0.2",
    "recognizer.margin_free=0.5",
    "recognizer.scale=16",
    "recognizer.lr=0.02",
]


@pytest.fixture
def recipe(people, tmp_path):
    def make(*dotlist):
        (tmp_path / "c.yaml").write_text("{}\n")
        return load(tmp_path / "c.yaml", [*RECIPE, f"source.path={people}", *dotlist])

    return make


def quiet(line):
    return None


def faces_of(config):
    return read_faces(open_source(config.source), 0.0)


def test_learns_and_reports(recipe, people, tmp_path):
    config = recipe(
        f"training.out={tmp_path / 'out'}", "training.log_every=10", f"source.heldout={people}"
    )
    faces, lines = faces_of(config), []
    metrics = train(config, lines.append)
    assert "images/s" in lines[-1]
    assert metrics["heldout"]["auc"] > 0.95
    pairs = {"real_real", "real_virtual", "virtual_virtual"}
    assert set(metrics["geometry"]) == pairs | {"to_start", "real_span"}
    metadata = json.loads((tmp_path / "out" / "checkpoint.json").read_text())
    assert metadata["metrics"] == metrics
    loaded = Recognizer.load(str(tmp_path / "out"), torch.device("cpu"))
    unit = loaded.embed(faces.images_NHWC)
    assert np.allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
    own = (unit * loaded.unit_real[faces.labels]).sum(1)
    assert own.mean() > (unit @ loaded.unit_real.T).mean() + 0.2


def test_resume_gives_the_same_weights(recipe, tmp_path):
    def weights(*parts):
        for steps in parts:
            config = recipe(
                f"training.out={tmp_path / str(parts)}",
                f"training.max_steps={steps}",
                "recognizer.margin_free=1",
                "recognizer.schedule=step",
            )
            train(config, quiet)
        return (tmp_path / str(parts) / "weights.safetensors").read_bytes()

    assert weights(6) == weights(3, 6)


def test_a_resume_with_another_recipe_is_refused(recipe, tmp_path):
    begun = recipe(f"training.out={tmp_path}", "training.max_steps=1")
    train(begun, quiet)
    other = recipe(f"training.out={tmp_path}", "recognizer.lr=0.07")
    with pytest.raises(CheckpointError, match=r"training\.out: .* begun with other settings"):
        train(other, quiet)


@pytest.mark.parametrize(("asked", "written"), [([], "unit"), (["raw"], "raw")])
def test_a_checkpoint_says_what_its_verification_sums(recipe, tmp_path, asked, written):
    items = [f"recognizer.mirror_sum={value}" for value in asked]
    train(recipe(f"training.out={tmp_path}", "training.max_steps=1", *items), quiet)
    loaded = Recognizer.load(str(tmp_path), torch.device("cpu"))
    assert loaded.mirror_sum == written
    assert checkpoint.load(str(tmp_path), "recognizer", "x").config["mirror_sum"] == written


def test_margin_and_learning_rate_schedules(recipe):
    recognizer = recipe("recognizer.margin_ramp=0.25", "recognizer.warmup_epochs=1").recognizer
    margins = [margin_at(recognizer, p) for p in (0.0, 0.49, 0.625, 1.0)]
    assert margins == pytest.approx([0.0, 0.0, 0.1, 0.2])
    assert learning_rate(recognizer, 0, 10, 100) == pytest.approx(0.002)
    assert learning_rate(recognizer, 20, 10, 100) == pytest.approx(0.02)


class Handed:
    """What a training gives to its parts, step by step."""

    def __init__(self, monkeypatch):
        self.margins, self.lrs, self.decays, self.virtual, self.noise = [], [], [], [], []
        self.losses, self.quality, self.backward, self.engine = [], [], [], {}
        handed = self

        class Recording(training.Prototypes):
            def loss(self, *args, **options):
                handed.margins.append(options["margin"])
                handed.virtual.append(args[2])
                handed.noise.append(args[3])
                loss = super().loss(*args, **options)
                handed.losses.append(loss.item())
                return loss

            def step(self, lr, *args, **options):
                handed.lrs.append(lr)
                super().step(lr, *args, **options)

            def average(self, decay):
                handed.decays.append(decay)
                super().average(decay)

        def start_engine(model, optimizer, *args, **options):
            handed.optimizer = optimizer([torch.nn.Parameter(torch.ones(1))])
            handed.engine = options
            engine = real_start(model, optimizer, *args, **options)
            real_backward = engine.backward

            def backward(loss):
                handed.backward.append(loss.item())
                real_backward(loss)

            monkeypatch.setattr(engine, "backward", backward)
            return engine

        def recorded_quality(*args):
            loss = real_quality(*args)
            handed.quality.append(loss.item())
            return loss

        real_start, real_quality = training.start_engine, training.quality_loss
        monkeypatch.setattr(training, "Prototypes", Recording)
        monkeypatch.setattr(training, "start_engine", start_engine)
        monkeypatch.setattr(training, "quality_loss", recorded_quality)


def test_a_training_hands_on_what_its_recipe_says(recipe, tmp_path, monkeypatch):
    """Margin, learning rates, virtual classes, quality loss, averages and SGD of METHODS 1."""
    handed = Handed(monkeypatch)
    config = recipe(
        f"training.out={tmp_path / 'out'}",
        "training.max_steps=6",
        "recognizer.margin_ramp=0.25",
        "recognizer.warmup_epochs=1",
        "recognizer.weight_decay=0.03",
        "recognizer.quality_weight=7",
        "recognizer.ema=0.9",
    )
    train(config, quiet)
    one = config.recognizer
    progress = [step / 6 for step in range(6)]
    assert handed.margins == pytest.approx([margin_at(one, p) for p in progress])
    assert len(set(handed.margins)) > 2
    assert handed.lrs == pytest.approx([learning_rate(one, step, 2, 6) for step in range(6)])
    assert handed.decays == pytest.approx([(1 + t) / (10 + t) for t in range(1, 7)])
    for virtual in handed.virtual:
        assert sorted(virtual.tolist()) == sorted(set(virtual.tolist()))
    noise = torch.cat(handed.noise).double()
    assert float(noise.mean()) == pytest.approx(0, abs=0.15)
    assert float(noise.square().mean()) == pytest.approx(1, abs=0.2)
    wanted = [a + 7 * b for a, b in zip(handed.losses, handed.quality, strict=True)]
    assert handed.backward == pytest.approx(wanted, rel=1e-5)
    (group,) = handed.optimizer.param_groups
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 0.03)
    assert handed.engine["grad_clip"] == 5.0


def test_learning_rates_in_closed_form(recipe):
    """Two epochs of warm-up, then half a cosine; or a tenth at each milestone in epochs."""
    cosine = recipe("recognizer.warmup_epochs=2", "recognizer.schedule=cosine").recognizer
    for step, rise in ((0, 0.05), (9, 0.5), (19, 1.0), (50, 1.0), (99, 1.0)):
        wanted = 0.02 * rise * (1 + math.cos(math.pi * step / 100)) / 2
        assert learning_rate(cosine, step, 10, 100) == pytest.approx(wanted)
    settings = ("recognizer.schedule=step", "recognizer.milestones=[3,5]")
    steps = recipe(*settings, "recognizer.warmup_epochs=0").recognizer
    rates = [learning_rate(steps, step, 10, 100) for step in (0, 29, 30, 49, 50, 99)]
    assert rates == pytest.approx([0.02, 0.02, 2e-3, 2e-3, 2e-4, 2e-4])


@pytest.mark.parametrize("name", SHAPES)
def test_every_backbone_embeds(name):
    network = IResNet(name, 32, image_px=48).eval()
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 48, 48)).shape == (1, 32)


def test_reference_sizes():
    count = sum(p.numel() for p in IResNet("iresnet50", 512).parameters())
    assert count == pytest.approx(43.6e6, rel=0.01)


def test_images_survive_the_round_trip():
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    assert np.array_equal(to_uint8(to_network(images)), images)


def test_augmentation_repeats_with_its_numbers_and_stays_in_range():
    x = torch.rand(8, 3, 32, 32) * 2 - 1
    config = AugmentConfig(crop=0.8, erase=0.1, jitter=0.3)
    uniform = torch.rand(8, NUM_DRAWS, generator=torch.Generator().manual_seed(5))
    twice = [augment(x, config, uniform) for _ in range(2)]
    assert torch.equal(*twice)
    assert twice[0].abs().max() <= 1
    assert not torch.equal(twice[0], x)


def test_flip_alone_flips_about_half():
    x = torch.arange(4.0).expand(200, 3, 4, 4)
    uniform = torch.rand(200, NUM_DRAWS, generator=torch.Generator().manual_seed(0))
    flipped = augment(x, AugmentConfig(), uniform)
    fraction = float((flipped[:, 0, 0, 0] == 3).float().mean())
    assert 0.35 < fraction < 0.65


def test_quality_head_is_trained_along_and_loaded(recipe, tmp_path):
    config = recipe(
        f"training.out={tmp_path / 'out'}", "recognizer.quality_weight=10", "training.max_steps=60"
    )
    train(config, quiet)
    recognizer = Recognizer.load(str(tmp_path / "out"), torch.device("cpu"))
    faces = faces_of(config)
    unit = recognizer.embed(faces.images_NHWC)
    own = (unit * recognizer.unit_real[faces.labels]).sum(1)
    quality = recognizer.cr_fiqa(faces.images_NHWC)
    assert abs(quality.mean() - own.mean()) < 0.3 < own.mean()  # about CCS / (NNCCS + 1), not 0


def test_verifies_while_it_trains(recipe, people, tmp_path):
    (tmp_path / "pairs.txt").write_text("1\nperson_0\t0\t1\nperson_0\t0\tperson_1\t1\n")
    lines = []
    config = recipe(
        f"training.out={tmp_path / 'out'}",
        "training.eval_every=5",
        "training.max_steps=12",
        "training.log_every=4",
        f"source.heldout={people}",
    )
    train(config, lines.append)
    history = [json.loads(x) for x in (tmp_path / "out" / "history.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in history if "heldout" in entry] == [5, 10]
    logged = [entry for entry in history if "loss" in entry]
    assert [entry["step"] for entry in logged] == [4, 8, 12]
    assert all(entry["lr"] > 0 and entry["grad_norm"] > 0 for entry in logged)
    assert any(line.startswith("step 10/12 held out: AUC") for line in lines)


@pytest.mark.parametrize(
    "change",
    [
        "recognizer.sample_rate=0.5",
        "recognizer.margin=adaface",
        "recognizer.ema=0.9",
        "recognizer.virtual_per_step=none",
        "compute.accumulate=3",
        "recognizer.dropout=0.4",
        "compute.activation_checkpointing=true",
        "batches.num_workers=1",
        "batches.balance=class",
    ],
)
def test_a_resume_gives_the_same_weights_with(recipe, tmp_path, change):
    def weights(*parts):
        for steps in parts:
            out = f"training.out={tmp_path / str(len(parts))}"
            fixed = ("recognizer.margin_free=1", "recognizer.schedule=step")
            train(recipe(out, f"training.max_steps={steps}", *fixed, change), quiet)
        return (tmp_path / str(len(parts)) / "weights.safetensors").read_bytes()

    assert weights(4) == weights(2, 4)


def test_checkpointing_changes_neither_gradients_nor_statistics():
    x = torch.randn(4, 3, 32, 32)
    results = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        network = IResNet("iresnet_mini", 8, 32, checkpointing=checkpointing).train()
        network(x).square().sum().backward()
        results.append((network.stem[0].weight.grad, dict(network.named_buffers())))
    torch.testing.assert_close(results[0][0], results[1][0])
    for name, buffer in results[0][1].items():
        if "num_batches" not in name:
            torch.testing.assert_close(buffer, results[1][1][name])


def test_frozen_norms_do_not_move(recipe, tmp_path):
    config = recipe(
        f"training.out={tmp_path / 'out'}", "recognizer.batch_norm=frozen", "training.max_steps=2"
    )
    train(config, quiet)
    loaded = checkpoint.load(str(tmp_path / "out"), "recognizer", "k")
    assert (loaded.tensors["backbone.norm.running_mean"] == 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("recognizer.batch_norm=synced", "on CPUs, where torch has no such norm"),
        ("training.eval_every=5", "with nothing to verify on"),
        ("compute.num_ranks=4", r"recognizer\.batch_size: got 6 for 4 ranks"),
        ("recognizer.batch_size=5", None),
    ],
)
def test_what_cannot_be_trained_is_refused(recipe, change, message):
    config = recipe(change)
    if message is None:
        check(config)
        return
    with pytest.raises(ConfigError, match=message):
        check(config)
