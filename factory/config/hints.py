"""What a key that does not exist was probably meant to be."""

from __future__ import annotations

import difflib
from typing import Any

from factory.config.reading import Scalar
from factory.config.renamed import NEEDS_METHOD, RENAMED_VALUES, new_name
from factory.config.types import Schema, fields_of, is_section, leaves
from factory.errors import ConfigError

MOST_NAMED = 4
"""Keys that a message names at most."""


def unknown_key(root: Schema, schema: Schema, key: str, value: Any = None) -> ConfigError:
    """The error for a dotted key that `schema`, a section of `root`, does not have."""
    return ConfigError(
        _renamed(root, key, value)
        or _dots_in_yaml(root, schema, key)
        or _without_section(root, key, value)
        or _in_another_section(root, key)
        or _nearest(root, schema, key)
    )


def _renamed(root: Schema, key: str, value: Any) -> str:
    """What an old key of a release config is called now."""
    if "release" not in fields_of(root):
        return ""
    if "." not in key and isinstance(value, dict):
        key = next((f"{key}.{name}" for name in value), key)  # a whole section: name a key of it
        value = value.get(key.partition(".")[2])
    name = new_name(key)
    if name is None:
        return ""
    hint = f"{key}: renamed to {name}"
    text = value.text if isinstance(value, Scalar) else ""
    if text in RENAMED_VALUES.get(name, {}):
        hint += f", and the value {text!r} to {RENAMED_VALUES[name][text]!r}"
    if name == "sampler.guidance_interval":
        hint += ", which takes both ends, as in [0.0, 1.0]"
    if key in NEEDS_METHOD:
        hint += f"; it also needs {NEEDS_METHOD[key]}"
    return hint


def _dots_in_yaml(root: Schema, schema: Schema, key: str) -> str:
    """A dotted key that stands in YAML as if it were an argument."""
    if key not in leaves(root):
        return ""
    section, _, name = key.rpartition(".")
    return f"{key}: want it in two lines, `{section}:` and indented below it `{name}: ...`"


def _without_section(root: Schema, key: str, value: Any) -> str:
    """A key of some section, given without it."""
    if "." in key:
        return ""
    owners = [dotted for dotted in leaves(root) if dotted.endswith(f".{key}")]
    if not owners:
        return ""
    text = value.text if isinstance(value, Scalar) else "..."
    wanted = " or ".join(f"{dotted}={text}" for dotted in owners)
    return f"{key}: its section is missing; want {wanted}"


def _in_another_section(root: Schema, key: str) -> str:
    """A key that another section has."""
    name = key.rpartition(".")[2]
    owners = [dotted for dotted in leaves(root) if dotted.rpartition(".")[2] == name]
    if not owners or len(owners) > MOST_NAMED:
        return ""
    return f"{key}: no such key; did you mean {' or '.join(owners)}?"


def _nearest(root: Schema, schema: Schema, key: str) -> str:
    """The nearest key of the section, else of all, else what the section has."""
    section, _, name = key.rpartition(".")
    prefix = f"{section}." if section else ""
    names = list(fields_of(schema))
    close = [prefix + match for match in difflib.get_close_matches(name, names, 1, 0.6)]
    close = close or difflib.get_close_matches(key, leaves(root), 1, 0.7)
    if close:
        return f"{key}: no such key; did you mean {close[0]}?"
    is_top = schema is root and any(is_section(kind) for kind in fields_of(root).values())
    reference = "python -m jobs config" + (f" {section}" if section in fields_of(root) else "")
    if is_top and "release" in names:
        return f"{key}: no such section; `{reference}` lists all"
    return f"{key}: no such key; want one of {', '.join(names)}"
