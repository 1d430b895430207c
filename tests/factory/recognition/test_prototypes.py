"""Margins and prototypes against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from factory.recognition.margin import arcface, cosface, margin_softmax
from factory.recognition.prototypes import Prototypes, geometry, num_virtual_features

MARGIN = {"kind": "arcface", "margin": 0.5, "scale": 30.0}


def test_arcface_turns_the_angle():
    theta = torch.linspace(0.1, math.pi - 0.6, 20)
    torch.testing.assert_close(arcface(theta.cos(), 0.5), (theta + 0.5).cos(), atol=1e-4, rtol=0)


def test_arcface_never_rises_with_the_angle():
    theta = torch.linspace(0.01, math.pi - 0.01, 200)
    turned = arcface(theta.cos(), 0.5)
    assert (turned[1:] <= turned[:-1] + 1e-4).all()


def test_margin_zero_is_plain_softmax():
    cosine, labels = torch.rand(4, 6) * 2 - 1, torch.tensor([0, 5, 2, 2])
    wanted = F.cross_entropy(16 * cosine, labels)
    for kind in ("arcface", "cosface"):
        got = margin_softmax(cosine, labels, kind, 0.0, 16.0)
        torch.testing.assert_close(got, wanted)
    assert cosface(torch.tensor([0.5]), 0.2) == pytest.approx(0.3)


def test_without_virtual_classes_it_is_arcface_of_the_real_ones():
    torch.manual_seed(0)
    prototypes = Prototypes(5, 0, 8)
    features, labels = torch.randn(6, 8), torch.tensor([0, 1, 2, 3, 4, 0])
    cosine = F.normalize(features) @ F.normalize(prototypes.real).T
    nobody = torch.zeros(0, dtype=torch.long)
    got = prototypes.loss(features, labels, nobody, torch.zeros(0, 8), **MARGIN)
    torch.testing.assert_close(got, margin_softmax(cosine, labels, "arcface", 0.5, 30.0))


def test_sigma_is_equation_6_then_the_average_of_equation_7():
    torch.manual_seed(0)
    prototypes = Prototypes(3, 2, 4)
    labels = torch.tensor([0, 1, 2])
    unit = F.normalize(prototypes.real.detach())
    offset = torch.tensor([0.1, -0.2, 0.0, 0.3])
    features = unit + offset

    def spread(features):
        return (F.normalize(features) - unit).square().mean(0).sqrt()

    run = (labels, torch.tensor([0]), torch.zeros(1, 4))
    prototypes.loss(features, *run, **MARGIN)
    first = prototypes.sigma_D.clone()
    torch.testing.assert_close(first, spread(features))
    prototypes.loss(unit + 2 * offset, *run, **MARGIN)
    torch.testing.assert_close(prototypes.sigma_D, 0.9 * first + 0.1 * spread(unit + 2 * offset))


def test_virtual_features_move_prototypes_only():
    torch.manual_seed(0)
    prototypes = Prototypes(3, 4, 8)
    features = torch.randn(3, 8, requires_grad=True)
    without = prototypes.loss(
        features, torch.arange(3), torch.zeros(0, dtype=torch.long), torch.zeros(0, 8), **MARGIN
    )
    plain = torch.autograd.grad(without * 3, features)[0]
    with_virtual = prototypes.loss(
        features, torch.arange(3), torch.tensor([1, 3]), torch.randn(2, 8), **MARGIN
    )
    mixed = torch.autograd.grad(with_virtual * 5, features, retain_graph=True)[0]
    torch.testing.assert_close(plain, mixed)  # only the mean's divisor differs
    moved = torch.autograd.grad(with_virtual, prototypes.virtual)[0]
    assert (moved[[1, 3]].norm(dim=1) > 0).all()


def test_features_of_a_step():
    assert num_virtual_features(64, 10, 1000, "batch") == 64
    assert num_virtual_features(64, 10, 20, "batch") == 20
    assert num_virtual_features(100, 1000, 500, "proportional") == 50


def test_geometry_of_orthogonal_axes():
    axes = geometry(torch.eye(6)[:3], torch.eye(6)[3:])
    assert all(axes[k]["mean"] == axes[k]["std"] == 0.0 for k in axes)
    assert set(axes) == {"real_real", "real_virtual", "virtual_virtual"}
