"""The door: all jobs listed, any of them run, an old or misspelled name answered."""

from __future__ import annotations

import tomllib

import pytest

from jobs import __main__ as door
from jobs._catalog import GROUPS
from tests.jobs.commands import ROOT, run


def test_all_jobs_are_listed_in_their_groups_with_a_sentence_each(capsys):
    door.main([])
    listed = capsys.readouterr().out
    assert [line for line in listed.splitlines() if line in GROUPS] == list(GROUPS)
    for names in GROUPS.values():
        for name in names:
            assert f"\n  {name} " in listed
    assert "  verify                   Re-read every byte of a sealed release" in listed
    assert "\x1b" not in listed
    assert max(len(line) for line in listed.splitlines()) <= 100
    door.main(["--help"])
    assert capsys.readouterr().out == listed


def test_a_job_is_run_by_its_name_as_by_its_module():
    by_name, by_module = run("jobs", "gc", "--help"), run("jobs.gc", "--help")
    assert by_name.returncode == by_module.returncode == 0
    assert by_name.stdout == by_module.stdout
    usage = "usage: python -m jobs.gc RELEASE [store.key=value ...] [options]\n"
    assert by_name.stdout.startswith(usage)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("finetune_booth", "error: finetune_booth: renamed to personalize"),
        ("relese", "error: relese: no such job; did you mean release?"),
        ("xyz", "error: xyz: no such job; `python -m jobs` lists all"),
    ],
)
def test_a_name_that_there_is_not(name, line):
    with pytest.raises(SystemExit) as caught:
        door.main([name])
    assert caught.value.code == line


def test_the_console_script_is_the_door():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"face-factory": "jobs.__main__:main"}
