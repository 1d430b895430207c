"""Errors by noise level are means since they were last taken, and stand in the history."""

from __future__ import annotations

import json

import torch

from factory.diffusion.loss_by_noise_level import LossByNoiseLevel
from factory.diffusion.train import train
from tests.factory.diffusion.conftest import quiet


def test_errors_by_level_are_means_since_the_last_look():
    levels = LossByNoiseLevel(100)
    assert levels.take() == {}
    levels.add(torch.tensor([0, 19, 20, 99]), torch.tensor([1.0, 3.0, 5.0, 7.0]))
    levels.add(torch.tensor([98]), torch.tensor([8.0]))
    assert levels.take() == {"error_by_level": [2.0, 5.0, None, None, 7.5]}
    assert levels.take() == {}


def test_errors_stand_in_the_history_by_noise_level(recipe, tmp_path):
    train(recipe("training.max_steps=6", "training.log_every=3"), quiet)
    lines = (tmp_path / "out" / "history.jsonl").read_text().splitlines()
    errors = [json.loads(line)["error_by_level"] for line in lines]
    assert [len(levels) for levels in errors] == [5, 5]
    assert any(error is not None and error > 0 for error in errors[0])
