"""A job as its file declares it: what it does, what it is given, which settings it reads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.config import as_yaml, load
from jobs._arguments import Argument, Parsed, flag, parse
from jobs._command import guarded

DRY_RUN = flag("--dry-run", "check everything, write nothing")
PRINT_CONFIG = flag("--print-config", "print the whole config as YAML, and stop")


@dataclass(frozen=True)
class Job:
    """What a job does and what it is given; `action` gets all of it by name."""

    doc: str | None
    action: Callable[..., None]
    subjects: Sequence[Argument] = ()
    """What must stand before CONFIG."""
    reads: Sequence[str] = ()
    """Sections of the config that matter to the job."""
    load: Callable[[str, list[str]], Any] | None = load
    """Turns CONFIG and its changes into one object; None: the job takes no config."""
    many: bool = False
    """Whether it takes several configs; then `action` gets them by the stems of their files."""
    options: Sequence[Argument] = ()
    at_address: bool = False
    """Whether its first subject is an address, whose store is given `store.key=value` settings;
    then `action` gets these words by the name `store`."""
    words: str = ""
    """Usage of a job whose `action` gets all but the options as they are, by the name `words`."""

    @property
    def name(self) -> str:
        """What stands after `python -m jobs`."""
        return Path(self.action.__code__.co_filename).stem

    @property
    def all_options(self) -> Sequence[Argument]:
        """Options of its own, and those of every job with a config."""
        return [*self.options, *((DRY_RUN, PRINT_CONFIG) if self.load else ())]

    def main(self, words: Sequence[str] | None = None) -> None:
        """Run the job on a command line; exit 1 with one line for an error of the user's."""
        guarded(lambda: self.run(parse(self, sys.argv[1:] if words is None else words)))

    def run(self, parsed: Parsed) -> None:
        """Load the config, then act on it or print it; raises FactoryError."""
        values, configs = dict(parsed.values), self.configs(parsed)
        if values.pop("print_config", False):
            print("---\n".join(as_yaml(config) for config in configs.values()), end="")
            return
        if self.load:
            values["config"] = configs if self.many else next(iter(configs.values()))
        self.action(**values)

    def configs(self, parsed: Parsed) -> dict[str, Any]:
        """Configs by the stems of their files, with the changes; raises ConfigError."""
        load = self.load
        return (
            {Path(file).stem: load(file, parsed.changes) for file in parsed.files} if load else {}
        )
