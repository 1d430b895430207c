"""--help: the order of arguments, the command, and what each means."""

from __future__ import annotations

import pytest

from jobs._arguments import parse
from jobs._catalog import find
from jobs._help import summary, usage


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("release", "python -m jobs.release CONFIG [section.key=value ...] [options]"),
        ("evaluate", "python -m jobs.evaluate RELEASE CONFIG [section.key=value ...] [options]"),
        ("reproduce", "python -m jobs.reproduce KEY CONFIG [section.key=value ...] [options]"),
        ("claim", "python -m jobs.claim CONFIG ... [section.key=value ...] [options]"),
        ("export", "python -m jobs.export RELEASE FORMAT OUT [store.key=value ...] [options]"),
        ("submit", "python -m jobs.submit ARGUMENT ... [options]"),
        ("config", "python -m jobs.config [SECTION[.KEY] ...] [options]"),
    ],
)
def test_usage(name, line):
    assert usage(find(name)) == line


def help_of(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        parse(find(name), ["--help"])
    assert not caught.value.code
    return capsys.readouterr().out


def test_help_explains_arguments_options_and_sections(capsys):
    text = help_of("train_generator", capsys)
    assert "\n    python -m jobs.train_generator configs/generator/mini.yaml" in text
    assert "\n  section.key=value  changes to it\n" in text
    assert "\n  --dry-run       check everything, write nothing\n" in text
    sections = "store, fleet, acceptance, recognizer, autoencoder, generator"
    assert f"{sections}; `python -m" in " ".join(text.split())
    assert all(len(line) <= 100 for line in text.splitlines())


def test_help_shows_choices_and_defaults(capsys):
    assert "  FORMAT           what to write: imagefolder, rec, parquet\n" in help_of(
        "export", capsys
    )
    text = help_of("gc", capsys)
    assert "  --older-than-hours HOURS  leave younger ones alone (default: 24)\n" in text
    assert "section.key=value" not in text


def test_a_summary_is_the_first_sentence():
    assert summary("Make it.\n\nMore.\n") == "Make it"
    assert summary(None) == ""
