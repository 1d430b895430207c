"""The backbone's parts fit together, and its dropout passes are fixed."""

from __future__ import annotations

import pytest
import torch

from factory.recognition.backbone import IResNet


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
