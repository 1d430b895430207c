"""The job pushes as a person would call it: a process, its environment, one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from factory.store import LocalStore
from jobs.push import JOB
from tests.hub_server import TOKEN, serving
from tests.jobs.commands import ROOT


def run(hub, *words, **environment):
    settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    inherited = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    return subprocess.run(
        [sys.executable, "-m", "jobs", "push", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=inherited | settings | environment,
        timeout=120,
    )


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    from tests.grown import make_release, never

    dataset = LocalStore(tmp_path_factory.mktemp("made"))
    make_release(dataset, 2, never, version="0.1.0")
    return dataset.root / "releases" / "0.1.0"


def test_the_job_finds_hub_and_token_in_its_environment(release):
    with serving() as hub:
        done = run(hub, release, "owner/faces")
        assert done.returncode == 0, done.stderr
        assert "owner/faces: holds the release as 0.1.0, commit" in done.stdout
        assert hub.repos["owner/faces"].private
        assert TOKEN not in done.stdout + done.stderr
        hub.asked.clear()
        offline = run(hub, release, "owner/faces", HF_HUB_OFFLINE="1")
        assert offline.returncode == 1
        assert (
            offline.stderr
            == "error: owner/faces: HF_HUB_OFFLINE is set; unset it to reach the hub\n"
        )
        assert hub.asked == []


def test_options_are_told_to_the_library(release, capsys):
    JOB.main([str(release), "owner/faces", "--dry-run", "--public", "--revision", "v1"])
    heard = capsys.readouterr().out
    assert "to owner/faces (public), tag v1\nnothing is sent" in heard


def test_a_folder_that_is_no_release_is_one_line(release, tmp_path):
    shutil.copytree(release, tmp_path / "0.1.0")
    (tmp_path / "0.1.0" / "SHA256SUMS").unlink()
    with pytest.raises(SystemExit, match=r"^error: .*0\.1\.0"):
        JOB.main([str(tmp_path / "0.1.0"), "owner/faces", "--dry-run"])
