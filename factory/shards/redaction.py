"""Texts that tell of errors, without names of real people and keys of their images.

What a maker raises goes to quarantine/, to events and to logs, and a message may hold the key of an
image in the source, which often is a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from factory.identities.roster import Roster
from factory.records import Shot

SHORTEST = 3
"""Characters of a word from which it is a name: shorter ones and numbers stand for much else."""


@dataclass(frozen=True)
class Redaction:
    """Words that tell who somebody is, and what to write in their place."""

    words: Mapping[str, str]

    @classmethod
    def of_person(cls, called: str, name: str, keys: Iterable[str]) -> Redaction:
        """For a person who is called otherwise than the source does; else nothing is replaced."""
        return cls(_words(called, name, dict.fromkeys(keys, called)) if called != name else {})

    def __call__(self, text: str) -> str:
        """The text without these words, the longest first."""
        for word in sorted(self.words, key=len, reverse=True):
            text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", self.words[word], text)
        return text

    def hide(self, error: BaseException) -> None:
        """Remove the words from an error, and from those that it was raised from or after."""
        chain: list[BaseException | None] = [error]
        seen: set[int] = set()
        while self.words and chain:
            one = chain.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            one.args = tuple(self._hidden(value) for value in one.args)
            if isinstance(one, OSError):
                one.filename = self._hidden(one.filename)
                if one.filename2 is not None:  # because one that is set to None is shown
                    one.filename2 = self._hidden(one.filename2)
            chain += [one.__cause__, one.__context__]

    def _hidden(self, value: Any) -> Any:
        return self(value) if isinstance(value, str) else value


def redaction_of(shots: Iterable[Shot], roster: Roster, real_names: Sequence[str]) -> Redaction:
    """For the people of these shots, whom the roster may call otherwise than their source does.

    `real_names` are the names of a recognizer's real prototypes, which tell theirs.
    """
    prototype_of = roster.prototype_of(real_names)
    words: dict[str, str] = {}
    for index in {shot.identity for shot in shots}:
        person, row = roster.person(index), prototype_of.get(index)
        name = person.name if row is None else real_names[row]
        key_of = {key: called for called, key in roster.keys_of(person).items()}
        if name != person.name or any(key != called for key, called in key_of.items()):
            words |= _words(person.name, name, key_of)
    return Redaction(words)


def _words(called: str, name: str, keys: Mapping[str, str]) -> dict[str, str]:
    """A name, keys and the parts of these, by what is written in their place."""
    words = {part: called for key in keys for part in PurePosixPath(key).parts[:-1]}
    words |= {PurePosixPath(key).stem: called for key in keys}
    words |= {PurePosixPath(key).name: instead for key, instead in keys.items()}
    words |= {name: called, **keys}
    return {word: instead for word, instead in words.items() if _tells(word)}


def _tells(word: str) -> bool:
    return len(word) >= SHORTEST and not word.isdigit()
