"""The help of a job, from its docstring and from what it declares."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs._arguments import Argument
    from jobs._job import Job

CHANGES = "section.key=value"
STORE_SETTINGS = "store.key=value"
WIDTH = 96


def summary(doc: str | None) -> str:
    """The first sentence of a docstring, without its full stop."""
    return (doc or "").strip().partition("\n\n")[0].replace("\n", " ").rstrip(".")


def usage(job: Job) -> str:
    """The order of a job's arguments: python -m jobs.evaluate RELEASE CONFIG ..."""
    words = [f"python -m jobs.{job.name}", *(subject.name.upper() for subject in job.subjects)]
    if job.load:
        words += ["CONFIG ..." if job.many else "CONFIG", f"[{CHANGES} ...]"]
    words += [f"[{STORE_SETTINGS} ...]"] if job.at_address and not job.load else []
    words += [job.words] if job.words else []
    return " ".join([*words, *(["[options]"] if job.all_options else [])])


def help_of(job: Job) -> str:
    """The whole help: usage, docstring, arguments, options, sections of the config."""
    arguments = [(subject.name.upper(), meaning_of(subject)) for subject in job.subjects]
    if job.load:
        arguments.append(("CONFIG", f"a YAML file{', or several' if job.many else ''}"))
        arguments.append((CHANGES, "changes to it"))
    elif job.at_address:
        meaning = "how its store is reached, as for a release: `python -m jobs config store`"
        arguments.append((STORE_SETTINGS, meaning))
    options = [(_shown(option), meaning_of(option)) for option in job.all_options]
    parts = [f"usage: {usage(job)}", (job.doc or "").strip()]
    parts += [_table("arguments", arguments)] if arguments else []
    parts.append(_table("options", [*options, ("--help", "print this, and stop")]))
    if job.reads:
        text = f"{', '.join(job.reads)}; `python -m jobs config SECTION` explains its keys"
        parts.append(f"reads these sections of CONFIG:\n{_wrapped(text, 2)}")
    return "\n\n".join(parts)


def meaning_of(argument: Argument) -> str:
    """What an argument means, with its choices."""
    choices = f": {', '.join(argument.choices)}" if argument.choices else ""
    return argument.meaning + choices


def _shown(option: Argument) -> str:
    metavar = option.settings.get("metavar")
    return f"{option.name} {metavar}" if metavar else option.name


def _table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    indent = 4 + max(len(name) for name, _ in rows)
    lines = [f"  {name:{indent - 2}}{_wrapped(text, indent).strip()}" for name, text in rows]
    return "\n".join([f"{title}:", *lines])


def _wrapped(text: str, indent: int) -> str:
    return textwrap.indent(textwrap.fill(text, WIDTH - indent), " " * indent)
