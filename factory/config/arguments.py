"""Arguments `section.key=value`, laid over what a YAML file says."""

from __future__ import annotations

import typing
from typing import Any

from factory.config.hints import unknown_key
from factory.config.reading import Scalar, Tree, read_text
from factory.config.types import (
    Schema,
    fields_of,
    is_section,
    is_text,
    join_key,
    leaves,
    part_of,
    split_key,
    without_none,
)
from factory.errors import ConfigError


def apply_arguments(schema: Schema, tree: dict[str, Tree], arguments: list[str]) -> Tree:
    """The tree with `section.key=value` arguments laid over it, the last one on top.

    A value for a text or a number is taken as it stands, so `source.path=set #2` needs no second
    quotes; lists and sections are YAML. Raises ConfigError in one line.
    """
    merged: Tree = tree
    for index, argument in enumerate(arguments):
        key, equals, text = argument.partition("=")
        if not equals or not key or key != key.strip() or key.startswith("-"):
            raise _not_an_assignment(schema, arguments, index)
        steps = split_key(key)
        value = _value(_type_at(schema, steps, text), key, text)
        merged = _laid_over(merged, steps, value, key)
    return merged


def _value(kind: Any, key: str, text: str) -> Tree:
    """The tree of a value: the text itself, unless the key holds a list or a section."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if is_text(without_none(kind)[0]) and not quoted:
        return Scalar(text, is_argument=True)
    return read_text(text, key)


def _type_at(schema: Schema, steps: list[str | int], text: str) -> Any:
    """Type of the field at a key; raises ConfigError for a key that there is not."""
    kind: Any = schema
    for depth, step in enumerate(steps):
        inner = without_none(kind)[0]
        is_field = is_section(inner) and step in fields_of(inner)
        if is_field:
            kind = fields_of(inner)[str(step)]
        elif not is_text(inner) and not is_section(inner):
            if isinstance(step, int) == (typing.get_origin(inner) is dict):
                raise ConfigError(f"{join_key(steps)}: {join_key(steps[:depth])} has no such entry")
            kind = part_of(inner)
        else:
            section = inner if is_section(inner) else schema
            value = Scalar(text) if depth == len(steps) - 1 else None
            raise unknown_key(schema, section, join_key(steps), value)
    return kind


def _laid_over(tree: Tree, steps: list[str | int], value: Tree, key: str) -> Tree:
    """A copy of the tree with the value at the key; a section is added to, not replaced."""
    if not steps:
        both = isinstance(tree, dict) and isinstance(value, dict)
        if not both:
            return value
        for name, part in typing.cast(dict[str, Tree], value).items():
            tree = _laid_over(tree, [name], part, key)
        return tree
    step, *rest = steps
    if isinstance(step, int):
        if not isinstance(tree, list) or step >= len(tree):
            count = len(tree) if isinstance(tree, list) else 0
            raise ConfigError(f"{key}: there is no entry {step}; the config has {count}")
        return [*tree[:step], _laid_over(tree[step], rest, value, key), *tree[step + 1 :]]
    if isinstance(tree, Scalar) and tree.is_null:
        tree = {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{key}: the config has no section there that could hold {step!r}")
    return tree | {step: _laid_over(tree.get(step, Scalar("")), rest, value, key)}


def _not_an_assignment(schema: Schema, arguments: list[str], index: int) -> ConfigError:
    """The error for an argument that is not section.key=value; it says what was probably meant."""
    argument = arguments[index]
    key, equals, value = argument.partition("=")
    key, value = key.strip().lstrip("-").rstrip(":"), value.strip()
    following = [word for word in arguments[index + 1 : index + 3] if word != "="]
    if not equals and following and "=" not in following[0]:
        value = following[0]
    if key in leaves(schema):
        return ConfigError(f"{argument!r}: want {key}={value or '...'}, without spaces or dashes")
    return ConfigError(f"{argument!r}: want section.key=value, as in sampler.guidance=2")
