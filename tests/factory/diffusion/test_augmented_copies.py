"""Augmented copies of faces have latents and embeddings of their own, all equally often drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory.diffusion.augmented_copies import AugmentedCopies
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.latent_cache import TrainingCache
from factory.diffusion.train import train
from factory.errors import ConfigError
from factory.images import to_uint8
from factory.recognition.embed import Recognizer
from factory.seeds import torch_generator
from tests.factory.diffusion.conftest import CPU, faces_of, quiet

CHANGED = ("generator.augmented_copies=2", "recognizer.augment.jitter=0.3")


def test_rows_of_a_copy_are_those_of_the_changed_image(recipe):
    """The latent and the embedding are of one image, in memory and of a pixel space alike."""
    config = recipe(*CHANGED)
    faces, copies = faces_of(config), AugmentedCopies.of(config)
    recognizer = Recognizer.load(config.recognizer.checkpoint, CPU)
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, CPU, "fp32")
    chosen, which = np.array([4, 4, 4, 7]), np.array([0, 2, 5, 4])  # plain, copy 1, 2 mirrored, 2
    images = [faces.images_NHWC[[4]], copies.of_batch(faces.images_NHWC[[4]], [4], 1)]
    images.append(copies.of_batch(faces.images_NHWC[[4]], [4], 2)[:, :, ::-1])
    images.append(copies.of_batch(faces.images_NHWC[[7]], [7], 2))
    wanted = np.ascontiguousarray(np.concatenate(images))
    assert len({image.tobytes() for image in wanted}) == 4
    x, unit = TrainingCache(faces, recognizer, autoencoder, "image", copies).rows(which, chosen)
    torch.testing.assert_close(x, autoencoder.encode(wanted), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(unit.numpy(), recognizer.embed(wanted), atol=1e-4)
    pixels, _ = TrainingCache(faces, recognizer, None, "image", copies).rows(which, chosen)
    assert np.array_equal(to_uint8(pixels), wanted)


def test_a_copy_depends_on_its_face_alone(recipe):
    copies = AugmentedCopies.of(recipe(*CHANGED))
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    all_three = copies.of_batch(images, [10, 11, 12], 1)
    assert np.array_equal(copies.of_batch(images[2:], [12], 1), all_three[2:])
    assert copies.of_batch(images, [10, 11, 12], 0) is images
    alike = np.repeat(images[:1], 2, 0)
    first, second = copies.of_batch(alike, [10, 11], 1)
    assert not np.array_equal(first, second)  # each face has light of its own


def test_a_copy_is_never_mirrored(recipe):
    """Left is darker than right in every copy, because its mirror is a row of its own."""
    copies = AugmentedCopies.of(recipe(CHANGED[0], "recognizer.augment.jitter=0.05"))
    images = np.zeros((20, 8, 8, 3), np.uint8)
    images[:, :, 4:] = 255
    for copy in (1, 2):
        changed = copies.of_batch(images, list(range(20)), copy).astype(int)
        assert (changed[:, :, 4:].mean((1, 2, 3)) > changed[:, :, :4].mean((1, 2, 3))).all()


def test_copies_are_drawn_equally_often_and_none_without_them(recipe):
    mirrored = np.array([0, 1] * 3000)
    which = AugmentedCopies.of(recipe(*CHANGED)).draw(mirrored, torch_generator("draw"))
    assert np.array_equal(which % 2, mirrored)
    assert np.bincount(which // 2) == pytest.approx(2000, abs=150)
    stream = torch_generator("none")
    assert AugmentedCopies().draw(mirrored, stream) is mirrored
    assert torch.equal(stream.get_state(), torch_generator("none").get_state())


def test_a_generator_learns_from_copies(recipe, tmp_path):
    train(recipe(*CHANGED, "training.max_steps=2"), quiet)
    assert (tmp_path / "out" / "weights.safetensors").exists()


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        (["recognizer.augment.jitter=0"], r"augmented_copies: got 2 while recognizer\.augment ch"),
        (["generator.condition=prototype"], r"augmented_copies: got 2 with generator\.condition"),
        (["generator.pose=true", "recognizer.augment.crop=0.9"], r"crop=0\.9, which moves the"),
    ],
)
def test_copies_that_cannot_be_learned_from_are_refused(recipe, settings, error):
    with pytest.raises(ConfigError, match=error):
        recipe(*CHANGED, *settings)
