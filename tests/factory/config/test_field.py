"""Fields that name files are marked, so that other processes find them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest

from factory.config import ClaimConfig, Config, PipelineConfig
from factory.config.field import file_path, knob
from factory.config.reference import meanings_of
from factory.config.types import fields_of, is_section, is_text, part_of, without_none

NAMES_A_FILE = re.compile(
    r"\b(folders?|files?|paths?|checkpoint|csvs?)\b|\.(csv|onnx|npy|rec|bin|txt|tar)\b", re.I
)
NO_FILES = {
    "BatchesConfig.domain": "a word in logs",
    "MixedSource.domain": "a word in logs",
    "IdentitiesConfig.attribute": "a column of a file",
    "ReleaseConfig.dataset": "a name in the store",
    "ReleaseConfig.version": "a name in the store",
    "PipelineConfig.name": "a name in the store",
    "StageConfig.name": "a name in the file",
    "ArmConfig.set": "settings, which are loaded as a config of their own",
}


def sections_of(schema: type) -> Iterator[type]:
    """A dataclass of settings and all those in it."""
    yield schema
    for kind in fields_of(schema).values():
        inner = without_none(kind)[0]
        part = inner if is_section(inner) or is_text(inner) else part_of(inner)
        if is_section(part):
            yield from sections_of(part)


SECTIONS = sorted(
    {s for schema in (Config, ClaimConfig, PipelineConfig) for s in sections_of(schema)},
    key=lambda section: section.__name__,
)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.__name__)
def test_a_field_whose_string_speaks_of_a_file_is_marked(section):
    for field in dataclasses.fields(section):
        kind = without_none(fields_of(section)[field.name])[0]
        name = f"{section.__name__}.{field.name}"
        if kind not in (str, tuple[str, ...]) or name in NO_FILES:
            continue
        if NAMES_A_FILE.search(meanings_of(section)[field.name]):
            assert field.metadata.get("path"), f"{name} names a file: want file_path()"


def test_exceptions_are_fields_that_there_are():
    names = {f"{s.__name__}.{field.name}" for s in SECTIONS for field in dataclasses.fields(s)}
    assert set(NO_FILES) <= names


def test_ranges_and_marks_are_kept_with_the_field():
    assert knob(1, low=0, high=2).metadata == {"low": 0, "high": 2}
    marks = {"path": True, "or_name": "checkpoint", "images": False, "only_local": False}
    assert file_path(or_name="checkpoint").metadata == marks
    assert file_path(()).default == ()
