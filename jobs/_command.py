"""The command line all jobs share: CONFIG, dotlist, --dry-run, and errors as one line."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable

from factory.config import Config, load
from factory.errors import FactoryError


def run(doc: str, action: Callable[[Config, bool], None]) -> None:
    """Parse arguments, load the config, run `action(config, dry_run)`; exit 1 on a known error."""
    parser = parser_of(doc)
    parser.add_argument("config", help="YAML file, for instance configs/demo.yaml")
    parser.add_argument("dotlist", nargs="*", metavar="section.key=value")
    parser.add_argument("--dry-run", action="store_true", help="check everything, write nothing")
    arguments = parser.parse_args()
    guarded(lambda: action(load(arguments.config, arguments.dotlist), arguments.dry_run))


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the job's docstring."""
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def run_on_release(doc: str, action: Callable[[str, Config, bool], None]) -> None:
    """As `run`, for jobs that take a sealed release before the config."""
    parser = parser_of(doc)
    parser.add_argument("release", help="folder or s3:// address of a sealed release")
    parser.add_argument("config", help="YAML file, for instance configs/demo.yaml")
    parser.add_argument("dotlist", nargs="*", metavar="section.key=value")
    parser.add_argument("--dry-run", action="store_true", help="check everything, write nothing")
    given = parser.parse_args()
    guarded(lambda: action(given.release, load(given.config, given.dotlist), given.dry_run))


def guarded(action: Callable[[], None]) -> None:
    """Run `action`; an error meant for the user becomes one line on stderr, and any exit code 1."""
    message, ranks = "", int(os.environ.get("WORLD_SIZE", "1"))
    try:
        action()
    except FactoryError as error:
        message = f"error: {error}"
    except KeyboardInterrupt:
        message = "stopped; the same command goes on from here"
    except Exception:
        message = traceback.format_exc()
    if ranks > 1:
        from factory.training.engine import end_rank

        end_rank(message)
    if message:
        sys.exit(message)
