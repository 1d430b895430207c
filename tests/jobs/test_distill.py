"""The job of a distillation checks its teacher first, and has a fleet make what it reads."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.errors import CheckpointError, ConfigError
from jobs import _training
from jobs._catalog import find
from tests.conftest import PX


@pytest.fixture
def run(people, weights, tmp_path, monkeypatch):
    """Function of dotlist items -> names of the trainings and of the rows that the job asks for."""
    (tmp_path / "c.yaml").write_text("{}\n")
    settings = [
        "source.kind=folder",
        "source.license=unknown",
        f"source.path={people}",
        f"source.image_px={PX}",
        f"distillation.teacher={weights / 'generator'}",
        "compute.num_ranks=2",
    ]
    settings += [f"{kind}.checkpoint={weights / kind}" for kind in ("recognizer", "autoencoder")]
    asked = []
    monkeypatch.setattr(
        _training, "_prepare", lambda config, rows: asked.extend(one.__name__ for one in rows)
    )
    monkeypatch.setattr(
        _training, "train_and_print", lambda train, config: asked.append(train.__name__)
    )

    def make(*dotlist, dry_run=False):
        asked.clear()
        config = load(tmp_path / "c.yaml", [*settings, *dotlist])
        find("distill").action(config=config, dry_run=dry_run)
        return list(asked)

    return make


def test_latents_and_embeddings_are_made_first(run):
    assert run() == ["open_latents", "open_embeddings", "distill"]


def test_a_dry_run_describes_the_faces(run, capsys):
    assert run(dry_run=True) == []
    assert "12 images of 4 people" in capsys.readouterr().out


def test_a_teacher_that_cannot_be_merged_so_is_refused_before_faces_are_read(run):
    with pytest.raises(ConfigError, match=r"^distillation\.substeps: got 50"):
        run("distillation.substeps=50")
    with pytest.raises(CheckpointError, match=r"^distillation\.teacher: no checkpoint in 'nowh"):
        run("distillation.teacher=nowhere")
