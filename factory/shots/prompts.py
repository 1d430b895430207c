"""Prompts of a text-to-image model: a template whose blanks are drawn for every shot.

ID-Booth's prompt lists, METHODS 3.
"""

from __future__ import annotations

import string

from factory.config import PersonalizationConfig
from factory.errors import ConfigError, SourceError
from factory.provenance.naming import Naming
from factory.records import Identity
from factory.seeds import stream_seed
from factory.shots.request import PromptRequest
from factory.tables import Table, UserFile, nfc

LISTS = {
    "view": "views",
    "background": "backgrounds",
    "expression": "expressions",
    "light": "lights",
}
"""Blanks of personalization.template and the fields that fill them; personalization.genders fills
{gender}."""


def prompt_request(
    personalization: PersonalizationConfig,
    names: list[str],
    negative_prompt: str,
    detector: str | None,
    naming: Naming,
) -> PromptRequest:
    """What a plan keeps of the prompts, people called as `naming` says.

    Raises ConfigError or SourceError for what cannot be.
    """
    try:
        parsed = list(string.Formatter().parse(personalization.template))
    except ValueError:
        parsed = [("", "", "!", None)]  # a brace that is not closed
    if any(name == "" or form or conversion for _, name, form, conversion in parsed):
        raise ConfigError(
            f"personalization.template: got {personalization.template!r}; want blanks such as "
            "{view}, nothing else in braces"
        )
    blanks = {name for _, name, _, _ in parsed if name}
    unknown = sorted(blanks - {"gender", *LISTS})
    if unknown:
        raise ConfigError(
            f"personalization.template: has a blank {{{unknown[0]}}}; want gender, "
            f"{', '.join(LISTS)}"
        )
    for blank in sorted(blanks - {"gender"}):
        if not getattr(personalization, LISTS[blank]):
            raise ConfigError(
                f"personalization.{LISTS[blank]}: is empty; want words, or no {{{blank}}}"
            )
    genders = _read_genders(personalization.genders) if personalization.genders else {}
    missing = [name for name in names if personalization.genders and nfc(name) not in genders]
    if missing:
        raise SourceError(
            f"personalization.genders: {personalization.genders} has no row for "
            f"{naming.of(missing[0])!r} ({len(missing)} of {len(names)} people); add it"
        )
    return PromptRequest(
        template=personalization.template,
        lists={blank: list(getattr(personalization, LISTS[blank])) for blank in LISTS},
        genders={naming.of(name): genders[nfc(name)] for name in names if nfc(name) in genders},
        negative_prompt=negative_prompt,
        crop=personalization.crop,
        detector=detector,
    )


def prompt_of(
    request: PromptRequest, identity: Identity, stream: tuple[int, int, int], attempt: int
) -> str:
    """The prompt of a shot: every blank drawn by itself from (seed, identity, image, attempt)."""
    gender = request.genders.get(identity.name, "")
    words = {"gender": f"{gender} " if gender else ""}
    for blank, options in request.lists.items():
        if options:
            drawn = stream_seed(*stream, "prompt", blank, attempt) % len(options)
            words[blank] = options[drawn]
    return request.template.format(**words)


def _read_genders(file: str) -> dict[str, str]:
    table = Table(UserFile("personalization.genders", file, "a CSV of name,gender, in UTF-8"))
    if len(table.columns) < 2:
        raise SourceError(
            f"personalization.genders: {file} has one column; want a CSV of name,gender"
        )
    by, gender = table.columns[:2]
    return {name: row[gender] for name, row in table.keyed(by).items()}
