"""Margins against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from factory.recognition.margin import NormQuality, adaface, arcface, cosface, with_margin

ANGLES = torch.linspace(0.1, math.pi - 0.6, 20)
NEUTRAL = torch.zeros(20)


def test_arcface_turns_the_angle():
    turned = arcface(ANGLES.cos(), 0.5)
    torch.testing.assert_close(turned, (ANGLES + 0.5).cos(), atol=1e-4, rtol=0)


def test_arcface_never_rises_with_the_angle():
    theta = torch.linspace(0.01, math.pi - 0.01, 200)
    turned = arcface(theta.cos(), 0.5)
    assert (turned[1:] <= turned[:-1] + 1e-4).all()


def test_cosface_lowers_the_cosine_and_no_margin_changes_nothing():
    assert cosface(torch.tensor([0.5]), 0.2) == pytest.approx(0.3)
    for kind in ("arcface", "cosface", "adaface"):
        plain = with_margin(kind, ANGLES.cos(), 0.0, NEUTRAL)
        torch.testing.assert_close(plain, ANGLES.cos(), atol=1e-4, rtol=0)


def test_adaface_lies_between_arcface_and_a_negative_angle():
    """AdaFace section 3.3: q = -1 is ArcFace, q = 0 CosFace, q = 1 a negative angular margin."""
    worst, best = torch.full((20,), -1.0), torch.ones(20)
    cosine = ANGLES.cos()
    torch.testing.assert_close(adaface(cosine, 0.4, worst), (ANGLES + 0.4).cos())
    torch.testing.assert_close(adaface(cosine, 0.4, NEUTRAL), cosface(cosine, 0.4))
    expected = (ANGLES[5:] - 0.4).cos() - 0.8
    torch.testing.assert_close(adaface(cosine, 0.4, best)[5:], expected)


def test_quality_is_the_norm_against_its_moving_statistics():
    quality = NormQuality()
    norms = torch.tensor([10.0, 20.0, 30.0])
    for _ in range(2000):
        features = quality(norms)
    std = norms.std(correction=0)
    torch.testing.assert_close(
        quality.mean_std_2, torch.stack([norms.mean(), std]), atol=1e-3, rtol=0
    )
    torch.testing.assert_close(features, 0.333 * (norms - 20) / (std + 1e-3), atol=1e-4, rtol=0)
    assert quality(torch.tensor([1e6, 20.0, 20.0])).max() <= 1


def test_arcface_goes_on_as_a_line_beyond_pi_minus_the_margin():
    theta = torch.tensor([math.pi - 0.45, 3.0, math.pi])
    wanted = theta.double().cos() - 0.5 * math.sin(0.5)
    torch.testing.assert_close(arcface(theta.cos(), 0.5), wanted.float())
    before = torch.tensor([math.pi - 0.55])
    torch.testing.assert_close(arcface(before.cos(), 0.5), (before + 0.5).cos())


def test_norm_statistics_begin_and_move_as_in_adafaces_code():
    """Mean 20 and deviation 100 at first, .99 of them kept a step, norms cut at 100."""
    quality = NormQuality()
    features = quality(torch.tensor([10.0, 30.0, 400.0]))
    cut = torch.tensor([10.0, 30.0, 100.0], dtype=torch.float64)
    mean, std = 0.99 * 20 + 0.01 * cut.mean(), 0.99 * 100 + 0.01 * cut.std(correction=0)
    torch.testing.assert_close(quality.mean_std_2.double(), torch.stack([mean, std]))
    wanted = (0.333 * (cut - mean) / (std + 1e-3)).clamp(-1, 1)
    torch.testing.assert_close(features.double(), wanted)
