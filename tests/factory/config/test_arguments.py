"""`section.key=value`: what was typed is what is meant, and what else was typed is explained."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.errors import ConfigError


@pytest.mark.parametrize(
    "name", ["set #2", "010", "2024_01", "yes", "1e3", "a: b", "[x]", "a=b", "#"]
)
def test_a_text_is_taken_as_it_was_typed(empty, name):
    assert load(empty, ["source.kind=folder", f"source.path={name}"]).source.path == name


def test_versions_that_look_like_numbers_stay_apart(empty):
    versions = [load(empty, [f"release.version={v}"]).release.version for v in ("1.1", "1.10")]
    assert versions == ["1.1", "1.10"]
    assert load(empty, ["release.version='1.10'"]).release.version == "1.10"


def test_no_value_is_null_where_that_is_allowed_and_else_an_empty_text(empty):
    assert load(empty, ["judge.checkpoint="]).judge.checkpoint is None
    assert load(empty, ["judge.checkpoint=None"]).judge.checkpoint is None
    assert load(empty, ["base_model.negative_prompt="]).base_model.negative_prompt == ""


def test_lists_and_sections_are_yaml(empty):
    config = load(
        empty,
        [
            "base_training.tables=[010, 'a, b']",
            "batches.mix=[{source: {kind: folder, path: 010}, weight: 2}]",
            "source={kind: folder, path: x}",
            "source.image_px=64",
        ],
    )
    assert config.base_training.tables == ("010", "a, b")
    assert config.batches.mix[0].source.path == "010"
    assert (config.source.path, config.source.image_px) == ("x", 64)


def test_an_argument_reaches_into_a_list_of_the_file(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("utility:\n  benchmarks:\n    - pairs: ???\n    - pairs: b.bin\n")
    config = load(file, ["utility.benchmarks[0].pairs=a.bin"])
    assert [benchmark.pairs for benchmark in config.utility.benchmarks] == ["a.bin", "b.bin"]
    with pytest.raises(ConfigError, match=r"no entry 2; the config has 2"):
        load(file, ["utility.benchmarks[2].pairs=a.bin"])


def test_a_dictionary_is_added_to(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("identities: {attributes: g.csv, quotas: {a: 0.5, b: 0.5}}\n")
    config = load(file, ["identities.quotas.a=0.25", "identities.quotas.c=0.25"])
    assert config.identities.quotas == {"a": 0.25, "b": 0.5, "c": 0.25}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sampler.guidance=2"], "want sampler.guidance=2, without spaces or dashes"),
        (["sampler.guidance", "2"], "want sampler.guidance=2, without spaces or dashes"),
        (["sampler.guidance", "=", "2"], "want sampler.guidance=2, without spaces or dashes"),
        (["sampler.guidance:", "2"], "want sampler.guidance=2, without spaces or dashes"),
        (["sampler.guidance = 2"], "want sampler.guidance=2, without spaces or dashes"),
        (["sampler.guidance"], "want sampler.guidance=..., without"),
        (["guidance"], "'guidance': want section.key=value"),
        (["=3"], "'=3': want section.key=value"),
        (["base_training.tables=[a #2, b]"], "base_training.tables: a bracket is not closed"),
        (["sampler.guidance.x=3"], "sampler.guidance.x: no such key; did you mean"),
        (["identities.quotas[0]=3"], "identities.quotas[0]: identities.quotas has no such entry"),
        (["utility.benchmarks.path=3"], "utility.benchmarks has no such entry"),
    ],
)
def test_what_is_no_setting_is_explained(refusal, arguments, message):
    assert message in refusal(*arguments)


def test_a_key_below_a_text_of_the_file_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("plan: 5\n")
    with pytest.raises(ConfigError, match="the config has no section there"):
        load(tmp_path / "a.yaml", ["plan.micro_batch=3"])
