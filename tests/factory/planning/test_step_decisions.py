"""Steps are decided once for what they were decided for, and then stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from factory.config import Config, StageConfig, load
from factory.errors import ConfigError
from factory.planning.budget import Budget
from factory.planning.pace import Pace
from factory.planning.step_decisions import StepDecisions
from factory.store import LocalStore

STAGE = StageConfig(name="generator", job="train_generator", share=0.5, min_steps=10)
NAMES = ["generator", "release"]


@pytest.fixture
def decided(tmp_path):
    """Function of a budget, a pace and a stage -> its steps (min, max), by one set of records."""
    records = LocalStore(tmp_path / "records")
    own = load(None, [f"training.out={tmp_path / 'out'}"])

    def decide(total_s=1200.0, step_s=1.0, fingerprint="f", stage=STAGE, config=None):
        def find_pace(train, config):
            asked.append(config)
            return Pace(0.0, step_s)

        asked.clear()
        shares = {"generator": 0.5, "release": 0.5}
        budget = None if total_s is None else Budget(total_s, shares, lambda: 0.0)
        trains = {"train_generator": lambda config, log: {}}
        decide = StepDecisions(budget, NAMES, trains, lines.append, find_pace)
        made = load(None, decide(stage, config or own, fingerprint, records).set)
        return made.training.min_steps, made.training.max_steps

    asked: list[Config] = []
    lines: list[str] = []
    decide.asked, decide.lines = asked, lines
    return decide


def test_a_budget_gives_exactly_the_steps_that_fit(decided):
    assert decided(step_s=2.0) == (300, 300)
    assert decided.lines[0].startswith("expected: generator 10 min, release 10 min; end about ")
    assert decided.lines[1:] == [
        "generator: timing its first steps",
        "generator: 300 steps of 2.00 s in about 10 min",
    ]


def test_the_same_command_has_the_same_steps_on_a_slower_day(decided):
    first = decided(step_s=2.0)
    assert decided(step_s=6.0) == first
    assert decided.asked == []  # nothing was timed again


def test_other_faces_or_settings_are_decided_anew(decided):
    assert decided(step_s=2.0) == (300, 300)
    assert decided(step_s=6.0, fingerprint="g") == (100, 100)


@pytest.mark.parametrize(("total_s", "got"), [(600.0, "got 10 min"), (None, "nothing given")])
def test_another_budget_is_refused(decided, total_s, got):
    decided()
    error = rf"^--budget: {got}, and stage 'generator' was begun with 20 min; want the same, or"
    with pytest.raises(ConfigError, match=error):
        decided(total_s=total_s)


def test_without_a_budget_or_a_share_the_recipe_decides(decided):
    assert decided(total_s=None) == (None, None)
    assert decided(stage=replace(STAGE, share=0.0)) == (None, None)
    assert decided(stage=replace(STAGE, job="release", name="release")) == (None, None)
    assert decided.lines == []


@pytest.mark.parametrize("name", ["checkpoint.json", "resume/00000002/state"])
def test_a_training_that_was_begun_without_a_budget_is_refused(decided, tmp_path, name):
    file = tmp_path / "out" / name
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    error = r"^--budget: stage 'generator' was begun without one, in .*out; want the same command"
    with pytest.raises(ConfigError, match=error) as raised:
        decided()
    assert "release.version" in str(raised.value)
    assert decided.asked == []
    assert decided(total_s=None) == (None, None)
    file.unlink()
    first = decided()
    file.write_text("{}")
    assert decided() == first  # its own steps go on


def test_what_an_earlier_run_planned_to_spend_is_taken_off(tmp_path):
    """By a resume that decides a later stage; and only what is left to make is expected."""
    records, lines, now = LocalStore(tmp_path / "records"), list[str](), [0.0]
    config = load(None, [f"training.out={tmp_path / 'out'}"])
    shares = {"autoencoder": 0.25, "generator": 0.5, "release": 0.25}
    trains = dict.fromkeys(("train_autoencoder", "train_generator"), lambda config, log: {})
    first = StageConfig(name="autoencoder", job="train_autoencoder", share=0.25, min_steps=1)

    def session() -> StepDecisions:
        budget = Budget(1200, shares, lambda: now[0])
        return StepDecisions(budget, list(shares), trains, lines.append, lambda *_: Pace(0.0, 1.0))

    session()(first, config, "f", records)  # 300 s, of which the budget keeps 900
    lines.clear()
    now[0] = 5000.0
    resumed = session()
    made = load(None, resumed(first, config, "f", records).set)
    assert (made.training.max_steps, lines) == (300, [])
    made = load(None, resumed(STAGE, config, "g", records).set)  # the first is made already
    assert made.training.max_steps == 600
    assert lines[0].startswith("expected: generator 10 min, release 5 min; end about ")


def test_most_and_fewest_steps_are_kept(decided, tmp_path):
    most = load(None, ["training.max_steps=50", f"training.out={tmp_path / 'out'}"])
    assert decided(config=most) == (50, 50)
    assert decided(step_s=1e4, fingerprint="g") == (10, 10)
    assert decided(stage=replace(STAGE, max_steps=70), fingerprint="h") == (70, 70)
