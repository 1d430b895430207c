"""Plots made of letters, by known values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console
from rich.text import Text

from factory.report.terminal import COLUMNS, bar, columns, open_console, view
from factory.shards.status import Status
from tests.factory.shards.test_rates import shard


def test_a_column_is_as_high_as_its_value():
    assert columns([0, 1, 2, 4], 2) == ["   █", " ▄██"]
    assert columns([0.0, 0.0], 1) == ["  "]


def test_a_bar_is_as_long_as_its_fraction():
    assert bar(0.5, 4) == "██"
    assert bar(1 / 16, 2) == "▏"
    assert bar(1.5, 3) == "███"
    assert bar(-1.0, 3) == ""


def test_the_view_of_a_release_shows_progress_rate_and_outcomes():
    status = Status(False, 4, 24, [shard(0, 100, 104, 8), shard(1, 104, 106, 4)], 0)
    console = Console(width=100, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(view("here", status, 110.0, None))
    text = captured.get()
    assert f"{'█' * (COLUMNS // 2)}{' ' * (COLUMNS // 2)} 50% of planned images" in text
    assert "2.0 shots/s at most" in text
    assert f"kept        {'█' * 30} 12" in text


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_no_line_of_a_plot_is_wider_than_the_terminal(width):
    """Wrapped ones are not counted as lines of it, so renewing them would leave some there."""
    first, second = shard(0, 100, 104, 800_000), shard(1, 104, 106, 4)
    dropped = replace(first.counts, reasons={"too_near_real_person": 799_000})
    status = Status(False, 4, 999_999, [replace(first, counts=dropped), second], 0)
    parts = view("here", status, 110.0, None, width).renderables
    lines = [part.plain for part in parts if isinstance(part, Text)]
    assert max(map(len, lines)) <= width
    assert any(line.endswith("shots/s at most") for line in lines)
    assert any(line.startswith("too_near_real_person █") for line in lines)
    assert len(lines[-1]) >= min(width, 80) // 2  # narrow ones are used


def test_a_console_is_as_wide_as_its_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "72")
    monkeypatch.setenv("FORCE_COLOR", "1")  # which rich takes for a terminal
    assert open_console().width == 72
    monkeypatch.delenv("FORCE_COLOR")
    assert open_console().width == 100


def test_before_two_shards_there_is_no_plot():
    status = Status(False, 4, 24, [shard(0, 100, 104, 8)], 0)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(view("here", status, 110.0, None))
    assert "shots/s at most" not in captured.get()
