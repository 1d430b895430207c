"""From texts to the values that a dataclass wants, and one line for each that it cannot take."""

from __future__ import annotations

import math
import re
import typing
from typing import Any, Literal

from factory.config.hints import unknown_key
from factory.config.reading import Scalar, Tree
from factory.config.renamed import RENAMED_VALUES
from factory.config.types import Schema, fields_of, in_words, is_section, part_of, without_none
from factory.errors import ConfigError

BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def to_object(schema: Schema, tree: Tree) -> Any:
    """An object of a dataclass of settings; raises ConfigError in one line."""
    return _section(schema, schema, tree, "")


def _section(root: Schema, schema: Schema, tree: Tree, key: str) -> Any:
    """An object of a section; a section without keys has the defaults."""
    if isinstance(tree, Scalar) and tree.is_null:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(
            f"{key}: got {_shown(tree)}; want a section, as in `{key}:` with keys below it"
        )
    types = fields_of(schema)
    values = {}
    for name, value in tree.items():
        dotted = f"{key}.{name}" if key else name
        if name not in types:
            raise unknown_key(root, schema, dotted, value)
        values[name] = _value(root, types[name], value, dotted)
    return schema(**values)


def _value(root: Schema, kind: Any, tree: Tree, key: str) -> Any:
    """The value of a field of any type."""
    inner, optional = without_none(kind)
    if is_section(inner):
        return _section(root, inner, tree, key)
    if optional and isinstance(tree, Scalar) and tree.is_null:
        return None
    origin = typing.get_origin(inner)
    if origin in (tuple, list):
        if not isinstance(tree, list):
            raise _wrong(key, tree, kind)
        part = part_of(inner)
        parts = [_value(root, part, value, f"{key}[{i}]") for i, value in enumerate(tree)]
        arguments = typing.get_args(inner)
        if origin is tuple and Ellipsis not in arguments and len(parts) != len(arguments):
            raise _wrong(key, tree, kind)
        return parts if origin is list else tuple(parts)
    if origin is dict:
        if not isinstance(tree, dict):
            raise _wrong(key, tree, kind)
        part = part_of(inner)
        return {name: _value(root, part, value, f"{key}.{name}") for name, value in tree.items()}
    if not isinstance(tree, Scalar):
        raise _wrong(key, tree, kind)
    return _single(kind, inner, tree, key)


def _single(kind: Any, inner: Any, scalar: Scalar, key: str) -> Any:
    """A text, number, boolean or choice."""
    text = scalar.text
    if inner is str:
        if scalar.is_null and not (scalar.is_argument and text == ""):
            raise _wrong(key, scalar, kind)
        return text
    if typing.get_origin(inner) is Literal:
        choices = typing.get_args(inner)
        if text in choices:
            return text
        if True in choices and text.lower() in BOOLEANS:
            return BOOLEANS[text.lower()]
        new_value = RENAMED_VALUES.get(key, {}).get(text)
        if new_value:
            raise ConfigError(f"{key}: the value {text!r} was renamed to {new_value!r}")
    elif inner is bool and text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    elif inner is int and re.fullmatch(r"[+-]?\d+(_\d+)*", text):
        return int(text)
    elif inner is float:
        number = _number(text)
        if not math.isnan(number):
            return number
    raise _wrong(key, scalar, kind)


def _number(text: str) -> float:
    """A number as Python or YAML write it; NaN for what is none."""
    try:
        return float(re.sub(r"^([+-]?)\.inf$", r"\1inf", text.strip().lower()))
    except ValueError:
        return math.nan


def _wrong(key: str, tree: Tree, kind: Any) -> ConfigError:
    return ConfigError(f"{key}: got {_shown(tree)}; want {in_words(kind)}")


def _shown(tree: Tree) -> str:
    """A value as it stands in a message."""
    if isinstance(tree, Scalar):
        return "nothing" if tree.is_null else repr(tree.text)
    if isinstance(tree, dict):
        return "a section"
    texts = [part.text for part in tree if isinstance(part, Scalar)]
    shown = f"[{', '.join(texts)}]"
    return shown if len(texts) == len(tree) and len(shown) < 60 else f"a list of {len(tree)}"
