"""A runner makes what the ranks of a training would make, and they find it made."""

from __future__ import annotations

import functools
import pickle
from pathlib import Path

import numpy as np
import pytest

from factory.config import load
from factory.diffusion.latent_cache import open_embeddings, open_latents
from factory.diffusion.train import rows_read, train
from factory.errors import ConfigError, Interrupted
from factory.execution import preparation
from factory.execution.inline import run_units
from factory.execution.preparation import RowMaker, prepare
from factory.training.row_files import RowFiles
from tests.conftest import PX
from tests.mapped import small_shards


@pytest.fixture
def config(people, weights, tmp_path, monkeypatch):
    """Function of extra dotlist items -> a config of a generator on faces in files of five."""
    small_shards(monkeypatch, 5)

    def make(*dotlist):
        (tmp_path / "c.yaml").write_text("{}\n")
        settings = ["source.kind=folder", f"source.path={people}", f"source.image_px={PX}"]
        settings += ["compute.precision=fp32", "training.faces_in_memory_bytes=0"]
        settings += [f"training.out={tmp_path / 'out'}", "training.max_steps=1"]
        settings += [f"recognizer.checkpoint={weights / 'recognizer'}", "generator.width=32"]
        settings += [f"autoencoder.checkpoint={weights / 'autoencoder'}", "generator.depth=3"]
        settings += ["generator.num_heads=2", "generator.batch_size=6", *dotlist]
        return load(tmp_path / "c.yaml", settings)

    return make


class Runner:
    """A runner that pickles makers, as a fleet does, and notes units and what they are of."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.units: list[list[int]] = []
        self._stop_after = stop_after

    def __call__(self, fleet, open_maker, units, on_done, draining, on_state):
        again = pickle.loads(pickle.dumps(open_maker))
        self.units.append(list(units))
        run_units(fleet, again, list(units)[: self._stop_after], on_done, draining, on_state)


def silent(line):
    return None


def test_a_training_finds_all_made(config, monkeypatch):
    made = config("source.holdout_identities=2")
    runner, lines = Runner(), []
    assert rows_read(made) == [open_latents, open_embeddings]
    prepare(made, rows_read(made), runner, lines.append)
    assert runner.units == [[0, 1, 2], [0, 1], [0, 1]]
    assert lines[0].startswith("progress: 3 of 3 shards of faces are made in ")
    kinds = {path.name.split("-")[0] for path in (Path(made.training.out) / "faces").iterdir()}
    assert kinds == {"pixels", "latents", "embeddings"}
    monkeypatch.setattr(RowFiles, "put", lambda *_: pytest.fail("made again"))
    train(made, silent)


def test_shards_that_are_there_are_not_made_again(config):
    made = config()
    with pytest.raises(ConfigError, match=r"training\.cache: 2 shards .* are not in .*; want "):
        prepare(made, [], Runner(stop_after=1), silent)
    runner, lines = Runner(), []
    prepare(made, [], runner, lines.append)
    assert runner.units == [[1, 2]]
    assert [line.split(" shards")[0] for line in lines] == ["resuming: 1 of 3", "progress: 3 of 3"]
    prepare(made, [], runner, silent)
    assert runner.units == [[1, 2]]


def test_a_maker_leaves_what_is_there_and_commits_it(config):
    made = config()
    maker = RowMaker.of_pixels(made, made.source)
    (shard,) = maker.make(2)
    assert (shard.unit, shard.counts.kept, shard.counts.adds_up()) == (2, 2, True)
    file = next(Path(made.training.out).rglob("00002.npy"))
    before = file.stat().st_mtime_ns
    maker.make(2)
    assert file.stat().st_mtime_ns == before
    assert np.load(file).shape == (2, PX, PX, 3)
    assert maker.flush() == []


def test_what_memory_holds_is_not_made(config):
    runner = Runner()
    prepare(config("training.faces_in_memory_bytes=1000000"), [open_latents], runner, silent)
    assert runner.units == []


def test_heldout_faces_of_another_source_are_made(config, people):
    made = config("source.num_identities=2", f"source.heldout={people}")
    runner = Runner()
    prepare(made, [], runner, silent)
    assert runner.units == [[0, 1], [0, 1, 2]]


def test_sigterm_is_told(config, monkeypatch):
    class Stopping:
        def __call__(self, log):
            return self

        def __enter__(self):
            return lambda: True

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(preparation, "shutdown_on_sigterm", Stopping())
    with pytest.raises(Interrupted, match=r"3 of 3 shards are not made; the same command goes on"):
        prepare(config(), [], run_units, silent)


def test_a_maker_of_rows_can_be_sent_to_an_actor(config):
    opened = functools.partial(RowMaker.of_rows, config(), open_embeddings)
    assert pickle.loads(pickle.dumps(opened)).args == opened.args
