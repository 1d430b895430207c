"""Plots made of letters, by known values."""

from __future__ import annotations

from rich.console import Console

from factory.report.terminal import COLUMNS, bar, columns, view
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


def test_before_two_shards_there_is_no_plot():
    status = Status(False, 4, 24, [shard(0, 100, 104, 8)], 0)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(view("here", status, 110.0, None))
    assert "shots/s at most" not in captured.get()
