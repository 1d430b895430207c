"""Every job file is in one group, declares what it takes, and opens with its command."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from factory.config import Config, load
from jobs._catalog import GROUPS, RENAMED, find
from tests.jobs.commands import ROOT

NAMES = [name for names in GROUPS.values() for name in names]
FILES = sorted(f.stem for f in (ROOT / "jobs").glob("[!_]*.py"))
SECTIONS = {field.name for field in dataclasses.fields(Config)}


def test_every_job_is_in_one_group():
    assert sorted(NAMES) == FILES
    assert list(GROUPS) == ["make", "train", "check", "measure", "operate"]


def test_old_names_have_new_ones():
    assert set(RENAMED.values()) <= set(NAMES)
    assert not set(RENAMED) & set(NAMES)


@pytest.mark.parametrize("name", NAMES)
class TestJob:
    def test_its_docstring_opens_with_a_sentence_and_the_command(self, name):
        first, blank, command, *_ = (find(name).doc or "").splitlines()
        assert first.endswith(".")
        assert blank == ""
        assert command.startswith(f"    python -m jobs.{name}"), "the command is indented"

    def test_it_reads_sections_that_there_are(self, name):
        job = find(name)
        assert job.name == name
        assert set(job.reads) <= SECTIONS
        assert len(set(job.reads)) == len(job.reads)
        assert bool(job.reads) == (job.load is load)

    def test_its_action_takes_all_that_the_command_line_gives(self, name):
        job = find(name)
        given = {subject.name for subject in job.subjects}
        given |= {
            option.settings.get("dest") or option.name.lstrip("-").replace("-", "_")
            for option in job.all_options
        }
        given |= {"store"} if job.at_address else set()
        given |= ({"config"} if job.load else set()) | ({"words"} if job.words else set())
        assert set(inspect.signature(job.action).parameters) == given - {"print_config"}
