"""An inpainting network begins as the generator it is made of, and learns to fill a region."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.config import load
from factory.diffusion.uvit import UViT
from factory.editing import uvit_inpainting
from factory.editing.training_examples import AS_IS
from factory.editing.uvit_inpainting import (
    CHANNELS,
    HINT_CHANNELS,
    InpaintingLoss,
    init_from,
    inpainting_hint,
    shape_of,
    train,
)
from factory.errors import CheckpointError
from tests.conftest import DIM, PX, tiny_dotlist
from tests.recorded import record_batches


@pytest.fixture
def start(weights):
    return checkpoint.load(str(weights / "generator"), "generator", "generator.checkpoint")


def networks(start):
    shape = shape_of(start, PX)
    plain, inpainting = UViT(dataclasses.replace(shape, hint_channels=0)), UViT(shape)
    plain.load_state_dict(start.tensors)
    init_from(inpainting, start)
    return plain.eval(), inpainting.eval()


def test_it_begins_as_the_generator_to_the_bit(start):
    plain, inpainting = networks(start)
    x, t_B = torch.randn(2, 4, PX // 4, PX // 4), torch.tensor([3, 70])
    unit_BD = torch.nn.functional.normalize(torch.randn(2, DIM))
    hint = torch.randn(2, HINT_CHANNELS, PX, PX)
    with torch.no_grad():
        assert inpainting(x, t_B, unit_BD, hint_BSHW=hint).equal(plain(x, t_B, unit_BD))
        inpainting.hint.weight.normal_()
        assert not inpainting(x, t_B, unit_BD, hint_BSHW=hint).equal(plain(x, t_B, unit_BD))


def test_a_hint_holds_nothing_of_the_region():
    images = np.full((2, 4, 4, 3), 255, np.uint8)
    alpha = np.zeros((2, 4, 4), np.float32)
    alpha[:, 2:] = 1
    hint = inpainting_hint(images, alpha, ["mask", AS_IS])
    assert (hint[:, :3, :2] == 1).all()
    assert (hint[:, :3, 2:] == 0).all()
    for row, kind in enumerate(("mask", AS_IS)):
        channel = 3 + CHANNELS.index(kind)
        assert hint[row, channel].equal(torch.from_numpy(alpha[row]))
        others = [c for c in range(3, HINT_CHANNELS) if c != channel]
        assert not hint[row, others].any()


@pytest.mark.parametrize(("weight", "wanted"), [(0.0, 5.0), (4.0, 46 / 6)])
def test_the_error_weighs_more_in_the_region(start, weight, wanted):
    """An untrained network predicts 0: errors 9 in the region, 1 outside; (5*9 + 1*1) / (5 + 1)."""
    model = InpaintingLoss(shape_of(start, PX), 100, "x0", weight)
    x, region = torch.ones(2, 4, PX // 4, PX // 4), torch.zeros(2, 1, PX // 4, PX // 4)
    x[:, :, : PX // 8], region[:, :, : PX // 8] = 3, 1
    unit_BD, hint = torch.zeros(2, DIM), torch.zeros(2, HINT_CHANNELS, PX, PX)
    loss = model(x, torch.randn_like(x), torch.tensor([3, 70]), unit_BD, hint, region)
    assert float(loss.detach()) == pytest.approx(wanted)


@pytest.fixture
def training(people, weights, tmp_path):
    file = tmp_path / "inpainting.yaml"
    file.write_text("{}\n")
    settings = ["inpainting_training.batch_size=4", "training.max_steps=4", "training.log_every=1"]
    settings += ["compute.precision=fp32", f"training.out={tmp_path / 'editor'}"]

    def make(*dotlist):
        return load(file, [*tiny_dotlist(people, weights, tmp_path), *settings, *dotlist])

    return make


def test_it_trains_and_tells_its_lineage(training, weights, tmp_path):
    metrics = train(training(), log=lambda line: None)
    assert metrics["final_loss"] > 0
    loaded = checkpoint.load(str(tmp_path / "editor"), "editor", "editing.checkpoint")
    assert loaded.tensors["hint.weight"].abs().max() > 0
    named = {
        kind: json.loads((weights / kind / "checkpoint.json").read_text())["sha256"]
        for kind in ("generator", "recognizer", "autoencoder")
    }
    assert loaded.lineage == named


def test_it_does_not_begin_with_a_student(training, weights, tmp_path):
    loaded = checkpoint.load(str(weights / "generator"), "generator", "k")
    loaded.config["distilled"] = {"num_steps": 4, "guidance": 1.5}
    checkpoint.save(tmp_path / "student", loaded)
    with pytest.raises(CheckpointError, match=r"^generator\.checkpoint: is a distilled student"):
        train(training(f"generator.checkpoint={tmp_path / 'student'}"), log=lambda line: None)


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not(training, tmp_path):
    whole = training(f"training.out={tmp_path / 'whole'}", "training.save_every_s=0")
    train(whole, log=lambda line: None)
    cut = training(f"training.out={tmp_path / 'cut'}", "training.save_every_s=0")
    with pytest.raises(KeyboardInterrupt):
        train(cut, log=stop_at_step_3)
    train(cut, log=lambda line: None)
    first, again = (
        checkpoint.load(str(tmp_path / name), "editor", "x").tensors for name in ("whole", "cut")
    )
    assert all(first[name].equal(again[name]) for name in first)


def stop_at_step_3(line):
    if line.startswith("step 3/"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hint_channels": 5, "hint_px": PX}, "takes five points"),
        ({"seen_channels": 5, "seen_px": PX}, "takes five points"),  # a checkpoint of version 0.1
        ({"similarity_tokens": 4}, "takes similarities"),
    ],
)
def test_a_generator_with_another_hint_or_similarities_is_refused(start, fields, message):
    stored = {k: v for k, v in start.config["shape"].items() if not k.startswith("hint")}
    other = dataclasses.replace(start, config=start.config | {"shape": stored | fields})
    with pytest.raises(CheckpointError, match=rf"generator\.checkpoint: {message}"):
        shape_of(other, PX)


def test_a_generator_of_other_networks_is_refused(training, weights):
    with pytest.raises(CheckpointError, match=r"recognizer\.checkpoint: has sha256"):
        train(training(f"recognizer.checkpoint={weights / 'judge'}", "judge.checkpoint=null"))


def test_faces_are_mirrored_and_identities_dropped_as_often_as_told(training, monkeypatch):
    batches = record_batches(monkeypatch, uvit_inpainting, "InpaintingLoss")
    settings = ["inpainting_training.identity_dropout=0.3", "inpainting_training.drawn=0"]
    settings += ["inpainting_training.batch_size=12", "training.max_steps=20"]
    train(training(*settings, "inpainting_training.epochs=100"), log=lambda line: None)
    dropped = ~batches.all("condition_BD").any(1)
    assert len(dropped) == 240
    assert float(dropped.float().mean()) == pytest.approx(0.3, abs=0.12)  # four deviations
    assert len(torch.unique(batches.all("x_BCHW").flatten(1), dim=0)) == 2 * 12


@pytest.mark.parametrize(
    "setting",
    ["inpainting_training.region_weight=0", "inpainting_training.max_occluded_fraction=0.05"],
)
def test_settings_of_the_recipe_reach_the_loss(training, tmp_path, setting):
    """The first step starts from equal weights and draws, so only the setting tells them apart."""

    def first_loss(name, *changes):
        config = training(f"training.out={tmp_path / name}", "training.max_steps=1", *changes)
        train(config, lambda line: None)
        (line,) = (tmp_path / name / "history.jsonl").read_text().splitlines()
        return json.loads(line)["loss"]

    assert first_loss("plain") == first_loss("again") != first_loss("other", setting)


def test_faces_in_files_train_the_same_network(training, tmp_path):
    digests = set()
    for most in ("1000000", "0"):
        out = tmp_path / most
        train(
            training(f"training.out={out}", f"training.faces_in_memory_bytes={most}"),
            log=lambda line: None,
        )
        digests.add(checkpoint.read_metadata(str(out), "editor", "x")["sha256"])
    assert len(digests) == 1
    assert (tmp_path / "0/faces").exists()
