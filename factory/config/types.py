"""Types of fields in plain words, and the types at a dotted key."""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

Schema = type[Any]
"""A dataclass of settings: Config, ClaimConfig, PipelineConfig, or a section of them."""


def fields_of(schema: Schema) -> dict[str, Any]:
    """Types of a section's fields by name."""
    hints = typing.get_type_hints(schema)
    return {item.name: hints[item.name] for item in dataclasses.fields(schema)}


def without_none(kind: Any) -> tuple[Any, bool]:
    """(type without None, whether None is allowed)."""
    if typing.get_origin(kind) in (Union, types.UnionType):
        members = [member for member in typing.get_args(kind) if member is not type(None)]
        return members[0], len(members) < len(typing.get_args(kind))
    return kind, False


def is_section(kind: Any) -> bool:
    """Whether a type is a dataclass with keys of its own."""
    return dataclasses.is_dataclass(kind)


def is_text(kind: Any) -> bool:
    """Whether one text stands for a value of this type, not a list or section."""
    return not is_section(kind) and typing.get_origin(kind) not in (tuple, list, dict)


def part_of(kind: Any) -> Any:
    """Type of the values in a tuple, list or dictionary."""
    return typing.get_args(kind)[1 if typing.get_origin(kind) is dict else 0]


def split_key(key: str) -> list[str | int]:
    """Names and list positions of a dotted key: `utility.benchmarks[0].path` has four."""
    steps: list[str | int] = []
    for name in key.split("."):
        stem, *positions = re.split(r"\[(\d+)\]", name)
        steps += [stem, *(int(position) for position in positions if position)]
    return steps


def join_key(steps: list[str | int]) -> str:
    """The dotted key of names and list positions."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def leaves(schema: Schema, prefix: str = "") -> dict[str, Any]:
    """Types by dotted key, without the sections themselves."""
    types_by_key: dict[str, Any] = {}
    for name, kind in fields_of(schema).items():
        if is_section(kind):
            types_by_key |= leaves(kind, f"{prefix}{name}.")
        else:
            types_by_key[prefix + name] = kind
    return types_by_key


def in_words(kind: Any) -> str:
    """What a value of this type is, for people who write no Python."""
    inner, optional = without_none(kind)
    return _words(inner) + (", or null" if optional else "")


def _words(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if is_section(kind):
        return "a section with keys of its own"
    if origin is Literal:
        choices = [
            str(choice).lower() if isinstance(choice, bool) else choice for choice in arguments
        ]
        return "one of " + ", ".join(str(choice) for choice in choices)
    if origin is tuple and Ellipsis not in arguments:
        count = {2: "two", 3: "three"}.get(len(arguments), str(len(arguments)))
        return f"{count} {PLURAL[arguments[0]]}, as in {EXAMPLE[arguments[0]]}"
    if origin is tuple:
        return f"a list of {PLURAL[arguments[0]]}, as in {EXAMPLE[arguments[0]]}"
    if origin is list:
        return "a list of sections, as in [{key: value}]"
    if origin is dict:
        return BY_NAME.get(arguments[1], "sections by name")
    return SINGULAR[kind]


SINGULAR = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
PLURAL = {str: "texts", int: "whole numbers", float: "numbers"}
BY_NAME = {float: "numbers by name, as in {a: 0.5}", str: "texts by name, as in {a: text}"}
EXAMPLE = {str: "[one, two]", int: "[1, 2]", float: "[0.5, 1.0]"}


def range_in_words(metadata: Mapping[str, Any]) -> str:
    """The inclusive range of a field in words; empty where it has none."""
    low, high = metadata.get("low", -math.inf), metadata.get("high", math.inf)
    if math.isfinite(low) and math.isfinite(high):
        return f"{_figure(low)} to {_figure(high)}"
    if math.isfinite(low):
        return f"at least {_figure(low)}"
    return f"at most {_figure(high)}" if math.isfinite(high) else ""


def _figure(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"
