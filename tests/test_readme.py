"""README stays true: its commands can be given, its snippets run, its table names every job."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from factory.config import SamplerConfig, load, load_claim, load_pipeline
from factory.execution.inline import run_units
from factory.release import build

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
LOADERS = {"claim": load_claim, "pipeline": load_pipeline}
JOBS = {file.stem for file in (ROOT / "jobs").glob("[a-z]*.py")} | {"config"}


def blocks(language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(README) if kind == language]


def commands() -> list[str]:
    """Every command of the blocks without a language, and those in the text."""
    lines = [
        line
        for block in blocks("")
        for line in block.replace("\\\n", " ").splitlines()
        if shlex.split(line, comments=True)
    ]
    prose = FENCE.sub("", README)
    return lines + re.findall(r"`((?:python -m|make|source) [^`]+)`", prose)


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A Python process with this tree's packages, as a person would start it."""
    command = [sys.executable, "-W", "ignore", *arguments]
    environment = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=200
    )


@cache
def help_of(job: str) -> str:
    done = run("-m", f"jobs.{job}", "--help")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("line", commands())
def test_a_command_can_be_given(line):
    words = shlex.split(line, comments=True)
    if words[0] == "export":
        assert all(re.fullmatch(r"[A-Z_]+=\S+", word) for word in words[1:])
    elif words[0] == "make":
        targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.M)
        assert set(words[1:]) <= set(targets)
    elif words[0] == "source":
        assert words[1] == ".venv/bin/activate"
    else:
        assert words[0] in ("python", "torchrun"), "teach this test the command"
        module, *arguments = words[words.index("-m") + 1 :]
        check_module(module, arguments)


def check_module(module: str, arguments: list[str]) -> None:
    if module == "jobs" and arguments:
        module, arguments = f"jobs.{arguments[0]}", arguments[1:]
    package, _, job = module.partition(".")
    if package == "jobs" and job:
        assert job in JOBS
        if job != "config":  # whose output a test of its own looks at
            check_job(job, arguments)
    else:
        assert find_spec(module), f"no module {module}"


def check_job(job: str, arguments: list[str]) -> None:
    """The job's parser knows the options, and the config it reads loads with the arguments."""
    options = [word for word in arguments if word.startswith("--")]
    for option in options:
        assert re.search(rf"{option}\b", help_of(job)), f"{job} has no {option}"
    file = next((word for word in arguments if word.endswith(".yaml")), None)
    if file is None:
        assert not re.search(r"^ +config\b", help_of(job), re.M | re.I), f"{job} wants a config"
        return
    assert (ROOT / file).is_file()
    dotlist = [word for word in arguments if "=" in word and not word.startswith("-")]
    submitted = arguments[arguments.index("--job") + 1] if "--job" in arguments else job
    LOADERS.get(submitted, load)(ROOT / file, dotlist)  # raises for a key that is required, too


@pytest.mark.parametrize("code", blocks("python"))
def test_a_snippet_runs_on_a_release(code, release_config, tmp_path):
    config = release_config(f"store.url={tmp_path / 'runs/releases'}", "release.dataset=demo")
    build(config, run_units, log=lambda line: None)
    done = run("-c", code + "\nassert stream.bookmark.finished\n", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def table() -> dict[str, set[str]]:
    """Jobs of the table by group."""
    rows = README[README.index("| job | what it does |") :].split("\n\n")[0].splitlines()[2:]
    groups: dict[str, set[str]] = {}
    for cell in (row.split("|")[1].strip() for row in rows):
        if cell.startswith("**"):
            groups[cell.strip("*")] = names = set()
        else:
            names.update(re.findall(r"`(\w+)`", cell))
    return groups


def test_the_table_names_every_job_in_one_group():
    assert list(table()) == ["make", "train", "check", "measure", "operate"]
    assert sorted(name for names in table().values() for name in names) == sorted(JOBS)


def test_the_door_lists_the_jobs_in_the_same_groups():
    done = run("-m", "jobs")
    assert done.returncode == 0, done.stderr
    listed = {
        group: set(re.findall(r"^ +(\w+) ", jobs, re.M))
        for group, jobs in re.findall(r"^(\w+):?\n((?: +\w.*\n)+)", done.stdout, re.M)
    }
    assert listed == table()


def test_config_prints_every_setting_of_a_section():
    assert "python -m jobs config sampler" in README
    done = run("-m", "jobs", "config", "sampler")
    assert done.returncode == 0, done.stderr
    for key in vars(SamplerConfig()):
        assert key in done.stdout


def test_the_console_script_is_the_door():
    assert "`face-factory`" in README
    project = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'^face-factory = "jobs\.__main__:\w+"', project, re.M)


def test_it_stays_short():
    assert len(README.splitlines()) <= 200
