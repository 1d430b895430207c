"""List the commands of the factory, or run one of them.

    python -m jobs
    python -m jobs NAME ...    (the same as python -m jobs.NAME ...)

As a console script: face-factory NAME ...
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from jobs._catalog import GROUPS, find
from jobs._command import guarded
from jobs._help import summary


def main(words: Sequence[str] | None = None) -> None:
    """Run the job that the first word names; without words, list all."""
    name, *others = (sys.argv[1:] if words is None else words) or ["--help"]
    if name in ("-h", "--help", "help"):
        guarded(print_jobs)
    else:
        guarded(lambda: find(name.removeprefix("jobs.")).main(others))


def print_jobs() -> None:
    """Print all jobs by group; colors only where a person is looking."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    indent = 2 + max(len(name) for names in GROUPS.values() for name in names)
    for group, names in GROUPS.items():
        console.print(Text(group, style="bold"))
        for name in names:
            line = summary(find(name).doc)
            console.print(Text.assemble("  ", (f"{name:{indent}}", "bold cyan"), line))
        console.print()
    console.print("python -m jobs NAME --help      how one of them is used")
    console.print("python -m jobs config SECTION   every setting of a section of a config")
    console.print("python -m jobs release configs/demo.yaml   a first release, in minutes")


if __name__ == "__main__":
    main()
