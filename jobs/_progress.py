"""Bars of jobs that look at images one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OnImage = Callable[[int, int], None]


@contextmanager
def timed(line: str) -> Iterator[None]:
    """Print a line with the seconds that the work inside took, once it is done."""
    begin = time.perf_counter()
    yield
    print(f"{line} ({time.perf_counter() - begin:.0f} s)")


@contextmanager
def images_bar() -> Iterator[Callable[[str], OnImage]]:
    """Yields what makes a bar with the time left for each dataset, on a terminal only."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    ) as bar:

        def watch(name: str) -> OnImage:
            task = bar.add_task(name, total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        yield watch
