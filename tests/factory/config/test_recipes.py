"""Every recipe stands alone: what it needs from outside is a required key, and then it loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from factory.config import ClaimConfig, Config, PipelineConfig, load, load_claim, load_pipeline
from factory.config.arguments import apply_arguments
from factory.config.loading import required_keys
from factory.config.reading import read_file
from factory.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent.parent
RECIPES = sorted((ROOT / "configs").rglob("*.yaml"))
TYPES = {"claims": (load_claim, ClaimConfig), "pipeline": (load_pipeline, PipelineConfig)}
LISTS = ("base_training.tables",)

pytestmark = pytest.mark.parametrize("file", RECIPES, ids=lambda f: f"{f.parent.name}-{f.stem}")


def needed(file: Path, folder: Path) -> list[str]:
    """Arguments that give what a recipe needs."""
    tree = read_file(file)
    texts = [part.text for part in tree.get("settings", [])]
    keys = [key for key, _ in required_keys(tree)]
    keys += [text.removesuffix("=???") for text in texts if text.endswith("=???")]
    return [f"{key}=[{folder}]" if key in LISTS else f"{key}={folder}/x.bin" for key in keys]


def kind_of(file: Path) -> str:
    """claims, pipeline, or another folder of recipes."""
    return "pipeline" if "stages" in read_file(file) else file.parent.name


def test_it_loads_with_what_it_needs_and_not_without(file, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    reader, schema = TYPES.get(kind_of(file), (load, Config))
    arguments = needed(file, tmp_path)
    assert isinstance(reader(file, arguments), schema)
    for index, argument in enumerate(arguments):
        key = re.escape(argument.partition("=")[0])
        with pytest.raises(ConfigError, match=rf"^{key}: this recipe needs it: \w.* {key}=\.\.\.$"):
            reader(file, arguments[:index] + arguments[index + 1 :])


def test_it_needs_faces_with_their_license_and_few_need_more(file, tmp_path):
    several = {"inpainting", "pose", "controlnet", "cemiface10k", "sd21", "occlusion", "semi_hard"}
    names = {f"{file.parent.name}/{file.stem}", file.stem}
    most = 2 if names & {*several, "base_model/mini", "personalization/mini", "utility/mini"} else 1
    further = [key for key in needed(file, tmp_path) if "license=" not in key]
    assert len(further) <= most


def test_it_names_no_path_outside_the_repository(file):
    assert not re.search(r"\.\./(?!schema)|[ =]/\w", file.read_text().partition("\n")[2])


def test_files_that_it_names_of_the_repository_are_there(file):
    for name in re.findall(r"configs/[\w/]+\.yaml", file.read_text()):
        assert (ROOT / name).is_file(), name


def test_the_configs_that_its_stages_and_arms_begin_with_load(file, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    if kind_of(file) == "pipeline":
        for stage in load_pipeline(file, needed(file, tmp_path)).stages:
            assert load(stage.config, stage.set)
    elif kind_of(file) == "claims":
        for arm in load_claim(file, needed(file, tmp_path)).arms.values():
            assert load(arm.config, arm.set)
            if arm.release:
                assert load(arm.release, arm.release_set)
    else:
        tree = apply_arguments(Config, read_file(file), needed(file, tmp_path))
        assert not list(required_keys(tree))
