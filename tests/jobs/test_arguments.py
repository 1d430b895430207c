"""One order of arguments for all jobs, and one line for what is not in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from factory.errors import ConfigError
from jobs._arguments import Argument, flag, is_change, option, parse
from jobs._job import Job


def nothing(**values) -> None:
    """An action that is never run here."""


ONE = Job("One.", nothing)
TWO = Job("Two.", nothing, subjects=(Argument("release", "a folder"),))
MANY = Job("Many.", nothing, many=True)
FORMAT = Argument("format", "which", choices=("rec", "parquet"))
BARE = Job(
    "Bare.",
    nothing,
    subjects=(Argument("release", "a folder"), FORMAT),
    load=None,
    options=(option("--watch", "how often", "SECONDS", float), flag("--delete", "remove")),
)
PASSING = Job(
    "Passing.", nothing, load=None, words="ARGUMENT ...", options=(flag("--dry-run", ""),)
)


def test_subject_config_changes_options_in_any_mixture():
    for words in (
        ["run", "c.yaml", "a.b=1", "c.d=2", "--dry-run"],
        ["--dry-run", "run", "a.b=1", "c.yaml", "c.d=2"],
    ):
        given = parse(TWO, words)
        assert given.values == {"release": "run", "dry_run": True, "print_config": False}
        assert (given.files, given.changes) == (["c.yaml"], ["a.b=1", "c.d=2"])


def test_several_configs_and_what_is_left_over():
    given = parse(MANY, ["a.yaml", "x=1", "b.yaml"])
    assert (given.files, given.changes) == (["a.yaml", "b.yaml"], ["x=1"])
    given = parse(ONE, ["a.yaml", "sampler.guidance", "2"])
    assert given.changes == ["sampler.guidance", "2"]  # which loading explains


def test_a_path_with_a_sign_of_equality_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_change("a.b[0].c=1")
    assert not is_change("runs/lr=1")
    Path("lr=1").mkdir()
    assert not is_change("lr=1")
    assert parse(TWO, ["lr=1", "c.yaml"]).values["release"] == "lr=1"


def test_options_have_types_and_defaults():
    assert parse(BARE, ["run", "rec"]).values == {
        "release": "run",
        "format": "rec",
        "watch": None,
        "delete": False,
    }
    assert parse(BARE, ["run", "rec", "--watch", "2.5"]).values["watch"] == 2.5


@pytest.mark.parametrize(
    ("job", "words", "message"),
    [
        (ONE, [], r"^too few arguments; want python -m jobs.test_arguments CONFIG \[section.key="),
        (TWO, ["run"], "^too few arguments; want python -m jobs.test_arguments RELEASE CONFIG"),
        (TWO, ["c.yaml", "run"], "^c.yaml: CONFIG stands after the others; want python"),
        (BARE, ["run", "zip"], "^format: got 'zip'; want one of rec, parquet$"),
        (BARE, ["run", "rec", "more"], "^more: one argument too many; want python"),
        (BARE, ["run", "rec", "a.b=1"], "^a.b=1: one argument too many"),
        (BARE, ["run", "rec", "--watch", "x"], "^--watch: got 'x'; want a number; see python"),
        (BARE, ["run", "rec", "--watch"], "^--watch: want a value; see python"),
        (
            ONE,
            ["c.yaml", "--fast"],
            "^--fast: no such option; see python -m jobs.test_arguments --h",
        ),
        (ONE, ["c.yaml", "--dry"], "^--dry: no such option"),
        (ONE, ["c.yaml", "--a.b=2"], "^--a.b=2: a setting has no dashes, want a.b=2; see"),
        (ONE, ["c.yaml", "--a.b", "2"], r"^--a.b: a setting has no dashes, want a.b=\.\.\.; see"),
    ],
)
def test_what_does_not_fit_is_one_line(job, words, message):
    with pytest.raises(ConfigError, match=message):
        parse(job, words)


def test_words_are_passed_on_as_they_are():
    words = ["evaluate", "--watch", "3", "a.b=c d", "--dry-run", "--", "--dry-run", "x"]
    given = parse(PASSING, words)
    assert given.values == {
        "dry_run": True,
        "words": ["evaluate", "--watch", "3", "a.b=c d", "--dry-run", "x"],
    }
