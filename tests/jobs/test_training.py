"""A training on a gang has its faces made by the fleet first, unless it has begun."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.errors import ConfigError
from jobs import _training
from jobs._catalog import find
from tests.base_model import save_base


@pytest.fixture
def ran(training_config, monkeypatch):
    """Function of a state's name and dotlist items -> what a job of a generator calls, in order."""
    import cluster.gang
    from factory.execution import preparation

    calls = []

    def prepare(config, rows, run_units):
        calls.append([opens.__name__ for opens in rows])
        calls.append(run_units.__module__)

    monkeypatch.setattr(preparation, "prepare", prepare)
    monkeypatch.setattr(_training, "train_and_print", lambda train, config: calls.append("train"))

    def make(state, *dotlist, dry_run=False):
        calls.clear()
        monkeypatch.setattr(cluster.gang, "latest_state_name", lambda config: state)
        config = training_config(*dotlist)
        find("train_generator").action(config=config, dry_run=dry_run)
        return list(calls)

    return make


def test_a_fleet_makes_what_a_gang_reads(ran):
    rows = ["open_latents", "open_embeddings"]
    assert ran(None, "compute.num_ranks=2") == [rows, "cluster.fleet", "train"]
    inline = ran(None, "compute.num_ranks=2", "fleet.runner=inline", "generator.space=pixels")
    assert inline == [["open_embeddings"], "factory.execution.inline", "train"]


def test_a_gang_that_has_begun_and_a_single_process_go_on_alone(ran):
    assert ran("step-00000010", "compute.num_ranks=2") == ["train"]
    assert ran(None) == ["train"]


def test_a_dry_run_describes_the_faces(ran, capsys):
    assert ran(None, "compute.num_ranks=2", "source.holdout_identities=2", dry_run=True) == []
    assert capsys.readouterr().out.endswith("\n6 images of 2 people, 6 held out\n")


def test_a_training_asks_for_the_license_of_every_source(ran, people, tmp_path):
    with pytest.raises(ConfigError, match=r"^source\.license: nothing given"):
        ran(None, "source.license=null")
    mixed = f"{{source: {{kind: folder, path: {people}}}}}"
    settings = ["source.kind=folder", f"source.path={people}", "source.license=MIT"]
    config = load(tmp_path / "c.yaml", [*settings, f"batches.mix=[{mixed}]"])
    with pytest.raises(ConfigError, match=r"^batches\.mix\[0\]\.source\.license: nothing given"):
        find("train_recognizer").action(config=config, dry_run=True)


def test_a_job_asks_for_the_license_of_weights_of_somebody_else(people, tmp_path):
    settings = ["source.kind=folder", f"source.path={people}", "source.license=MIT"]
    base = save_base(tmp_path / "base")
    (tmp_path / "c.yaml").write_text("{}\n")
    config = load(tmp_path / "c.yaml", [*settings, f"base_model.path={base}"])
    for job in ("train_controlnet", "personalize"):
        with pytest.raises(
            ConfigError, match=r"^checkpoint\.license: nothing given for base_model"
        ):
            find(job).action(config=config, dry_run=True)
