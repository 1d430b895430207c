"""The job of a distillation checks its teacher first, and has a fleet make what it reads."""

from __future__ import annotations

import pytest

from factory.errors import CheckpointError, ConfigError
from jobs import _training
from jobs._catalog import find


@pytest.fixture
def run(training_config, weights, monkeypatch):
    """Function of dotlist items -> names of the trainings and of the rows that the job needs."""
    settings = [f"distillation.teacher={weights / 'generator'}", "compute.num_ranks=2"]
    called = []
    monkeypatch.setattr(
        _training, "_prepare", lambda config, rows: called.extend(one.__name__ for one in rows)
    )
    monkeypatch.setattr(
        _training, "train_and_print", lambda train, config: called.append(train.__name__)
    )

    def make(*dotlist, dry_run=False):
        called.clear()
        config = training_config(*settings, *dotlist)
        find("distill").action(config=config, dry_run=dry_run)
        return list(called)

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
