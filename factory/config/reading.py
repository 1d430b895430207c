"""A YAML file as a tree of sections, lists and texts, before anything is known of their types.

A text stays as it was written: `version: 1.10` is not the number 1.1, and `path: 010` not 8. The
field that it is given to says what it means (convert.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.errors import ConfigError

NULLS = ("", "~", "null", "Null", "NULL", "None")
REQUIRED = "???"
"""Value of a key that a recipe needs and cannot know; its comment says what to give."""
MERGE_TAG = "tag:yaml.org,2002:merge"
IN_PLAIN_WORDS = {
    r"\\t": "a tab stands where YAML wants spaces; indent with spaces",
    r"expected ',' or": "a bracket is not closed; quote texts that hold # or a comma",
    "mapping values are not allowed": (
        "a colon stands where none can be; check the indentation, and quote a text that holds ': '"
    ),
    "could not find expected ':'": "a line is neither `key: value` nor part of the value above it",
    "block end": "a line is indented otherwise than those of its section",
    "undefined alias": "*NAME is used and &NAME stands nowhere above it",
    "while scanning a quoted": "a quote is not closed",
    "cannot start any token": "a value begins with a sign that YAML keeps for itself; quote it",
    "expected a single document": "`---` begins a second document; want one",
}
"""Beginnings of what PyYAML says, and what it means to the person who wrote the file."""


@dataclass(frozen=True)
class Scalar:
    """A text that stands for one value, as it was written."""

    text: str
    is_plain: bool = True
    """Whether it stood there without quotes."""
    is_argument: bool = False
    """Whether it came as section.key=value."""
    comment: str = ""
    """What follows it on its line after a #."""

    @property
    def is_null(self) -> bool:
        """Whether it stands for no value."""
        return self.is_plain and self.text in NULLS

    @property
    def is_required(self) -> bool:
        """Whether a value is still to be given."""
        return self.is_plain and self.text == REQUIRED


Tree = Scalar | list[Any] | dict[str, Any]
"""What YAML holds: texts, lists of trees, and sections of trees by key."""


def read_file(path: Path) -> dict[str, Tree]:
    """Sections of a YAML file; raises ConfigError in one line with the number of the line."""
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; want a YAML file such as configs/demo.yaml")
    if not path.is_file():
        raise ConfigError(
            f"{path}: no such config file; want a YAML file such as configs/demo.yaml"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path}: cannot be read; want YAML as UTF-8 text") from None
    tree = read_text(text, str(path))
    if isinstance(tree, Scalar) and tree.is_null:
        return {}
    if not isinstance(tree, dict):
        shape = "a list" if isinstance(tree, list) else f"the text {tree.text[:40]!r}"
        raise ConfigError(f"{path}: holds {shape}; want sections, as `source:` with keys below it")
    return tree


def read_text(text: str, origin: str) -> Tree:
    """The tree of a YAML text; `origin` names it in errors."""
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark and "\n" in text.strip() else ""
        reason = next(
            (plain for sign, plain in IN_PLAIN_WORDS.items() if re.search(sign, str(error))),
            "this is no YAML; check indentation, colons, brackets and quotes",
        )
        raise ConfigError(f"{origin}{line}: {reason}") from None
    if node is None:
        return Scalar("")
    return _tree(node, origin, text.splitlines(), "")


def _tree(node: Any, origin: str, lines: list[str], key: str) -> Tree:
    """A node of PyYAML as a tree; `key` is the dotted key that it stands under."""
    import yaml

    if isinstance(node, yaml.ScalarNode):
        return Scalar(str(node.value), node.style is None, comment=_comment(node, lines))
    if isinstance(node, yaml.SequenceNode):
        return [_tree(part, origin, lines, key) for part in node.value]
    section: dict[str, Tree] = {}
    inherited: dict[str, Tree] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{origin}, line {line}: a list or section stands for a key")
        name = str(key_node.value)
        dotted = f"{key}.{name}" if key else name
        if name in section:
            raise ConfigError(f"{dotted}: given again in {origin}, line {line}; want it once")
        value = _tree(value_node, origin, lines, dotted)
        if key_node.tag == MERGE_TAG and isinstance(value, dict):
            inherited |= value
        else:
            section[name] = value
    return inherited | section


def _comment(node: Any, lines: list[str]) -> str:
    """What follows a text on its line after a #."""
    mark = node.end_mark
    rest = lines[mark.line][mark.column :] if mark.line < len(lines) else ""
    match = re.match(r"\s+#\s*(.*)", rest)
    return match[1].strip() if match else ""
