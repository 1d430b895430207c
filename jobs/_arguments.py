"""The command line of a job: [SUBJECT ...] CONFIG [section.key=value ...] [options]."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from factory.errors import ConfigError
from jobs._help import help_of, usage

if TYPE_CHECKING:
    from jobs._job import Job


@dataclass(frozen=True)
class Argument:
    """A word that stands before CONFIG (`release`), or an option (`--watch`)."""

    name: str
    meaning: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of an option: further keywords of argparse's add_argument."""
    choices: Sequence[str] = ()


def flag(name: str, meaning: str) -> Argument:
    """An option without a value."""
    return Argument(name, meaning, {"action": "store_true"})


def option(
    name: str, meaning: str, metavar: str, kind: type = str, default: Any = None
) -> Argument:
    """An option with a value."""
    shown = "" if default in (None, "") else f" (default: {default})"
    settings = {"metavar": metavar, "type": kind, "default": default}
    return Argument(name, f"{meaning}{shown}", settings)


STORE = "store."
"""Beginning of the settings of a store."""
RELEASE_ADDRESS = Argument("release", "folder or s3:// address of a release")


@dataclass(frozen=True)
class Parsed:
    """The words of a command line, by what they stand for."""

    values: dict[str, Any]
    """Subjects and options by name."""
    files: list[str]
    changes: list[str]


class _Parser(argparse.ArgumentParser):
    """Reads options; whatever is wrong with them is a ConfigError of one line."""

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ").replace("expected one argument", "want a value")
        text = re.sub(r"invalid (?:int|float) value: (.*)", r"got \1; want a number", text)
        raise ConfigError(f"{text}; see {self.prog} --help")


def parse(job: Job, words: Sequence[str]) -> Parsed:
    """Read a command line, or print the help and exit; raises ConfigError in one line."""
    parser = _Parser(prog=f"python -m jobs.{job.name}", add_help=False, allow_abbrev=False)
    parser.add_argument("-h", "--help", action="store_true")
    for option in job.all_options:
        parser.add_argument(option.name, **option.settings)
    own = list(words)
    passed = own[own.index("--") :] if job.words and "--" in own else []
    parsed, others = parser.parse_known_args(own[: len(own) - len(passed)])
    values = vars(parsed)
    if values.pop("help"):
        print(help_of(job))
        raise SystemExit
    if job.words:
        return Parsed(values | {"words": others + passed[1:]}, [], [])
    for word in others:
        if word.startswith("-"):
            raise ConfigError(f"{_unknown_option(word)}; see {parser.prog} --help")
    return _sorted(job, others, values)


def _unknown_option(word: str) -> str:
    key, _, value = word.lstrip("-").partition("=")
    if "." in key:
        return f"{word}: a setting has no dashes, want {key}={value or '...'}"
    return f"{word}: no such option"


def _sorted(job: Job, words: list[str], values: dict[str, Any]) -> Parsed:
    """Subjects, files and changes; raises ConfigError for too few words, or too many."""
    names = [word for word in words if not is_change(word)]
    num_subjects = len(job.subjects)
    num_files = 0 if job.load is None else len(names) if job.many else 1
    subjects, files = names[:num_subjects], names[num_subjects:][:num_files]
    if len(subjects) < num_subjects or (job.load and not files):
        raise ConfigError(f"too few arguments; want {usage(job)}")
    if files and is_yaml(subjects[-1:]) and not is_yaml(files):
        raise ConfigError(f"{subjects[-1]}: CONFIG stands after the others; want {usage(job)}")
    changes = list(words)
    for word in (*subjects, *files):
        changes.remove(word)
    if job.at_address:
        values["store"] = [word for word in changes if word.startswith(STORE)]
        changes = [word for word in changes if word not in values["store"]]
    if changes and job.load is None:
        raise ConfigError(f"{changes[0]}: one argument too many; want {usage(job)}")
    for argument, word in zip(job.subjects, subjects, strict=True):
        if argument.choices and word not in argument.choices:
            raise ConfigError(
                f"{argument.name}: got {word!r}; want one of {', '.join(argument.choices)}"
            )
        values[argument.name] = word
    return Parsed(values, files, changes)


def is_change(word: str) -> bool:
    """Whether a word is section.key=value, and not the path of something that has = in its name."""
    return re.match(r"[\w.\[\]-]*=", word) is not None and not Path(word).exists()


def is_yaml(words: Sequence[str]) -> bool:
    """Whether the first word, if any, names a YAML file."""
    return any(word.endswith((".yaml", ".yml")) for word in words[:1])
