"""A grid shows how far a training is: a person a row."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from PIL import Image

from factory.diffusion.sample_grid import sample_grid
from factory.diffusion.train import train
from factory.diffusion.trained_generator import TrainedGenerator
from factory.diffusion.uvit import Shape, UViT
from tests.conftest import PX
from tests.factory.diffusion.conftest import CPU, quiet


@pytest.mark.parametrize("tokens", [0, 2])
def test_sheets_show_how_far_a_training_is(recipe, tmp_path, tokens):
    settings = ("training.max_steps=4", "training.eval_every=2")
    train(recipe(*settings, f"generator.similarity_tokens={tokens}"), quiet)
    sheets = sorted((tmp_path / "out" / "sheets").iterdir())
    assert [sheet.name for sheet in sheets] == ["0000002.png", "0000004.png"]
    with Image.open(sheets[0]) as first, Image.open(sheets[1]) as second:
        assert first.size == (4 * PX, 6 * PX)
        assert first.tobytes() != second.tobytes()


def test_a_network_with_a_hint_is_drawn_without_points():
    torch.manual_seed(0)
    shape = Shape(3, 8, 2, None, 16, 3, 2, 6, hint_channels=5, hint_px=8)
    network = UViT(shape)
    torch.nn.init.normal_(network.final.weight, std=0.1)
    estimates, unit_PD = ("v", 100), torch.eye(6)[:2]

    def grid(of, tensors):
        return sample_grid(TrainedGenerator.of(of, tensors, estimates, lambda x: x, CPU), unit_PD)

    drawn = grid(shape, network.state_dict())
    assert drawn.shape == (2 * 8, 4 * 8, 3)
    blind = dataclasses.replace(shape, hint_channels=0, hint_px=0)
    tensors = {name: x for name, x in network.state_dict().items() if name != "hint.weight"}
    assert (grid(blind, tensors) == drawn).all()
