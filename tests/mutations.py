"""Does a test notice when an equation is broken? Each entry of mutations.toml, one at a time.

python -m tests.mutations [--room ROOM] [--only NAME] [--jobs N] [--json FILE]

An entry names a room, a file, a text that occurs in it exactly once, what to put in its place, why
that is wrong, and the tests of the same room that must fail. Each is applied to a copy of the tree,
never to the tree itself. Per entry the outcome is

  killed                  a test failed, as it should
  survived                all passed: the tests do not hold this equation
  text not found          the text occurs in its file not once: the entry has to follow the code
  did not run             no test failed, but pytest did not get through, twice (an import, say)
  too slow                the tests had not ended after LIMIT_S seconds, twice
  failed without it       the tests fail with the tree as it is

The exit code is 1 unless all are killed.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).parent.parent
LIST = ROOT / "tests" / "mutations.toml"
PARTS = ("factory", "cluster", "jobs", "configs", "tests", "pyproject.toml")
"""What of the tree is copied."""
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".temporary")
LIMIT_S = 180.0
"""Seconds after which the tests of an entry are stopped; they take a few on a quiet machine."""
PASSED, FAILED = 0, 1
"""Exit codes of pytest."""


@dataclass(frozen=True)
class Mutation:
    """One way to break an equation, and the tests that must notice."""

    name: str
    room: str
    file: str
    text: str
    replacement: str
    why: str
    tests: tuple[str, ...]
    """Test files or node ids, below tests/factory/."""

    @property
    def test_paths(self) -> list[str]:
        return [f"tests/factory/{test}" for test in self.tests]

    def applied(self, source: str) -> str | None:
        """The source with the text replaced; None unless it occurs exactly once."""
        if source.count(self.text) != 1:
            return None
        return source.replace(self.text, self.replacement)


@dataclass(frozen=True)
class Outcome:
    """What became of an entry."""

    name: str
    room: str
    outcome: str
    seconds: float
    """Of the processor, that do not depend on what else runs."""


def read(file: Path = LIST) -> list[Mutation]:
    """The entries of a list."""
    with file.open("rb") as opened:
        body = tomllib.load(opened)
    return [Mutation(**one | {"tests": tuple(one["tests"])}) for one in body["mutation"]]


class Copy:
    """A copy of the tree with a process that runs tests in it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=LEFT_OUT)
            else:
                shutil.copy(source, folder / part)
        by_contents = py_compile.PycInvalidationMode.CHECKED_HASH  # not by a time in seconds
        compileall.compile_dir(folder / "factory", quiet=2, invalidation_mode=by_contents)
        self.log = folder / "pytest.log"
        command = [sys.executable, str(folder / "tests" / "forked_tests.py"), str(folder)]
        same_order = os.environ | {"PYTHONHASHSEED": "0"}  # of sets of names
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=same_order
        )

    def run(self, tests: Sequence[str]) -> tuple[int | None, float]:
        """Exit code of pytest over some tests, None past the limit, and processor seconds."""
        assert self._process.stdin
        assert self._process.stdout
        task = {"tests": list(tests), "limit_s": LIMIT_S, "log": str(self.log)}
        self._process.stdin.write(json.dumps(task, allow_nan=False) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return answer["code"], answer["seconds"]

    def log_tail(self) -> str:
        """The end of what pytest printed last."""
        return self.log.read_text(errors="replace")[-2000:]

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    @contextmanager
    def changed(self, file: str, source: str) -> Iterator[None]:
        """The copy with another text of a file."""
        path = self.root / file
        before = path.read_text()
        path.write_text(source)
        try:
            yield
        finally:
            path.write_text(before)


class Copies:
    """Some copies, each used by one thread at a time."""

    def __init__(self, folder: Path, count: int) -> None:
        self._all = [Copy(folder / str(number)) for number in range(count)]
        self._free: SimpleQueue[Copy] = SimpleQueue()
        for copy in self._all:
            self._free.put(copy)

    @contextmanager
    def one(self) -> Iterator[Copy]:
        copy = self._free.get()
        try:
            yield copy
        finally:
            self._free.put(copy)

    def close(self) -> None:
        for copy in self._all:
            copy.close()


def named_by_file(mutations: Sequence[Mutation]) -> dict[str, list[str]]:
    """All tests that are named, by their file; the file alone where one entry names all of it."""
    named: dict[str, set[str]] = {}
    for path in (path for mutation in mutations for path in mutation.test_paths):
        named.setdefault(path.split("::")[0], set()).add(path)
    return {file: [file] if file in tests else sorted(tests) for file, tests in named.items()}


def fails_without(copies: Copies, file: str, tests: list[str]) -> str | None:
    """The file, where its tests do not pass in the tree as it is."""
    with copies.one() as copy:
        code, seconds = copy.run(tests)
        if code == PASSED:
            return None
        tail = copy.log_tail()
    print(f"{file}: exit code {code} after {seconds:.0f} s without any mutation\n{tail}")
    return file


def tried(copies: Copies, mutation: Mutation, failing: set[str]) -> Outcome:
    """What becomes of one entry."""

    def ended(outcome: str, seconds: float = 0.0) -> Outcome:
        print(f"{outcome:18} {seconds:6.1f} s  {mutation.room}: {mutation.name}", flush=True)
        return Outcome(mutation.name, mutation.room, outcome, seconds)

    source = mutation.applied((ROOT / mutation.file).read_text())
    if source is None:
        return ended("text not found")
    if failing & {path.split("::")[0] for path in mutation.test_paths}:
        return ended("failed without it")
    with copies.one() as copy, copy.changed(mutation.file, source):
        code, seconds = copy.run(mutation.test_paths)
        if code not in (PASSED, FAILED):  # which says nothing of the tests: once more
            code, seconds = copy.run(mutation.test_paths)
        if code != FAILED:
            print(f"{mutation.name}: exit code {code}\n{copy.log_tail()}")
    outcomes = {PASSED: "survived", FAILED: "killed", None: "too slow"}
    return ended(outcomes.get(code, "did not run"), seconds)


def outcomes_of(mutations: Sequence[Mutation], jobs: int) -> list[Outcome]:
    """All entries, tried in copies of the tree that are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        copies = Copies(Path(folder), min(jobs, len(mutations)))
        try:
            with ThreadPoolExecutor(jobs) as pool:
                files = named_by_file(mutations).items()
                failing = set(pool.map(lambda item: fails_without(copies, *item), files)) - {None}
                return list(pool.map(lambda one: tried(copies, one, failing), mutations))
        finally:
            copies.close()


def table(outcomes: Sequence[Outcome]) -> str:
    """Counts by room, and whoever was not killed."""
    rooms: dict[str, list[Outcome]] = {}
    for one in outcomes:
        rooms.setdefault(one.room, []).append(one)
    lines = [f"{'room':16} {'entries':>7} {'killed':>6} {'seconds':>7}"]
    for room, some in [*sorted(rooms.items()), ("all", list(outcomes))]:
        killed = sum(one.outcome == "killed" for one in some)
        seconds = sum(one.seconds for one in some)
        lines.append(f"{room:16} {len(some):7} {killed:6} {seconds:7.0f}")
    alive = [one for one in outcomes if one.outcome != "killed"]
    return "\n".join([*lines, *(f"{one.outcome}: {one.room}: {one.name}" for one in alive)])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--room", action="append", help="entries of this room; may be repeated")
    parser.add_argument("--only", action="append", help="the entry of this name; may be repeated")
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", type=Path, help="write all outcomes to this file")
    parser.add_argument("--list", type=Path, default=LIST, help="entries, instead of this folder's")
    given = parser.parse_args(arguments)
    chosen = [
        one
        for one in read(given.list)
        if (not given.room or one.room in given.room) and (not given.only or one.name in given.only)
    ]
    if not chosen:
        parser.error("no entry has this room and this name")
    started = time.monotonic()
    outcomes = outcomes_of(chosen, given.jobs)
    took = time.monotonic() - started
    print(table(outcomes), f"{took:.0f} s with {given.jobs} jobs", sep="\n")
    body: dict[str, Any] = {"seconds": round(took, 1), "entries": [asdict(one) for one in outcomes]}
    text = json.dumps(body, indent=1, allow_nan=False)
    if given.json:
        given.json.write_text(text)
    else:
        print(text)
    return 0 if all(one.outcome == "killed" for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
