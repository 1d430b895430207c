"""The ledger of consent: on which basis the images of each person may be used, and until when.

A CSV with the columns person,basis,until that the owner keeps; no name of it leaves the machine.
Lineages hold its digest and how many people there are by each basis, so a basis is a few words and
holds no name.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from factory.checkpoint import file_sha256
from factory.config import SourceConfig
from factory.errors import ConfigError, SourceError
from factory.provenance.pseudonyms import key_in_environment, pseudonym
from factory.sources.tar_set import release_of
from factory.tables import Table, UserFile, nfc

COLUMNS = ["person", "basis", "until"]
BASIS = re.compile(r"(?:[^\W_]|[ ()-]){1,40}")
WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Consent:
    """A row of the ledger."""

    basis: str
    until: date | None
    """The last day on which it holds; None: no end."""
    line: int


@dataclass(frozen=True)
class Ledger:
    """Who consented to what."""

    path: str
    sha256: str
    people: dict[str, Consent]

    def covers(self, person: str, today: date) -> bool:
        """Whether somebody's images may be used on a day."""
        consent = self.people.get(nfc(person))
        return consent is not None and (consent.until is None or today <= consent.until)


def read_ledger(path: str) -> Ledger:
    """The ledger in a file.

    Raises ConfigError, with file and line, for other columns, text that is no Unicode, somebody
    twice, a row without a basis, a basis that is no short text or holds a name, or a day that is
    none.
    """
    table = Table(UserFile("source.consent", path, f"a CSV of {_columns()}, in UTF-8", ConfigError))
    if list(table.columns) != COLUMNS:
        raise ConfigError(f"{path}:1: has the columns {','.join(table.columns)}; want {_columns()}")
    people: dict[str, Consent] = {}
    for line, row in table.rows():
        _add(people, path, line, row)
    _refuse_names(people, path)
    return Ledger(path, file_sha256(Path(path)), people)


def check_consent(config: SourceConfig, names: Sequence[str], today: date) -> None:
    """Raise SourceError unless everybody in a source has a consent that holds `today`.

    Nothing is checked without source.consent. Nobody is named: an error gives the line of the
    ledger, or the place among the people of the source in the order of their names.
    """
    if not config.consent:
        return
    ledger = _with_pseudonyms(read_ledger(config.consent))
    real = _real_people(config, names)
    lacking = [place for place in real if not ledger.covers(names[place], today)]
    if not lacking:
        return
    first = ledger.people.get(nfc(names[lacking[0]]))
    where = (
        f"the one of line {first.line}, whose consent ended on {first.until}"
        if first
        else f"the person at place {lacking[0] + 1} in the order of names, who is not in it"
    )
    raise SourceError(
        f"source.consent: {len(lacking)} of {len(real)} people of the source have no consent on "
        f"{today} by {config.consent}, first {where}; leave them out of the source, renew their "
        "consent, or take them out of what was made with `python -m jobs.forget`"
    )


def consent_facts(config: SourceConfig, names: Sequence[str]) -> tuple[dict[str, int], str]:
    """(people of a source by the basis of their consent, sha256 of the ledger); empty without."""
    if not config.consent:
        return {}, ""
    ledger = _with_pseudonyms(read_ledger(config.consent))
    known = [name for name in map(nfc, names) if name in ledger.people]
    bases = Counter(ledger.people[name].basis for name in known)
    return dict(sorted(bases.items())), ledger.sha256


def _add(people: dict[str, Consent], path: str, line: int, row: list[str]) -> None:
    where = f"{path}:{line}"
    person, basis, until = row
    if not person or not basis:
        lacks = "basis" if person else "person"
        raise ConfigError(f"{where}: {lacks} is empty; want who consented, and on which basis")
    if person in people:
        raise ConfigError(
            f"{where}: is about the person of line {people[person].line}; want a row a person"
        )
    if not BASIS.fullmatch(basis):  # which is not repeated, for it may hold anything
        raise ConfigError(
            f"{where}: basis is no short text; want at most 40 letters, digits, spaces, - and "
            "parentheses, as signed consent"
        )
    try:
        day = date.fromisoformat(until) if until else None
    except ValueError:
        raise ConfigError(f"{where}: until is {until!r}; want a day as 2030-12-31") from None
    people[person] = Consent(basis, day, line)


def _refuse_names(people: Mapping[str, Consent], path: str) -> None:
    """Raise ConfigError for a basis that holds all words of somebody's name, in any order."""
    named = defaultdict[str, list[str]](list)
    for person in people:
        words = _words(person)
        if any(not word.isdecimal() for word in words):  # a number alone is nobody's name
            named[words[0]].append(person)
    first_line: dict[str, int] = {}
    for consent in people.values():
        first_line.setdefault(consent.basis, consent.line)
    for basis, line in first_line.items():
        words = _words(basis)
        for person in (person for word in words for person in named[word]):
            if set(words).issuperset(_words(person)):
                raise ConfigError(
                    f"{path}:{line}: basis holds the name of the person of line "
                    f"{people[person].line}; want on which basis alone, as signed consent"
                )


def _words(text: str) -> list[str]:
    return WORD.findall(text.casefold())


def _with_pseudonyms(ledger: Ledger) -> Ledger:
    """The ledger that also knows people by their pseudonyms, as releases call them."""
    key = key_in_environment()
    if key is None:
        return ledger
    called = {pseudonym(key, person): consent for person, consent in ledger.people.items()}
    return Ledger(ledger.path, ledger.sha256, called | ledger.people)


def _real_people(config: SourceConfig, names: Sequence[str]) -> list[int]:
    """Places of the people who need consent: of a release not those who are class numbers."""
    origin = release_of(config)
    if origin is not None and not origin["holds_real_identities"]:
        return []
    return [place for place, name in enumerate(names) if origin is None or not name.isdecimal()]


def _columns() -> str:
    return ",".join(COLUMNS)
