"""A tiny recipe of an autoencoder or a generator on the drawn people."""

from __future__ import annotations

import pytest
import torch

from factory.config import load
from factory.sources import open_source, read_faces
from tests.conftest import PX

CPU = torch.device("cpu")


@pytest.fixture
def recipe(people, weights, tmp_path):
    """Function of extra dotlist items -> a config of trainings of some seconds."""

    def make(*dotlist):
        (tmp_path / "c.yaml").write_text("{}\n")
        return load(
            tmp_path / "c.yaml",
            [
                "source.kind=folder",
                f"source.path={people}",
                f"source.image_px={PX}",
                "compute.precision=fp32",
                "training.save_every_s=10000",
                f"training.out={tmp_path / 'out'}",
                f"recognizer.checkpoint={weights / 'recognizer'}",
                f"autoencoder.checkpoint={weights / 'autoencoder'}",
                "autoencoder.widths=[16,16]",
                "autoencoder.latent_channels=4",
                "autoencoder.batch_size=6",
                "generator.width=32",
                "generator.depth=3",
                "generator.num_heads=2",
                "generator.num_timesteps=100",
                "generator.batch_size=6",
                "generator.warmup_steps=0",
                "generator.lr=2e-3",
                *dotlist,
            ],
        )

    return make


def faces_of(config):
    return read_faces(open_source(config.source), 0.0)


def quiet(line):
    return None
