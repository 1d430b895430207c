"""A budget is divided by shares, and what one stage leaves is for those after it."""

from __future__ import annotations

import pytest

from factory.errors import ConfigError
from factory.planning.budget import Budget, minutes, seconds_of, steps_within
from factory.planning.pace import Pace

SHARES = {"a": 0.25, "b": 0.5, "c": 0.0, "d": 0.25}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("1h30m", 5400), ("90s", 90), ("2h", 7200)]
)
def test_times_are_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "30 m", "3d", "-5m", "59s", "1.5h"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ConfigError, match=r"^--budget: got .*; want a time of at least 1m"):
        seconds_of(text)


def test_a_stage_gets_its_share_of_the_time_that_is_left():
    clock = Clock()
    budget = Budget(1200, SHARES, clock)
    assert budget.seconds_for("a", ["b", "c", "d"]) == pytest.approx(300)
    clock.now = 600  # a took twice as long: b gets two thirds of the rest
    assert budget.seconds_for("b", ["c", "d"]) == pytest.approx(400)
    clock.now = 800  # b was faster: all that is left is for d
    assert budget.seconds_for("c", ["d"]) == 0
    assert budget.seconds_for("d", []) == pytest.approx(400)
    clock.now = 2000
    assert (budget.left_s, budget.seconds_for("d", [])) == (0, 0)


def test_what_is_expected_is_said_for_stages_with_a_share():
    line = Budget(1200, SHARES, Clock()).expected(list(SHARES))
    assert line.startswith("expected: a 5 min, b 10 min, d 5 min; end about ")
    with pytest.raises(ConfigError, match=r"^--budget: no stage has a share"):
        Budget(1200, {"a": 0.0}, Clock())


def test_steps_fill_what_is_left_after_timing_and_set_up():
    pace = Pace(setup_s=20, step_s=0.5)
    steps = steps_within(300, pace, 100, {}, spent_s=30)
    assert (steps.count, steps.expected_s, steps.is_short) == (500, 270, False)


def test_no_more_steps_than_the_stage_may_have_and_that_is_said():
    pace = Pace(setup_s=20, step_s=0.03)
    most = {"max_steps of the stage": 600, "training.max_steps": None}
    steps = steps_within(1080, pace, 150, most)
    assert (steps.count, steps.is_short) == (600, False)
    assert steps.line("generator", 1080, pace) == (
        "generator: 600 steps of 0.03 s in about 38 s, the most it is given (max_steps of the "
        "stage) of the 18 min it has"
    )
    assert steps_within(1080, pace, 150, {**most, "training.max_steps": 50}).count == 50
    assert steps_within(30, pace, 150, most).limit == ""


def test_fewer_than_the_fewest_are_never_given_and_that_is_said_before():
    pace = Pace(setup_s=20, step_s=0.5)
    steps = steps_within(60, pace, 400, {})
    assert (steps.count, steps.expected_s, steps.is_short) == (400, 220, True)
    assert steps.line("generator", 60, pace) == (
        "generator: 400 steps of 0.50 s in about 4 min, which is more than the 60 s it has: 400 "
        "are the fewest (min_steps of the stage), so the pipeline will end later"
    )
    assert steps_within(0, pace, 400, {}).count == 400


def test_times_are_short_words():
    assert [minutes(seconds) for seconds in (0, 0.01, 0.31, 89.4, 90, 1800, 12600)] == [
        "0 s",
        "less than 0.1 s",
        "0.3 s",
        "89 s",
        "2 min",
        "30 min",
        "3.5 hours",
    ]
