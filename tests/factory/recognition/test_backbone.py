"""The backbone's parts fit together, and its dropout passes are fixed."""

from __future__ import annotations

import pytest
import torch

from factory.recognition.backbone import SHAPES, Block, IResNet, SqueezeExcitation


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return IResNet("iresnet_mini", 8, image_px=32, dropout=0.4).eval()


@pytest.fixture(scope="module")
def x_BCHW():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_stages_halve_the_side_and_the_head_takes_the_last(network, x_BCHW):
    maps = network.feature_maps(x_BCHW)
    assert [tuple(stage.shape[1:]) for stage in maps] == [
        (32, 8, 8),
        (64, 4, 4),
        (128, 2, 2),
        (192, 1, 1),
    ]
    torch.testing.assert_close(network.head(maps[-1]), network(x_BCHW))


@torch.inference_mode()
def test_dropout_passes_differ_and_repeat_and_average_to_the_plain_embedding(network, x_BCHW):
    first, again = network.dropout_passes(x_BCHW, 400), network.dropout_passes(x_BCHW, 400)
    assert first.shape == (3, 400, 8)
    assert torch.equal(first, again)
    assert first.std(1).min() > 0
    alone = network.dropout_passes(x_BCHW[:1], 400)
    torch.testing.assert_close(alone[0], first[0])
    spread = first.std(1) / 400**0.5
    assert ((first.mean(1) - network(x_BCHW)).abs() < 5 * spread).all()  # inverted dropout


def test_only_the_direction_of_embeddings_is_learned(network):
    assert not network.embed_norm.weight.requires_grad
    assert network.embed_norm.bias.requires_grad


def test_an_excitation_weighs_channels_by_their_means():
    """Two channels into one: sigmoid(up relu(down mean)) in closed form, the same at each pixel."""
    excite = SqueezeExcitation(2, squeeze=2)
    with torch.no_grad():
        excite.down.weight.copy_(torch.tensor([1.0, -2.0]).view(1, 2, 1, 1))
        excite.up.weight.copy_(torch.tensor([0.5, -1.0]).view(2, 1, 1, 1))
        x = torch.tensor([[[[1.0, 5.0]], [[0.5, 1.5]]], [[[1.0, 1.0]], [[1.0, 1.0]]]])
        found = excite(x)
    gates = torch.tensor([[0.5, -1.0], [0.0, 0.0]]).sigmoid()  # relu(3 - 2), relu(1 - 2)
    torch.testing.assert_close(found, x * gates[:, :, None, None])


def test_a_block_with_excitation_weighs_its_residual_alone():
    torch.manual_seed(0)
    block, x = Block(16, 16, 1, squeeze=16).eval(), torch.randn(2, 16, 4, 4)
    with torch.inference_mode():
        residual = block.body[:-1](x)
        torch.testing.assert_close(block(x), x + block.body[-1](residual))
        assert isinstance(block.body[-1], SqueezeExcitation)
        assert not torch.allclose(block(x), x + residual)


def test_ir_se50_has_the_published_size():
    """43.8 million: IR-50's 43.59 and 2 C^2 / 16 of each of 24 blocks."""

    def count(name):
        with torch.device("meta"):
            return sum(p.numel() for p in IResNet(name, 512).parameters())

    plain, excited = count("iresnet50"), count("ir_se50")
    blocks = zip(SHAPES["ir_se50"].widths, (3, 4, 14, 3), strict=True)
    assert excited - plain == sum(num * 2 * width**2 // 16 for width, num in blocks) == 222_720
    assert plain == 43_590_848
    assert round(excited / 1e6, 1) == 43.8
