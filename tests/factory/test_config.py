"""A config is read whole or refused with one line that names the dotted key."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from factory.config import Config, absolute, load
from factory.errors import ConfigError

FOLDER = Path(__file__).parent.parent.parent / "configs"
OTHERS = ("claims", "pipeline")
CONFIGS = [file for file in sorted(FOLDER.rglob("*.yaml")) if file.parent.name not in OTHERS]


@pytest.fixture
def empty(tmp_path):
    file = tmp_path / "empty.yaml"
    file.write_text("{}\n")
    return file


@pytest.mark.parametrize("file", CONFIGS, ids=lambda f: f.stem)
def test_committed_configs_load(file):
    assert isinstance(load(file), Config)


def test_dotlist_beats_file_beats_default(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("plan: {micro_batch: 4, images_per_identity: 3}\n")
    config = load(file, ["plan.micro_batch=9"])
    assert (config.plan.micro_batch, config.plan.images_per_identity) == (9, 3)
    assert config.plan.num_threads == Config().plan.num_threads


def test_loaded_config_is_frozen_plain_objects(empty):
    config = load(empty, ["recognizer.milestones=[1,2.5]"])
    assert config.recognizer.milestones == (1.0, 2.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.plan.micro_batch = 3


@pytest.mark.parametrize(
    ("dotlist", "key"),
    [
        (["plan.nonsense=1"], "plan.nonsense"),
        (["plan.micro_batch=many"], "plan.micro_batch"),
        (["plan.micro_batch=0"], "plan.micro_batch"),
        (["identities.max_cosine=1.5"], "identities.max_cosine"),
        (["identities.max_cosine=nan"], "identities.max_cosine"),
        (["sampler.kind=magic"], "sampler.kind"),
        (["recognizer.augment.crop=0.1"], "recognizer.augment.crop"),
        (["source.kind=folder"], "source.path"),
        (["source.path=/somewhere"], "source.path"),
        (["plan.fill_to=20"], "plan.fill_to"),
        (["identities.num_virtual=0"], "identities.num_virtual"),
        (["judge.checkpoint=starter:recognizer"], "judge.checkpoint"),
        (["generator.depth=4"], "generator.depth"),
        (["generator.width=66"], "generator.num_heads"),
        (["release.dataset=a/b"], "release.dataset"),
        (["release.version=.."], "release.version"),
        (["micro_batch"], "micro_batch"),
        (["source.heldout=/x"], "source.heldout"),
        (["source.holdout_identities=1"], "source.holdout_identities"),
        (["autoencoder.widths=[20]"], "autoencoder.widths"),
        (["autoencoder.widths=[]"], "autoencoder.widths"),
        (["release.version=1.10"], "release.version"),
        (["release.dataset=7"], "release.dataset"),
    ],
)
def test_bad_values_are_one_line_with_the_dotted_key(empty, dotlist, key):
    with pytest.raises(ConfigError) as caught:
        load(empty, dotlist)
    message = str(caught.value)
    assert key in message
    assert "\n" not in message


def test_missing_and_broken_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such config"):
        load(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("plan: [unclosed\n")
    with pytest.raises(ConfigError):
        load(broken)


def test_every_field_says_what_it_means():
    import ast

    folder = Path(__file__).parent.parent.parent / "factory/config"
    nodes = [
        node
        for name in ("learning.py", "making.py", "evaluating.py", "claims.py", "pipeline.py")
        for node in ast.parse((folder / name).read_text()).body
    ]
    assert len(nodes) > 20
    for node in nodes:
        if not isinstance(node, ast.ClassDef) or node.name == "Config":
            continue
        for i, statement in enumerate(node.body):
            if isinstance(statement, ast.AnnAssign) and "Config" not in ast.dump(
                statement.annotation
            ):
                following = node.body[i + 1]
                assert isinstance(following, ast.Expr), f"{node.name}.{statement.target.id}"


def test_absolute_paths_for_other_processes(empty, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = absolute(load(empty, ["store.url=here", "generator.checkpoint=runs/g"]))
    assert config.store.url == str(tmp_path / "here")
    assert config.generator.checkpoint == str(tmp_path / "runs/g")
    assert config.recognizer.checkpoint == "starter:recognizer"
    assert config.judge.checkpoint == "starter:judge"
