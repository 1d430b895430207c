"""Inspects and writes what was found: a page for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from factory.inspection.findings import Inspection
from factory.inspection.inspect import Request, Watch, inspect
from factory.inspection.page import render
from factory.inspection.tables import summary
from factory.store.atomic import check_place, of_file, write_atomically

PAGE, JSON = "index.html", "inspect.json"


def looked_and_written(
    request: Request, out: Path, watch: Watch, say: Callable[[str], None]
) -> Inspection:
    """Inspect a dataset, write PAGE and JSON into a folder, which is tried first, and sum it up."""
    check_place("--out", out.absolute())
    done = inspect(request, watch)
    with of_file(out, "--out"):
        out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / PAGE, render(done), "--out")
    write_atomically(out / JSON, done.found.to_json(), "--out")
    for line in summary(done.found):
        say(line)
    return done.found
