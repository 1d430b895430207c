"""Trainings go on with what they were begun with, whatever lies at the same path by then."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from factory.config import GeneratorConfig, load
from factory.errors import CheckpointError
from factory.recognition.train import train
from factory.sources import readers
from factory.training.identity import difference, to_text, without_paths
from factory.training.run import TrainingRun
from tests.conftest import PX
from tests.unaligned import ShiftDetector, draw_unaligned, write_table


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Function of dotlist items -> a config of one step of a recognizer or a generator."""
    monkeypatch.setattr(readers, "YuNet", ShiftDetector)
    for name in ("images", "further"):
        draw_unaligned(tmp_path / name)
    (tmp_path / "finds.onnx").write_text("0")
    (tmp_path / "keys.txt").write_text("person_0/0\nperson_1/1\n")
    (tmp_path / "c.yaml").write_text("{}\n")
    for name in ("points.csv", "further.csv"):
        write_table(tmp_path / name)

    def make(*dotlist):
        settings = [
            "source.kind=folder",
            f"source.path={tmp_path / 'images'}",
            f"source.image_px={PX}",
            f"training.out={tmp_path / 'out'}",
            "training.max_steps=1",
            "compute.precision=fp32",
            "compute.device=cpu",
            "recognizer.backbone=iresnet_mini",
            "recognizer.embedding_dim=16",
            "recognizer.num_virtual=4",
            "recognizer.batch_size=4",
            "generator.batch_size=4",
        ]
        return load(tmp_path / "c.yaml", [*settings, *dotlist])

    return make


def quiet(line):
    pass


def by_table(tmp_path: Path) -> list[str]:
    return [f"source.landmarks={tmp_path / 'points.csv'}"]


def by_detector(tmp_path: Path) -> list[str]:
    return [f"source.detector={tmp_path / 'finds.onnx'}"]


def with_keys(tmp_path: Path) -> list[str]:
    return [*by_table(tmp_path), f"batches.oversample={tmp_path / 'keys.txt'}"]


def with_further(tmp_path: Path) -> list[str]:
    further = f"{{kind: folder, path: {tmp_path / 'further'}, image_px: {PX}, "
    further += f"landmarks: {tmp_path / 'further.csv'}}}"
    return [*by_table(tmp_path), f"batches.mix=[{{source: {further}}}]"]


CHANGES = {
    "source.alignment.landmarks": (
        by_table,
        lambda tmp_path: write_table(tmp_path / "points.csv", 5),
        [],
    ),
    "source.alignment.detector": (
        by_detector,
        lambda tmp_path: (tmp_path / "finds.onnx").write_text("6"),
        [],
    ),
    "source.alignment.zoom": (by_table, lambda tmp_path: None, ["source.zoom=0.5"]),
    "source.alignment.resize": (by_table, lambda tmp_path: None, ["source.resize=true"]),
    "source.image_px": (by_table, lambda tmp_path: None, ["source.image_px=48"]),
    "batches.oversample": (
        with_keys,
        lambda tmp_path: (tmp_path / "keys.txt").write_text("person_0/0\nperson_2/1\n"),
        [],
    ),
    "batches.mix.0.source.alignment.landmarks": (
        with_further,
        lambda tmp_path: write_table(tmp_path / "further.csv", 5),
        [],
    ),
    "batches.balance": (with_keys, lambda tmp_path: None, ["batches.balance=class"]),
}
"""By the fact that changes: how a training is begun, what happens on disk, what is asked for."""


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize("fact", CHANGES)
def test_a_recognizer_goes_on_as_it_was_begun(config, tmp_path, fact, num_workers):
    """Also where images are not read before they are learned from."""
    begin, change, settings = CHANGES[fact]
    begun = [*begin(tmp_path), f"batches.num_workers={num_workers}"]
    train(config(*begun), quiet)
    change(tmp_path)
    message = rf"begun with other settings or faces \({fact}: .* there, .* asked for\); go on"
    with pytest.raises(CheckpointError, match=message):
        train(config(*begun, *settings, "training.max_steps=2"), quiet)


OF_THE_SOURCE = [fact for fact in CHANGES if fact.startswith("source.")]


@pytest.mark.parametrize("fact", OF_THE_SOURCE)
def test_every_other_training_does_too(config, tmp_path, fact):
    begin, change, settings = CHANGES[fact]
    begun = config(*begin(tmp_path))
    run = TrainingRun(begun, begun.generator, quiet)
    run.resume(network="digest")
    for _ in run.state.steps(1, 4, lambda folder: None):
        run.state.record(torch.tensor(0.0))
    change(tmp_path)
    changed = config(*begin(tmp_path), *settings)
    with pytest.raises(CheckpointError, match=rf"faces \({fact}: "):
        TrainingRun(changed, changed.generator, quiet).resume(network="digest")


def test_the_same_files_elsewhere_go_on(config, tmp_path):
    begun = [*with_keys(tmp_path), *with_further(tmp_path)[1:]]
    train(config(*begun), quiet)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("images", "further", "points.csv", "further.csv", "keys.txt"):
        shutil.move(tmp_path / name, moved / name)
    shuffled = sorted((moved / "keys.txt").read_text().split(), reverse=True)
    (moved / "keys.txt").write_text("\n".join(shuffled))  # a list is a set of keys
    there = [*with_keys(moved), *with_further(moved)[1:], f"source.path={moved / 'images'}"]
    lines: list[str] = []
    train(config(*there, "training.max_steps=2", "training.log_every=1"), lines.append)
    assert any(line.startswith("step 2/2") for line in lines)


def test_a_path_in_a_recipe_counts_nowhere(tmp_path):
    recipe = GeneratorConfig(init_from="a", lr=0.5)
    assert without_paths(recipe) == without_paths(replace(recipe, init_from="b"))
    assert without_paths(recipe) != without_paths(replace(recipe, lr=0.25))


def test_a_training_of_a_factory_that_kept_no_facts_is_refused_without_a_name():
    assert difference(None, to_text({"a": 1})) == ""
    assert difference("0123abc 112", to_text({"a": 1})) == ""
    assert difference(to_text({"a": {"b": 1}}), to_text({"a": {"b": 1}})) == ""
    assert difference(to_text({}), to_text({"a": {"b": 2}})) == " (a.b: None there, 2 asked for)"
