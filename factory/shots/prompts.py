"""What a text-to-image model is asked for: a template whose blanks are drawn for every shot
(ID-Booth's prompt lists, METHODS 3)."""

from __future__ import annotations

import csv
import string
from pathlib import Path
from typing import Any

from factory.config import PersonalizationConfig
from factory.errors import ConfigError, SourceError
from factory.records import Identity
from factory.seeds import stream_seed

LISTS = {
    "view": "views",
    "background": "backgrounds",
    "expression": "expressions",
    "light": "lights",
}
"""Blanks of booth.template and the knobs that fill them; {gender} is filled from booth.genders."""


def prompt_knobs(booth: PersonalizationConfig, names: list[str]) -> dict[str, Any]:
    """What a plan keeps of the prompts; raises ConfigError or SourceError for what cannot be."""
    try:
        parsed = list(string.Formatter().parse(booth.template))
    except ValueError:
        parsed = [("", "", "!", None)]  # a brace that is not closed
    if any(name == "" or form or conversion for _, name, form, conversion in parsed):
        raise ConfigError(
            f"booth.template: got {booth.template!r}; want blanks such as {{view}}, nothing else "
            "in braces"
        )
    blanks = {name for _, name, _, _ in parsed if name}
    unknown = sorted(blanks - {"gender", *LISTS})
    if unknown:
        raise ConfigError(
            f"booth.template: has a blank {{{unknown[0]}}}; want gender, {', '.join(LISTS)}"
        )
    for blank in sorted(blanks - {"gender"}):
        if not getattr(booth, LISTS[blank]):
            raise ConfigError(f"booth.{LISTS[blank]}: is empty; want words, or no {{{blank}}}")
    genders = _read_genders(booth.genders) if booth.genders else {}
    missing = [name for name in names if booth.genders and name not in genders]
    if missing:
        raise SourceError(
            f"booth.genders: {booth.genders} has no row for {missing[0]!r} ({len(missing)} of "
            f"{len(names)} people); add it"
        )
    return {
        "template": booth.template,
        "lists": {blank: list(getattr(booth, LISTS[blank])) for blank in LISTS},
        "genders": {name: genders[name] for name in names if name in genders},
        "negative_prompt": booth.negative_prompt,
    }


def prompt_of(
    knobs: dict[str, Any], who: Identity, stream: tuple[int, int, int], attempt: int
) -> str:
    """The prompt of a shot: every blank drawn by itself from (seed, identity, image, attempt)."""
    gender = knobs["genders"].get(who.name, "")
    words = {"gender": f"{gender} " if gender else ""}
    for blank, options in knobs["lists"].items():
        if options:
            drawn = stream_seed(*stream, "prompt", blank, attempt) % len(options)
            words[blank] = options[drawn]
    return str(knobs["template"]).format(**words)


def _read_genders(file: str) -> dict[str, str]:
    if not Path(file).is_file():
        raise SourceError(f"booth.genders: no file {file!r}; want a CSV of name,gender")
    with open(file, newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.reader(handle) if row]
    if any(len(row) < 2 for row in rows):
        raise SourceError(f"booth.genders: {file} has a row without a gender; want name,gender")
    return {row[0]: row[1] for row in rows[1:]}
