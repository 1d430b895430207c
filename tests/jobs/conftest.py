"""Configs of trainings on the drawn people, for tests of the jobs that begin them."""

from __future__ import annotations

import pytest

from factory.config import load
from tests.conftest import PX


@pytest.fixture
def training_config(people, weights, tmp_path):
    """Function of extra dotlist items -> a config of a training with networks of its own."""
    (tmp_path / "c.yaml").write_text("{}\n")
    settings = [
        "source.kind=folder",
        "source.license=unknown",
        f"source.path={people}",
        f"source.image_px={PX}",
    ]
    settings += [f"{kind}.checkpoint={weights / kind}" for kind in ("recognizer", "autoencoder")]
    return lambda *dotlist: load(tmp_path / "c.yaml", [*settings, *dotlist])
