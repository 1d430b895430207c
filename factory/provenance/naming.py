"""What people of a source are called in what is made of their faces (release.pseudonyms)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from factory.config import Config
from factory.provenance.faces import holds_real_people
from factory.provenance.pseudonyms import (
    KEY_VARIABLE,
    is_pseudonym,
    key_from_environment,
    pseudonym,
)

Mode = Literal["keyed", "names"]
"""keyed: by pseudonyms; names: as the source calls them."""


@dataclass(frozen=True)
class Naming:
    """Calls people by pseudonyms under a key, or by their names where there is none."""

    key: bytes | None = field(default=None, repr=False)

    @property
    def mode(self) -> Mode:
        """What a plan says of it."""
        return "names" if self.key is None else "keyed"

    @property
    def remedy(self) -> str:
        """What to do where a source has somebody under another name than a plan."""
        if self.key is None:
            return "use the source that the release was planned with"
        return f"{KEY_VARIABLE} is another key than the release was planned with; use that one"

    def of(self, name: str) -> str:
        """What a person of this name is called; a source's pseudonyms stay what they are."""
        if self.key is None or is_pseudonym(name):
            return str(name)
        return pseudonym(self.key, str(name))

    def keys(self, name: str, keys: Sequence[str]) -> tuple[str, ...]:
        """What the images of a person are called, whose keys in the source these are, in order."""
        if self.key is None:
            return tuple(keys)
        return tuple(f"{self.of(name)}/{number:04d}" for number in range(len(keys)))


def naming_of(mode: str) -> Naming:
    """The naming of a plan; raises ConfigError where the environment lacks the key it needs."""
    return Naming(key_from_environment() if mode == "keyed" else None)


def people_naming(config: Config) -> Naming:
    """The naming of a config's source people; raises ConfigError for a key that is missing.

    None is needed where nobody in the source is real.
    """
    keyed = config.release.pseudonyms == "keyed" and holds_real_people(config.source)
    return naming_of("keyed" if keyed else "names")


def release_naming(config: Config) -> Naming:
    """The naming of a config's release; no key is needed where it draws nobody of its source."""
    draws = config.release.method == "edit" or config.plan.fill_to > 0
    return people_naming(config) if draws else Naming()
