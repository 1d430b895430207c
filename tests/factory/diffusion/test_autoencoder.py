"""The autoencoder reconstructs better with training, and normalizes its latents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from factory import checkpoint
from factory.diffusion import autoencoder as autoencoding
from factory.diffusion.autoencoder import Autoencoder, AutoencoderLoss, encode_some
from factory.diffusion.train import train as train_generator
from factory.errors import CheckpointError, ConfigError
from factory.provenance.networks import records_of, starts_of
from factory.recognition.embed import Recognizer
from tests.conftest import PX
from tests.factory.diffusion.conftest import CPU, faces_of, quiet


def test_autoencoder_reconstructs_better_with_training(recipe, tmp_path):
    config = recipe("training.max_steps=80", "autoencoder.epochs=100", "autoencoder.lr=0.005")
    faces = faces_of(config)
    few = recipe("training.max_steps=1", f"training.out={tmp_path / 'few'}")
    before = autoencoding.train(few, quiet)
    after = autoencoding.train(config, quiet)
    assert after["psnr_db"] > before["psnr_db"] + 2
    loaded = Autoencoder.load(str(tmp_path / "out"), CPU, "fp32")
    z = loaded.encode(faces.images_NHWC)
    assert z.shape == (len(faces), 4, PX // 4, PX // 4)
    assert float(z.mean()) == pytest.approx(0, abs=1e-3)
    assert float(z.std((0, 2, 3)).mean()) == pytest.approx(1, abs=1e-2)


def test_a_training_that_was_stopped_ends_as_one_that_was_not(recipe, tmp_path):
    def stop(line):
        if line.startswith("step 3/4"):
            raise KeyboardInterrupt

    steps = ("training.max_steps=4", "training.log_every=1", "training.save_every_s=0")
    autoencoding.train(recipe(f"training.out={tmp_path / 'whole'}", *steps), quiet)
    parts = recipe(f"training.out={tmp_path / 'parts'}", *steps)
    with pytest.raises(KeyboardInterrupt):
        autoencoding.train(parts, stop)
    autoencoding.train(parts, quiet)
    whole, again = (tmp_path / name / "weights.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == again.read_bytes()


def test_another_augmentation_is_another_training(recipe):
    """It is the recognizer's section that says how images are augmented."""
    autoencoding.train(recipe("training.max_steps=1"), quiet)
    other = recipe("training.max_steps=2", "recognizer.augment.crop=0.8")
    with pytest.raises(CheckpointError, match=r"faces \(augment\.crop: 1\.0 there, 0\.8 asked"):
        autoencoding.train(other, quiet)


def test_faces_in_files_train_the_same_network(recipe, tmp_path):
    digests = set()
    for most in ("1000000", "0"):
        out = tmp_path / most
        settings = [f"training.out={out}", f"training.faces_in_memory_bytes={most}"]
        settings += ["source.holdout_identities=2", "training.max_steps=3"]
        autoencoding.train(recipe(*settings), quiet)
        digests.add(checkpoint.read_metadata(str(out), "autoencoder", "x")["sha256"])
    assert len(digests) == 1
    assert (tmp_path / "0" / "faces").exists()


def test_latents_of_evenly_spaced_faces_where_there_are_too_many(recipe):
    config = recipe()
    faces = faces_of(config)
    loaded = Autoencoder.load(config.autoencoder.checkpoint, CPU, "fp32")
    whole = loaded.encode(faces.images_NHWC)
    assert torch.equal(encode_some(loaded, faces, len(faces)), whole)
    some = loaded.encode(faces.images_NHWC[[0, 5, 11]])
    assert torch.equal(encode_some(loaded, faces, 3), some)


def test_the_loss_is_that_of_its_terms(recipe):
    """L1, KL to N(0, I), and distances of unit features at every stage and of embeddings."""
    config = recipe("autoencoder.kl_weight=0.3", "autoencoder.perceptual_weight=0.7")
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    torch.manual_seed(0)
    model = AutoencoderLoss(config.autoencoder, recognizer)
    x, noise = torch.rand(3, 3, PX, PX) * 2 - 1, torch.randn(3, 4, PX // 4, PX // 4)
    blocks = F.pixel_unshuffle(x, 2)
    mean, log_variance = model.network.encoder(blocks).double().chunk(2, 1)
    z = mean + noise * torch.sqrt(torch.exp(log_variance))
    y = F.pixel_shuffle(model.network.decoder(z.float()), 2)
    kl = ((mean**2 + log_variance.exp()) / 2 - (1 + log_variance) / 2).mean()
    backbone, terms = recognizer.backbone, []
    for made, wanted in zip(backbone.feature_maps(y), backbone.feature_maps(x), strict=True):
        terms.append(2 - 2 * F.cosine_similarity(made.double(), wanted.double()).mean())
    made, wanted = recognizer.unit_features(y), recognizer.unit_features(x)
    terms.append(1 - (made * wanted).sum(1).double().mean())
    expected = (y - x).abs().mean() + 0.3 * kl + 0.7 * torch.stack(terms).mean()
    torch.testing.assert_close(model(x, noise).double(), expected.double(), rtol=1e-4, atol=0)


def test_latents_have_mean_and_spread_taken_out_and_put_back(weights):
    stored = checkpoint.load(str(weights / "autoencoder"), "autoencoder", "k")

    def with_normal(mean: torch.Tensor, std: torch.Tensor) -> Autoencoder:
        normal = {"latent_mean": mean, "latent_std": std}
        return Autoencoder(replace(stored, tensors=stored.tensors | normal), CPU, "fp32")

    images = np.random.default_rng(0).integers(0, 256, (2, PX, PX, 3), np.uint8)
    plain = with_normal(torch.zeros(4), torch.ones(4))
    raw = plain.encode(images)
    mean, std = torch.linspace(-1, 1, 4), torch.linspace(0.5, 2, 4)
    normalized = with_normal(mean, std)
    wanted = (raw - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(normalized.encode(images), wanted)
    torch.testing.assert_close(normalized.decode(wanted), plain.decode(raw), atol=1e-4, rtol=1e-4)


def test_an_autoencoder_begins_with_another(recipe, weights, tmp_path):
    """Without a step nothing changes; the new one knows what it was begun with."""
    first = checkpoint.load(str(weights / "autoencoder"), "autoencoder", "k")
    begun = (f"autoencoder.init_from={weights / 'autoencoder'}", "training.max_steps=2")
    autoencoding.train(recipe(*begun, "autoencoder.lr=0"), quiet)
    after = checkpoint.load(str(tmp_path / "out"), "autoencoder", "k")
    for name in set(first.tensors) - {"latent_mean", "latent_std"}:
        assert torch.equal(after.tensors[name], first.tensors[name])
    assert after.lineage["start"] == first.sha256
    assert starts_of(records_of(vars(after))) == [first.sha256]
    again = (f"autoencoder.init_from={tmp_path / 'out'}", f"training.out={tmp_path / 'third'}")
    autoencoding.train(recipe(*again, "training.max_steps=1"), quiet)
    third = Autoencoder.load(str(tmp_path / "third"), CPU, "fp32")
    assert third.finetuned_from == [after.sha256, first.sha256]


def test_finetuning_learns_and_leaves_a_frozen_encoder_as_it_was(recipe, weights, tmp_path):
    first = checkpoint.load(str(weights / "autoencoder"), "autoencoder", "k").tensors
    begun = (f"autoencoder.init_from={weights / 'autoencoder'}", "autoencoder.warmup_steps=0")
    settings = (*begun, "training.max_steps=3", "autoencoder.freeze_encoder=true")
    autoencoding.train(recipe(*settings), quiet)
    after = checkpoint.load(str(tmp_path / "out"), "autoencoder", "k").tensors
    moved = {name.split(".")[0] for name in first if not torch.equal(after[name], first[name])}
    assert moved == {"decoder"}  # not encoder, latent_mean, latent_std
    with pytest.raises(ConfigError, match=r"autoencoder\.freeze_encoder: got true without"):
        recipe("autoencoder.freeze_encoder=true")


def test_first_weights_of_another_shape_are_refused(recipe, weights):
    begun = f"autoencoder.init_from={weights / 'autoencoder'}"
    for change, error in {
        "autoencoder.widths=[16,32]": r"autoencoder\.widths: got \(16, 32\) to begin with",
        "autoencoder.latent_channels=8": r"autoencoder\.latent_channels: got 8 .* has 4; want the",
    }.items():
        with pytest.raises(CheckpointError, match=error):
            autoencoding.train(recipe(begun, change, "training.max_steps=1"), quiet)


def test_other_first_weights_are_another_training(recipe, weights, tmp_path):
    other = recipe("training.max_steps=1", f"training.out={tmp_path / 'other'}")
    autoencoding.train(other, quiet)
    begun = f"autoencoder.init_from={weights / 'autoencoder'}"
    autoencoding.train(recipe(begun, "training.max_steps=1"), quiet)
    changed = f"autoencoder.init_from={tmp_path / 'other'}"
    with pytest.raises(CheckpointError, match=r"other settings or faces \(start: "):
        autoencoding.train(recipe(changed, "training.max_steps=2"), quiet)


def test_a_generator_of_the_first_autoencoder_goes_on_with_the_finetuned_one(
    recipe, weights, tmp_path
):
    begun = f"autoencoder.init_from={weights / 'autoencoder'}"
    finetuned = tmp_path / "finetuned"
    autoencoding.train(recipe(begun, "training.max_steps=1", f"training.out={finetuned}"), quiet)
    first = tmp_path / "first"
    train_generator(recipe("training.max_steps=1", f"training.out={first}"), quiet)
    second = [f"generator.init_from={first}", "training.max_steps=1"]
    train_generator(recipe(*second, f"autoencoder.checkpoint={finetuned}"), quiet)
    autoencoding.train(recipe("training.max_steps=1", f"training.out={tmp_path / 'new'}"), quiet)
    second += [f"autoencoder.checkpoint={tmp_path / 'new'}", f"training.out={tmp_path / 'third'}"]
    with pytest.raises(CheckpointError, match=r"generator\.init_from: .* another recognizer or a"):
        train_generator(recipe(*second), quiet)
