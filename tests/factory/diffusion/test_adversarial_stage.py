"""The adversarial stage: its gradient, what it leaves alone, how it is chained and resumed."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from factory import checkpoint
from factory.diffusion import autoencoder as first_stage
from factory.diffusion.acceptance import check_accepted
from factory.diffusion.adversarial_stage import (
    FIRST_STAGE,
    AdversarialFigures,
    AdversarialLoss,
    open_judge,
    stages,
)
from factory.diffusion.autoencoder import Autoencoder, blocks_of
from factory.diffusion.discriminator import EPSILON, PatchDiscriminator
from factory.diffusion.reconstruction import HELDOUT, compare
from factory.diffusion.remeasure import figures_of
from factory.errors import CheckpointError, ConfigError
from factory.images import to_network
from factory.recognition.embed import Recognizer
from tests.conftest import PX
from tests.factory.diffusion.conftest import CPU, faces_of, quiet
from tests.factory.diffusion.test_reconstruction import Faces, Shifted, Turning


@pytest.fixture
def sharp(recipe, weights, tmp_path):
    """Function of extra dotlist items -> a config of that stage alone, three steps of it."""

    def make(*dotlist):
        return recipe(
            f"autoencoder.init_from={weights / 'autoencoder'}",
            "autoencoder.epochs=0",
            "autoencoder.adversarial_epochs=5",
            "autoencoder.adversarial_batch_size=6",
            "autoencoder.adversarial_warmup_steps=2",
            "autoencoder.discriminator_width=4",
            "training.max_steps=3",
            "source.license=CC0-1.0",
            f"judge.checkpoint={weights / 'judge'}",
            *dotlist,
        )

    return make


def run(config, log=quiet):
    """Train all stages; the metrics of the last."""
    return [train(stage, log) for train, stage in stages(config)][-1]


def test_the_gradient_is_that_of_both_losses(sharp, weights):
    """Plain back-propagation of error + strength * w * (-D(y)), with w by its definition."""
    config = sharp()
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(4).eval()
    recipe = stages(config)[0][1].autoencoder
    model = AdversarialLoss(recipe, recognizer, discriminator)
    start = first_stage.start_of(recipe)
    first_stage.init_from(model.network, recipe, start)
    x = to_network(faces_of(config).images_NHWC[:3])
    loss, y, (error, adversarial, weight) = model(x, torch.tensor(0.3))
    loss.backward()
    ours = {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}
    assert all(
        p.grad is None for p in (*discriminator.parameters(), *model.network.encoder.parameters())
    )

    model.zero_grad()
    mean = model.network.encoder(blocks_of(x, 2))[:, :4]
    plain_y = F.pixel_shuffle(model.network.decoder(mean), 2)
    plain_error = (plain_y - x).abs().mean() + 0.5 * model.perceptual(plain_y, x)
    plain_adversarial = -discriminator(plain_y).mean()
    last = model.network.decoder.conv_out.weight
    lengths = [
        torch.autograd.grad(part, last, retain_graph=True)[0].norm()
        for part in (plain_error, plain_adversarial)
    ]
    wanted = 0.3 * lengths[0] / (lengths[1] + EPSILON)
    plain = plain_error + wanted.detach() * plain_adversarial
    for got, value in ((weight, wanted), (error, plain_error), (adversarial, plain_adversarial)):
        assert got.item() == pytest.approx(value.item(), rel=1e-4)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-4)
    torch.testing.assert_close(y, plain_y.detach())
    plain.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(ours[name], parameter.grad, atol=1e-6, rtol=1e-3)


def test_latents_are_the_same_to_the_bit_and_generators_stay_valid(sharp, weights, tmp_path):
    metrics = run(sharp())
    before = Autoencoder.load(str(weights / "autoencoder"), CPU, "fp32")
    after = Autoencoder.load(str(tmp_path / "out"), CPU, "fp32")
    images = faces_of(sharp()).images_NHWC
    assert torch.equal(before.encode(images), after.encode(images))
    old, new = before.network.state_dict(), after.network.state_dict()
    moved = {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert moved == {"decoder"}
    assert after.latents_of == [before.sha256]
    assert after.finetuned_from == [before.sha256]
    with_sharp = sharp(
        f"autoencoder.checkpoint={tmp_path / 'out'}",
        f"generator.checkpoint={weights / 'generator'}",
    )
    figures_of(with_sharp, "generator", dry_run=True)  # which refuses other autoencoders
    assert metrics["judge"] == "judge"


def test_another_autoencoder_is_still_refused(sharp, recipe, weights, tmp_path):
    other = recipe("training.max_steps=1", f"training.out={tmp_path / 'other'}")
    first_stage.train(other, quiet)
    run(sharp(f"autoencoder.init_from={tmp_path / 'other'}"))
    wrong = sharp(
        f"autoencoder.checkpoint={tmp_path / 'out'}",
        f"generator.checkpoint={weights / 'generator'}",
    )
    with pytest.raises(CheckpointError, match=r"^autoencoder\.checkpoint: has sha256"):
        figures_of(wrong, "generator", dry_run=True)


def test_a_stage_that_was_stopped_ends_as_one_that_was_not(sharp, tmp_path):
    def stop(line):
        if line.startswith("step 2/3"):
            raise KeyboardInterrupt

    saved = ("training.save_every_s=0", "training.log_every=1")
    run(sharp(f"training.out={tmp_path / 'whole'}", *saved))
    parts = sharp(f"training.out={tmp_path / 'parts'}", *saved)
    with pytest.raises(KeyboardInterrupt):
        run(parts, stop)
    run(parts)
    whole, again = (tmp_path / name / "weights.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == again.read_bytes()
    lines = (tmp_path / "parts" / "history.jsonl").read_text().splitlines()
    rises = [json.loads(line)["lr"] for line in lines]
    assert rises == pytest.approx([1e-4, 2e-4, 2e-4])  # a rise over two steps, then a fall
    assert {"error", "adversarial", "adversarial_weight", "discriminator_loss"} <= set(
        json.loads(lines[0])
    )


def test_both_stages_by_one_config(sharp, tmp_path):
    """The first is not trained again by a second call; its recipe says nothing of the second."""
    both = sharp("autoencoder.epochs=1", "autoencoder.init_from=null")
    trainings = stages(both)
    assert [config.training.out for _, config in trainings] == [
        f"{tmp_path / 'out'}/{FIRST_STAGE}",
        str(tmp_path / "out"),
    ]
    assert trainings[0][1].autoencoder.adversarial_epochs == 0
    run(both)
    first = tmp_path / "out" / FIRST_STAGE
    written = (first / checkpoint.METADATA).read_bytes()
    lines: list[str] = []
    again = run(both, lines.append)
    assert (first / checkpoint.METADATA).read_bytes() == written
    assert not [line for line in lines if line.startswith("step ")]
    assert again == checkpoint.read_metadata(str(tmp_path / "out"), "autoencoder", "k")["metrics"]
    start = checkpoint.read_metadata(str(first), "autoencoder", "k")
    last = checkpoint.read_metadata(str(tmp_path / "out"), "autoencoder", "k")
    assert last["lineage"]["start"] == start["sha256"]
    assert last["config"]["latents_of"] == [start["sha256"]]
    plain = sharp("autoencoder.epochs=1", "autoencoder.adversarial_epochs=0")
    assert stages(plain) == [(first_stage.train, plain)]


def test_the_decoder_is_measured_before_and_after(sharp):
    metrics = run(sharp("source.holdout_identities=2"))
    for figures in (metrics, metrics["before"]):
        assert {"psnr_db", "identity_cosine_mean", "judge_cosine_mean"} <= set(figures)
        assert {"sharpness", "sharpness_originals", "checkerboard"} <= set(figures)
        assert figures["faces"] == HELDOUT
    assert metrics["accepted"] is not bool(metrics["lost"])


def test_a_sharper_decoder_must_lose_neither_pixels_nor_identity():
    """The second has an error of 51 levels instead of 5; by the judge it is 60 degrees away."""
    faces = Faces(3)
    worse = compare(Shifted(5), Shifted(51), Turning(), faces, HELDOUT, None)
    assert worse["lost"] == ["psnr_db 13.9794, before 34.1514"]
    assert worse["accepted"] is False
    better = compare(Shifted(51), Shifted(5), Turning(), faces, HELDOUT, None)
    assert (better["lost"], better["accepted"]) == ([], None)  # no judge has looked
    assert better["before"]["psnr_db"] == pytest.approx(13.9794, abs=1e-4)
    for after, accepted in ((100, None), (101, None), (102, False)):  # -0, -.086 and -.172 dB
        figures = compare(Shifted(100), Shifted(after), Turning(), faces, HELDOUT, None)
        assert figures["accepted"] is accepted

    class Judge(Turning):
        """Sees each reconstruction as farther from its original than the last."""

        def embed(self, images_NHWC):
            turn = self.calls // 2 * (self.calls % 2) * self.by
            self.calls += 1
            return np.tile(np.float32([np.cos(turn), np.sin(turn)]), (len(images_NHWC), 1))

    judge = Judge()
    judge.by = 0.5
    lost = compare(Shifted(5), Shifted(5), Turning(), faces, HELDOUT, judge)
    assert lost["lost"] == [f"judge_cosine_mean {np.cos(0.5):.4f}, before 1.0000"]
    assert lost["accepted"] is False
    judge = Judge()
    judge.by = 0.0
    kept = compare(Shifted(5), Shifted(5), Turning(), faces, HELDOUT, judge)
    assert (kept["lost"], kept["accepted"]) == ([], True)


def test_whoever_uses_a_decoder_that_lost_is_told(recipe):
    metrics = {"psnr_db": 30.0, "identity_cosine_mean": 0.9, "lost": ["psnr_db 30, before 31"]}
    remarks = check_accepted(recipe().acceptance, {"autoencoder": ("a", {"metrics": metrics})})
    assert remarks == [
        "autoencoder.checkpoint a: its adversarial stage is not accepted: psnr_db 30, before 31; "
        "the autoencoder that it began with is better there"
    ]


def test_who_judges(sharp, weights):
    recognizer = Recognizer.load(str(weights / "recognizer"), CPU)
    judge, name = open_judge(sharp(), recognizer, quiet)
    assert judge is not None
    assert name == "judge"
    assert open_judge(sharp("judge.checkpoint=null"), recognizer, quiet)[0] is None
    same = Recognizer.load(str(weights / "judge"), CPU)
    assert open_judge(sharp(), same, quiet)[1].startswith("n/a: judge.checkpoint has the weights")
    with pytest.raises(CheckpointError, match=r"judge\.checkpoint"):
        open_judge(sharp("judge.checkpoint=nowhere"), recognizer, quiet)


def test_figures_are_means_between_two_lines():
    figures = AdversarialFigures()
    figures.add(torch.tensor([1.0, 2.0, 3.0]), torch.tensor(4.0))
    figures.add(torch.tensor([3.0, 4.0, 5.0]), torch.tensor(0.0))
    assert figures.take() == {
        "error": 2.0,
        "adversarial": 3.0,
        "adversarial_weight": 4.0,
        "discriminator_loss": 2.0,
    }
    assert figures.take() == {}


def test_settings_that_cannot_be(sharp):
    with pytest.raises(ConfigError, match=r"autoencoder\.adversarial_epochs: got 5 with autoenc"):
        sharp("autoencoder.init_from=null")
    with pytest.raises(
        ConfigError, match=r"autoencoder\.adversarial_epochs: got 5 with\s?.*stage=3"
    ):
        sharp("compute.zero_stage=3")


def test_other_settings_of_the_stage_are_another_training(sharp):
    run(sharp())
    with pytest.raises(CheckpointError, match="other settings or faces"):
        run(sharp("autoencoder.adversarial_weight=0.7", "training.max_steps=4"))
    assert dataclasses.asdict(sharp().autoencoder)["adversarial_weight"] == 0.5
    assert PX == 32
