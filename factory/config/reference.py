"""Every key of a config with its type, range, default and meaning, and the JSON schema of editors.

All of it is read from the dataclasses: a meaning is the string under its field.
"""

from __future__ import annotations

import ast
import dataclasses
import difflib
import inspect
import math
import shutil
import textwrap
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from factory.config.data import SourceConfig
from factory.config.reading import REQUIRED
from factory.config.types import (
    Schema,
    fields_of,
    in_words,
    is_section,
    part_of,
    range_in_words,
    without_none,
)
from factory.errors import ConfigError


@dataclass(frozen=True)
class KeyReference:
    """What there is to know of one key."""

    key: str
    kind: str
    """Type and range in words."""
    default: str
    meaning: str


@dataclass(frozen=True)
class SectionReference:
    """A section: what it is for, and its keys in the order of the dataclass."""

    name: str
    meaning: str
    keys: tuple[KeyReference, ...]


def reference(schema: Schema) -> list[SectionReference]:
    """All sections of a config, in its order; sections in sections are named with dots."""
    sections = []
    for name, kind in fields_of(schema).items():
        if is_section(kind):
            sections += list(_sections(kind, name))
    return sections


def select(sections: list[SectionReference], wanted: str) -> list[SectionReference]:
    """The section or the key that is wanted; a bare key is found in every section that has it.

    Raises ConfigError that names the nearest where there is none.
    """
    for section in sections:
        if section.name == wanted:
            return [part for part in sections if f"{part.name}.".startswith(f"{wanted}.")]
    chosen = []
    for section in sections:
        keys = tuple(key for key in section.keys if wanted in (key.key, key.key.rpartition(".")[2]))
        if keys:
            chosen.append(dataclasses.replace(section, keys=keys))
    if chosen:
        return chosen
    names = [section.name for section in sections]
    names += [key.key for section in sections for key in section.keys]
    close = difflib.get_close_matches(wanted, names, 1, 0.6)
    hint = f"did you mean {close[0]}?" if close else "`python -m jobs config` lists all sections"
    raise ConfigError(f"{wanted}: no such section or key; {hint}")


def _sections(schema: Schema, name: str) -> Iterator[SectionReference]:
    """A section, and after it those in it and in the entries of its lists."""
    types, defaults, meanings = fields_of(schema), defaults_of(schema), meanings_of(schema)
    keys, inner = [], []
    for field in dataclasses.fields(schema):
        key, kind = f"{name}.{field.name}", types[field.name]
        meaning = meanings.get(field.name, "").replace("None", "null")
        part = part_of(kind) if typing.get_origin(kind) is list else kind
        if part is SourceConfig:
            meaning += " Its keys are those of the section `source`."
        elif is_section(part):
            inner.append((part, key if part is kind else f"{key}[0]"))
        if part is SourceConfig or not is_section(kind):
            default = shown(defaults[field.name])
            keys.append(KeyReference(key, _kind(field, kind), default, meaning))
    yield SectionReference(name, _meaning_of_section(schema), tuple(keys))
    for part, key in inner:
        yield from _sections(part, key)


def _kind(field: dataclasses.Field[Any], kind: Any) -> str:
    span = range_in_words(field.metadata)
    words = in_words(kind)
    if field.metadata.get("path"):
        words = words.replace("text", "path", 1)
    if not span:
        return words
    if words.endswith(", or null"):
        return f"{words.removesuffix(', or null')}, {span}, or null"
    return f"{words}, {span}"


def _meaning_of_section(schema: Schema) -> str:
    return " ".join(inspect.cleandoc(schema.__doc__ or "").split()).replace("None", "null")


def meanings_of(schema: Schema) -> dict[str, str]:
    """The string under each field of a dataclass, those of its bases too, in one line each."""
    meanings: dict[str, str] = {}
    for base in reversed(schema.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(body, ast.ClassDef)
        for statement, following in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                text = str(following.value.value)
                meanings[statement.target.id] = " ".join(text.split())
    return meanings


def defaults_of(schema: Schema) -> dict[str, Any]:
    """Default of each field of a dataclass."""
    return {
        field.name: field.default
        if field.default is not dataclasses.MISSING
        else typing.cast(Callable[[], Any], field.default_factory)()
        for field in dataclasses.fields(schema)
    }


def shown(value: Any) -> str:
    """A value as YAML has it."""
    if dataclasses.is_dataclass(value):
        return "{}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        text = f"{value:g}"
        return text if "." in text or "e" in text else f"{text}.0"
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(part) for part in value)}]"
    if isinstance(value, str) and (value == "" or value != value.strip()):
        return f'"{value}"'
    return str(value)


def json_schema(schema: Schema) -> dict[str, Any]:
    """JSON schema (2020-12) of the YAML files of a dataclass, with meanings for the editor."""
    definitions: dict[str, Any] = {}
    root = _object(schema, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": schema.__name__,
        "description": _meaning_of_section(schema),
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _object(schema: Schema, definitions: dict[str, Any]) -> dict[str, Any]:
    meanings, defaults = meanings_of(schema), defaults_of(schema)
    properties = {}
    for field in dataclasses.fields(schema):
        kind = fields_of(schema)[field.name]
        entry = _schema_of(kind, definitions)
        for name, bound in (("minimum", "low"), ("maximum", "high")):
            if math.isfinite(field.metadata.get(bound, math.inf)):
                entry[name] = field.metadata[bound]
        if field.name in meanings:
            entry["description"] = meanings[field.name]
        if not is_section(kind) and defaults[field.name] not in ([], {}):
            value = defaults[field.name]
            entry["default"] = list(value) if isinstance(value, tuple) else value
        properties[field.name] = entry
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _schema_of(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    inner, optional = without_none(kind)
    origin, arguments = typing.get_origin(inner), typing.get_args(inner)
    if is_section(inner):
        name = inner.__name__
        if name not in definitions:
            definitions[name] = {}
            definitions[name] |= _object(inner, definitions)
            definitions[name]["type"] = ["object", "null"]  # because a section may be empty
            definitions[name]["description"] = _meaning_of_section(inner)
        return {"$ref": f"#/$defs/{name}"}
    if origin is Literal:
        return {"enum": [*arguments, *([None] if optional else [])]}
    if origin in (tuple, list):
        array: dict[str, Any] = {"type": "array", "items": _schema_of(arguments[0], definitions)}
        if origin is tuple and Ellipsis not in arguments:
            array |= {"minItems": len(arguments), "maxItems": len(arguments)}
        return {"anyOf": [array, {"const": REQUIRED}]} if origin is tuple else array
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of(arguments[1], definitions)}
    name = {str: "string", int: "integer", float: "number", bool: "boolean"}[inner]
    return {"type": [name, "null"] if optional else name}


def print_reference(sections: list[SectionReference], *, details: bool) -> None:
    """Print sections, with `details` all their keys; colors only where a person is looking."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    indent = max(len(section.name) for section in sections)
    for section in sections:
        first, _, _ = section.meaning.partition(". ")
        if not details:
            name = Text(f"{section.name:{indent}}", style="bold cyan")
            console.print(Text.assemble("  ", name, "  ", first.rstrip(".")))
            continue
        console.print(Text(section.name, style="bold cyan"))
        console.print(textwrap.fill(section.meaning, width))
        for key in section.keys:
            console.print()
            console.print(
                Text.assemble("  ", (key.key, "bold"), f" = {key.default}   ", (key.kind, "dim"))
            )
            console.print(textwrap.indent(textwrap.fill(key.meaning, width - 6), " " * 6))
        console.print()
