"""Types and ranges in words, and the types at dotted keys."""

from __future__ import annotations

from typing import Literal

import pytest

from factory.config import Config
from factory.config.field import knob
from factory.config.types import in_words, join_key, leaves, range_in_words, split_key, without_none


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (str, "text"),
        (int | None, "a whole number, or null"),
        (float, "a number"),
        (bool, "true or false"),
        (Literal["a", "b"] | None, "one of a, b, or null"),
        (tuple[str, ...], "a list of texts, as in [one, two]"),
        (tuple[float, float], "two numbers, as in [0.5, 1.0]"),
        (dict[str, float], "numbers by name, as in {a: 0.5}"),
        (Config, "a section with keys of its own"),
        (list[Config], "a list of sections, as in [{key: value}]"),
        (dict[str, Config], "sections by name"),
    ],
)
def test_types_in_words(kind, words):
    assert in_words(kind) == words


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (knob(1, low=1), "at least 1"),
        (knob(1.0, high=0.5), "at most 0.5"),
        (knob(1, low=0, high=1000000), "0 to 1000000"),
        (knob(1.0), ""),
    ],
)
def test_ranges_in_words(field, words):
    assert range_in_words(field.metadata) == words


@pytest.mark.parametrize("key", ["a", "a.b", "a[0].b", "a[10][2]", "a.b[3]"])
def test_keys_are_split_and_joined(key):
    assert join_key(split_key(key)) == key
    assert split_key("a.b[3].c") == ["a", "b", 3, "c"]


def test_leaves_are_dotted_keys_with_their_types():
    assert leaves(Config)["recognizer.augment.crop"] is float
    assert "recognizer.augment" not in leaves(Config)
    assert without_none(leaves(Config)["source.path"]) == (str, True)
