"""The command line all jobs share: CONFIG, dotlist, --dry-run, and errors as one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from factory.config import Config, load
from factory.errors import FactoryError

if TYPE_CHECKING:
    from factory.sources import FaceSet


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


def print_faces(faces: FaceSet, heldout: FaceSet) -> None:
    """What a training will see, and every image it leaves out."""
    people = len(set(faces.labels.tolist()))
    print(f"{len(faces)} images of {people} people, {len(heldout)} held out")
    for line in faces.corrupt:
        print("left out:", line)


def guarded(action: Callable[[], None]) -> None:
    """Run `action`; an error meant for the user becomes one line on stderr and exit code 1."""
    try:
        action()
    except FactoryError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")
