"""A config is one object of defaults, file and arguments, and can be written out whole."""

from __future__ import annotations

import dataclasses

import pytest

from factory.config import Config, absolute, as_yaml, load
from factory.config.loading import required_keys
from factory.config.reading import read_text
from factory.errors import ConfigError


def test_arguments_beat_the_file_and_the_file_beats_defaults(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("plan: {micro_batch: 4, images_per_identity: 3}\n")
    config = load(file, ["plan.micro_batch=9"])
    assert (config.plan.micro_batch, config.plan.images_per_identity) == (9, 3)
    assert config.plan.num_threads == Config().plan.num_threads


def test_a_loaded_config_is_frozen_plain_objects(empty):
    config = load(empty, ["recognizer.milestones=[1,2.5]"])
    assert config.recognizer.milestones == (1.0, 2.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.plan.micro_batch = 3


def test_a_key_that_a_recipe_leaves_open_is_asked_for_with_its_comment(tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(
        "source:\n  kind: folder\n  path: ???  # aligned faces, one folder a person\n"
        "  detector: ???\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == (
        "source.path: this recipe needs it: aligned faces, one folder a person; and "
        "source.detector; give source.path=... source.detector=..."
    )
    with pytest.raises(ConfigError, match=r"^source.detector: this recipe needs it; give"):
        load(file, ["source.path=x"])
    config = load(file, ["source.path=x", "source.detector=null"])
    assert (config.source.path, config.source.detector) == ("x", None)


@pytest.mark.parametrize("kind", ["starter", "rendered"])
def test_a_recipe_for_a_folder_asks_no_path_of_people_that_lie_nowhere(tmp_path, kind):
    file = tmp_path / "recipe.yaml"
    file.write_text("source:\n  path: ???  # a folder\n  license: ???\n  detector: ???\n")
    words = [f"source.kind={kind}", "source.num_identities=3"]
    with pytest.raises(ConfigError, match=r"^source.detector: this recipe needs it; give source.d"):
        load(file, words)
    config = load(file, [*words, "source.detector=null"])
    assert (config.source.path, config.source.license) == (None, None)
    with pytest.raises(ConfigError, match=r"^source.path: "):
        load(file, ["source.kind=folder"])


def test_required_keys_are_found_at_any_depth():
    tree = read_text("a: ???  # one\nb:\n  c:\n    - d: ???\n    - 1\n  e: '???'\n", "x")
    assert list(required_keys(tree)) == [("a", "one"), ("b.c[0].d", "")]


def test_absolute_paths_for_other_processes(empty, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = ["store.url=here", "generator.checkpoint=runs/g", "judge.checkpoint=buffalo_l"]
    config = absolute(load(empty, [*arguments, "base_model.path=stabilityai/sd"]))
    assert config.store.url == str(tmp_path / "here")
    assert config.generator.checkpoint == str(tmp_path / "runs/g")
    assert config.recognizer.checkpoint == "starter:recognizer"
    assert config.judge.checkpoint == "buffalo_l"
    assert config.base_model.path == "stabilityai/sd"
    (tmp_path / "buffalo_l").mkdir()
    assert absolute(config).judge.checkpoint == str(tmp_path / "buffalo_l")


def test_the_detector_in_the_package_is_no_path(empty, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "starter").mkdir()
    assert absolute(load(empty)).source.detector == "starter"
    other = absolute(load(empty, ["source.detector=yunet.onnx"]))
    assert other.source.detector == str(tmp_path / "yunet.onnx")
    assert absolute(load(empty, ["source.detector=null"])).source.detector is None


def test_every_path_of_a_tuple_and_of_a_list_is_made_absolute(empty, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    mixed = "batches.mix=[{source: {kind: folder, path: faces}}]"
    config = absolute(load(empty, ["base_training.tables=[a.csv, /b.csv]", mixed]))
    assert config.base_training.tables == (str(tmp_path / "a.csv"), "/b.csv")
    assert config.batches.mix[0].source.path == str(tmp_path / "faces")


def test_a_printed_config_loads_as_itself(empty, tmp_path):
    config = load(
        empty,
        [
            "release.version=1.10",
            "release.title=yes: a 'title' #1",
            "source.kind=folder",
            "source.path=010",
            "sampler.similarity=[0.9, 0.5]",
            "identities.attributes=groups.csv",
            "identities.quotas={a: 0.25, b: 0.75}",
            "personalization.views=['', null]".replace("null", "'null'"),
            "batches.mix=[{source: {kind: folder, path: x}, weight: 1e-3}]",
            "generator.lr=3e-5",
        ],
    )
    (tmp_path / "whole.yaml").write_text(as_yaml(config))
    assert load(tmp_path / "whole.yaml") == config
    assert "milestones: [24.0, 30.0, 36.0]" in as_yaml(config)
