"""Quality: closed forms of CR-FIQA's target and SER-FIQ, and what they say of trained images."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from factory import checkpoint
from factory.images import to_network
from factory.recognition.embed import Recognizer
from factory.recognition.quality import classifiability, quality_loss, ser_fiq
from tests.conftest import DIM


def test_classifiability_is_the_ratio_of_cosines():
    got = classifiability(torch.tensor([0.8, 0.5]), torch.tensor([0.6, -0.5]))
    assert got.tolist() == pytest.approx([0.5, 1.0])


def test_the_loss_is_smooth_l1_of_beta_one_half_without_gradient_to_its_target():
    ccs = torch.tensor([0.5], requires_grad=True)
    quality = torch.tensor([0.75], requires_grad=True)
    loss = quality_loss(quality, ccs, torch.zeros(1))
    assert loss.item() == pytest.approx(0.5 * 0.25**2 / 0.5)
    loss.backward()
    assert ccs.grad is None
    assert quality.grad.item() == pytest.approx(0.5)


def test_ser_fiq_of_equal_and_of_opposite_passes():
    same = torch.tensor([[[1.0, 0.0]] * 4])
    assert ser_fiq(same).item() == pytest.approx(1.0)
    opposite = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]])
    assert ser_fiq(opposite).item() == pytest.approx(2 / (1 + math.exp(2.0)))


def recognizer_with(weights, **changes) -> Recognizer:
    """The untrained recognizer of the fixture with other entries in its config, and a head."""
    loaded = checkpoint.load(str(weights / "recognizer"), "recognizer", "k")
    torch.manual_seed(0)
    head = {"quality.linear.weight": torch.randn(1, DIM), "quality.linear.bias": torch.zeros(1)}
    return Recognizer(
        replace(loaded, tensors=loaded.tensors | head, config=loaded.config | changes),
        torch.device("cpu"),
    )


def test_scores_of_a_recognizer_do_not_depend_on_the_other_images(weights):
    recognizer = recognizer_with(weights, dropout=0.4, quality_head=True)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    for score in (recognizer.cr_fiqa, recognizer.ser_fiq):
        alone = np.concatenate([score(images[i : i + 1]) for i in range(4)])
        np.testing.assert_allclose(score(images), alone, rtol=1e-4)
    assert (recognizer.ser_fiq(images) < 1).all()


def test_ser_fiq_is_of_a_hundred_passes_of_unit_length(weights):
    recognizer = recognizer_with(weights, dropout=0.4)
    images = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    with torch.inference_mode():
        x_BCHW = to_network(torch.from_numpy(images))
        passes = recognizer.backbone.dropout_passes(x_BCHW, 100).double().numpy()
    unit = passes / np.linalg.norm(passes, axis=2, keepdims=True)
    for image, score in zip(unit, recognizer.ser_fiq(images), strict=True):
        apart = [np.linalg.norm(image[i] - image[j]) for i in range(100) for j in range(i)]
        assert score == pytest.approx(2 / (1 + np.exp(np.mean(apart))), rel=1e-4)
