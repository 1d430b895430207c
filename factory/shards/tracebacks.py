"""What a quarantined shot tells of its error: nothing of the machine that it was raised on.

quarantine/ is published with a release. Files are named from the package, site-packages or the
standard library on; every other path is shortened to its last part, user and host are left out.
"""

from __future__ import annotations

import getpass
import re
import socket
import sysconfig
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from factory.records import Failure

ROOT = Path(__file__).parents[2]
PACKAGES = re.compile(r"/(?:site|dist)-packages/(.+)")
LIBRARY = sysconfig.get_paths()["stdlib"]
PART = r"[^\s\"'`<>|:;,()\[\]{}\\/]+"
START = r"(?<![\w.:/~-])"
PATH = re.compile(
    rf"{START}(?:~|file://)?/{PART}(?:/{PART})+(?: {PART}(?:/{PART})+)*/?|{START}~/{PART}"
)
"""An absolute path of two parts or more, blanks within it included."""
QUOTED = re.compile(r"([\"'])((?:~|file://)?/[^\"'\n]*/[^\"'\n]*|~/[^\"'\n]+)\1")
"""One in quotes."""
COMMON_NAMES = {"root", "user"}
"""Names of users that say nothing of anybody."""


def portable(failure: Failure) -> Failure:
    """The failure without paths, user and host of this machine."""
    return replace(
        failure, error=without_machine(failure.error), traceback=without_machine(failure.traceback)
    )


def without_machine(text: str) -> str:
    """A traceback or message without absolute paths, and without this machine's user and host."""
    text = QUOTED.sub(lambda found: f"{found[1]}{_short(found[2])}{found[1]}", text)
    text = PATH.sub(lambda found: _short(found[0]), text)
    for name, word in _of_this_machine():
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", word, text)
    return text


def _short(path: str) -> str:
    """A path from the package, site-packages or the standard library on, else its last part."""
    if found := PACKAGES.search(path):
        return f"site-packages/{found[1]}"
    for root, word in ((str(ROOT), ""), (LIBRARY, "python/")):
        if path.startswith(root + "/"):
            return word + path[len(root) + 1 :]
    last = path.rstrip("/").rpartition("/")[2]
    return f".../{last}" if "." in last.strip(".") else "..."


def _of_this_machine() -> list[tuple[str, str]]:
    names = [(socket.gethostname(), "<host>")]
    with suppress(KeyError, OSError, ImportError):  # a user without a name, as in some containers
        names.append((getpass.getuser(), "<user>"))
    with suppress(RuntimeError):  # no HOME
        names.append((Path.home().name, "<user>"))
    return [(name, word) for name, word in names if len(name) > 2 and name not in COMMON_NAMES]
