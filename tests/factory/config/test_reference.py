"""Every key is explained, and the schemas of editors are those of the dataclasses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from factory.config import ClaimConfig, Config, PipelineConfig
from factory.config.reference import (
    json_schema,
    meanings_of,
    print_reference,
    reference,
    select,
    shown,
)
from factory.config.types import fields_of, is_section, leaves
from factory.errors import ConfigError
from tests.factory.config.test_field import SECTIONS

ROOT = Path(__file__).parent.parent.parent.parent
SCHEMAS = {
    "configs/schema.json": ("release", Config),
    "configs/claims/schema.json": ("claim", ClaimConfig),
    "configs/pipeline/schema.json": ("pipeline", PipelineConfig),
}
RECIPES = sorted((ROOT / "configs").rglob("*.yaml"))


def test_every_key_of_a_config_is_in_the_reference_once():
    keys = [key.key for section in reference(Config) for key in section.keys]
    assert len(keys) == len(set(keys))
    assert set(leaves(Config)) <= set(keys)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_every_field_says_what_it_means(section):
    assert section.__doc__
    for field in dataclasses.fields(section):
        if not is_section(fields_of(section)[field.name]):
            assert meanings_of(section).get(field.name), f"{section.__name__}.{field.name}"


def test_a_key_has_type_range_default_and_meaning():
    (section,) = select(reference(Config), "sampler.num_steps")
    (key,) = section.keys
    assert (key.kind, key.default) == ("a whole number, 1 to 1000", "12")
    assert key.meaning.startswith("Network calls per image")
    (section,) = select(reference(Config), "plan.micro_batch")
    assert section.keys[0].kind == "a whole number, at least 1, or null"
    (section,) = select(reference(Config), "source.path")
    assert section.keys[0].kind == "path, or null"
    assert "None" not in section.keys[0].meaning  # YAML says null


def test_a_section_brings_the_sections_in_it_and_a_bare_key_all_its_owners():
    names = [section.name for section in select(reference(Config), "recognizer")]
    assert names == ["recognizer", "recognizer.augment", "recognizer.prototypes"]
    owners = [section.name for section in select(reference(Config), "num_virtual")]
    assert owners == ["recognizer", "identities"]
    with pytest.raises(
        ConfigError, match=r"samper: no such section or key; did you mean sampler\?"
    ):
        select(reference(Config), "samper")
    with pytest.raises(ConfigError, match="lists all sections"):
        select(reference(Config), "zzz")


def test_fields_of_a_base_class_are_explained_too():
    (section,) = [part for part in reference(Config) if part.name == "editing"]
    meanings = {key.key: key.meaning for key in section.keys}
    assert meanings["editing.soft_px"] == "Width of a region's edge, pixels."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(None, "null"), (True, "true"), (0.5, "0.5"), (1.0, "1.0"), (1e-5, "1e-05"), (3, "3")],
        *[((), "[]"), ((0.0, 1.0), "[0.0, 1.0]"), ("x", "x"), ("", '""'), ("a ", '"a "')],
    ],
)
def test_defaults_are_shown_as_yaml_has_them(value, text):
    assert shown(value) == text


def test_what_is_printed_is_plain_text_where_nobody_looks(capsys):
    print_reference(reference(Config), details=False)
    listed = capsys.readouterr().out
    assert "  sampler " in listed
    assert "\x1b" not in listed
    print_reference(select(reference(Config), "sampler"), details=True)
    printed = capsys.readouterr().out
    guidance = (
        "  sampler.guidance = 1.5   a number, 0 to 20, or null\n      g in x0 = u + g*(c - u)"
    )
    assert guidance in printed
    assert all(line == line.rstrip() for line in printed.splitlines())


@pytest.mark.parametrize("file", SCHEMAS)
def test_the_committed_schema_is_the_generated_one(file):
    name, schema = SCHEMAS[file]
    assert json.loads((ROOT / file).read_text()) == json_schema(schema), (
        f"run `python -m jobs config --schema {name} > {file}`"
    )


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: str(file.relative_to(ROOT)))
def test_recipes_name_their_schema_and_satisfy_it(file):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    first = file.read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    path = (file.parent / first.partition("=")[2]).resolve().relative_to(ROOT)
    assert str(path) in SCHEMAS
    validator = jsonschema.Draft202012Validator(json.loads((ROOT / path).read_text()))
    errors = list(validator.iter_errors(yaml.safe_load(file.read_text())))
    assert not errors, [(error.json_path, error.message) for error in errors]


def test_a_schema_refuses_what_loading_refuses():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    validator = jsonschema.Draft202012Validator(json_schema(Config))
    assert validator.is_valid({"plan": {"micro_batch": None}, "source": None})
    for wrong in (
        {"plan": {"nonsense": 1}},
        {"plan": {"micro_batch": 0}},
        {"plan": {"micro_batch": "many"}},
        {"sampler": {"kind": "magic"}},
        {"sampler": {"guidance_interval": [0.0]}},
        {"plan": [1]},
    ):
        assert not validator.is_valid(wrong), wrong
