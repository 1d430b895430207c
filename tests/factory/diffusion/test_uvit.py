"""The denoiser: shapes, patches that invert, conditions that matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from factory.diffusion.uvit import Shape, UViT

SHAPE = Shape(3, 16, 4, None, 32, 5, 4, 8)


def run(network, seed=0):
    draw = torch.Generator().manual_seed(seed)
    x, condition = torch.randn(2, 3, 16, 16, generator=draw), torch.randn(2, 8, generator=draw)
    return network(x, torch.tensor([3, 70]), condition)


@pytest.mark.parametrize(("patch", "rank"), [(2, None), (4, None), (8, 6), (16, 12)])
def test_output_has_the_shape_of_the_input(patch, rank):
    network = UViT(replace(SHAPE, patch=patch, patch_rank=rank))
    assert run(network).shape == (2, 3, 16, 16)


def test_low_rank_embedding_is_smaller():
    full, low = UViT(replace(SHAPE, patch=16)), UViT(replace(SHAPE, patch=16, patch_rank=4))
    assert sum(p.numel() for p in low.embed.parameters()) < 0.3 * sum(
        p.numel() for p in full.embed.parameters()
    )


def test_patches_invert():
    network = UViT(SHAPE)
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(network._to_space(network._to_patches(x)), x)


def test_untrained_output_is_zero_and_every_weight_gets_a_gradient():
    torch.manual_seed(0)
    network = UViT(SHAPE)
    assert (run(network) == 0).all()
    torch.nn.init.normal_(network.final.weight)
    run(network).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_time_and_condition_change_the_output():
    torch.manual_seed(0)
    network = UViT(SHAPE)
    torch.nn.init.normal_(network.final.weight)
    x, t, c = torch.randn(1, 3, 16, 16), torch.tensor([5]), torch.randn(1, 8)
    base = network(x, t, c)
    assert not torch.allclose(base, network(x, torch.tensor([80]), c))
    assert not torch.allclose(base, network(x, t, torch.zeros(1, 8)))


def test_patch_must_divide_the_side():
    with pytest.raises(ValueError, match=r"generator\.patch"):
        UViT(replace(SHAPE, patch=5))
