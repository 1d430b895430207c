"""The patch discriminator: spectral norms of one, the hinge, the adaptive weight, its state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from factory.diffusion.discriminator import (
    BETAS,
    EPSILON,
    LARGEST,
    DiscriminatorTraining,
    PatchDiscriminator,
    adaptive_weight,
    hinge,
)


def discriminator() -> PatchDiscriminator:
    torch.manual_seed(0)
    return PatchDiscriminator(4)


def test_every_layer_stretches_by_at_most_one():
    """The largest singular value of each weight matrix is 1, after some power iterations."""
    network = discriminator()
    for _ in range(60):
        network(torch.zeros(1, 3, 40, 40))
    layers = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    shapes = [tuple(layer.weight.shape) for layer in layers]
    assert shapes == [(4, 3, 4, 4), (8, 4, 4, 4), (16, 8, 4, 4), (1, 16, 3, 3)]
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2)
        assert float(largest) == pytest.approx(1, abs=1e-3)


def test_an_answer_is_of_a_patch_of_38_pixels():
    network, x = discriminator().eval(), torch.randn(1, 3, 96, 96, requires_grad=True)
    answers = network(x)
    assert answers.shape == (1, 1, 12, 12)
    answers[0, 0, 6, 6].backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == 38


def test_hinge_in_numbers():
    real, made = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-2.0, 0.5])
    # (0 + .5 + 2)/3 + (0 + 1.5)/2
    assert float(hinge(real, made)) == pytest.approx(2.5 / 3 + 0.75)


def test_the_weight_makes_both_gradients_as_long():
    error, adversarial = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 2.0])
    weight = adaptive_weight(error, adversarial)
    assert float(weight) == pytest.approx(5 / (2 + EPSILON))
    assert float((weight * adversarial).norm()) == pytest.approx(5, rel=1e-5)
    assert float(adaptive_weight(error, torch.zeros(2))) == LARGEST
    assert (EPSILON, LARGEST, BETAS) == (1e-6, 1e4, (0.5, 0.9))


def test_a_step_of_two_shares_is_that_of_the_whole_batch():
    """And it lowers the loss; both sides see the same images."""
    x, y = torch.rand(4, 3, 24, 24), -torch.rand(4, 3, 24, 24)
    gradients = []
    for shares in ([slice(0, 4)], [slice(0, 2), slice(2, 4)]):
        network = discriminator().eval()  # no power iteration between the shares
        training = DiscriminatorTraining(network, 1e-2, "fp32", None)
        losses = [training.backward(x[s], y[s], 1 / len(shares)) for s in shares]
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
        training.step()
        before = float(sum(losses) / len(losses))
        assert float(training.backward(x, y, 1.0)) < before
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-4)


def test_its_state_goes_on_exactly(tmp_path):
    x, y = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)

    def steps(training: DiscriminatorTraining, count: int) -> None:
        for _ in range(count):
            training.backward(x, y, 1.0)
            training.step()

    whole, first, second = discriminator(), discriminator(), PatchDiscriminator(4)
    steps(DiscriminatorTraining(whole, 1e-2, "fp32", None), 4)
    begun = DiscriminatorTraining(first, 1e-2, "fp32", None)
    steps(begun, 2)
    begun.save(tmp_path)
    steps(DiscriminatorTraining(second, 1e-2, "fp32", tmp_path), 2)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(second.state_dict()[name], tensor), name
