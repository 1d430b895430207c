"""The pace of a training is that of its steps after the first ones, and nothing is left of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from factory.config import ComputeConfig, Config
from factory.errors import ConfigError
from factory.planning.pace import FEWEST_TIMED, MOST_S, NOT_TIMED, TIMED_S, pace_of


class Training:
    """Steps of a fixed time after a slow beginning, by a clock of its own."""

    def __init__(self, step_s: float, first_s: float = 30.0) -> None:
        self.now, self.num_steps, self.configs = 100.0, 0, list[Config]()
        self._step_s, self._first_s = step_s, first_s

    def clock(self) -> float:
        return self.now

    def train(self, config, log):
        self.configs.append(config)
        (Path(config.training.out) / "state").write_text("x")
        log("12 images of 3 people")
        for step in range(1, 1 + config.training.max_steps):
            self.now += self._first_s if step <= NOT_TIMED else self._step_s
            self.num_steps = step
            log(f"step {step}/{config.training.max_steps} loss 1.0")
        raise AssertionError("it was to be stopped")


@pytest.mark.parametrize(
    ("step_s", "num_timed"),
    [
        (0.5, TIMED_S / 0.5),  # enough seconds
        (8.0, FEWEST_TIMED),  # enough steps
        (50.0, 2),  # enough of it: the second passes MOST_S
    ],
)
def test_steps_are_timed_until_they_tell_enough(step_s, num_timed):
    training = Training(step_s)
    pace = pace_of(training.train, Config(), training.clock)
    assert pace.step_s == pytest.approx(step_s)
    assert pace.setup_s == pytest.approx(NOT_TIMED * 30)
    assert training.num_steps == NOT_TIMED + num_timed
    assert num_timed * step_s <= MOST_S + step_s


def test_nothing_is_left_and_the_own_folder_is_not_touched(tmp_path):
    training = Training(1.0)
    own = Config()
    config = replace(own, training=replace(own.training, out=str(tmp_path / "own")))
    pace_of(training.train, config, training.clock)
    timed = training.configs[0].training
    assert not Path(timed.out).exists()
    assert list(tmp_path.iterdir()) == []
    assert (timed.log_every, timed.min_steps) == (1, timed.max_steps)


@pytest.mark.parametrize(("given", "timed"), [("auto", False), (False, False), (True, True)])
def test_a_compile_that_would_be_chosen_for_the_steps_is_not_timed(given, timed):
    training = Training(1.0)
    pace_of(training.train, replace(Config(), compute=ComputeConfig(compile=given)), training.clock)
    assert training.configs[0].compute.compile is timed


def test_a_gang_is_not_timed():
    config = replace(Config(), compute=ComputeConfig(num_ranks=2))
    with pytest.raises(ConfigError, match=r"^--budget: got compute.num_ranks=2; want null"):
        pace_of(Training(1.0).train, config)
