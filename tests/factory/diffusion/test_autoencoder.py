"""The autoencoder reconstructs better with training, and normalizes its latents."""

from __future__ import annotations

import pytest
import torch

from factory import checkpoint
from factory.diffusion import autoencoder as autoencoding
from factory.diffusion.autoencoder import Autoencoder, encode_some
from factory.errors import CheckpointError
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
