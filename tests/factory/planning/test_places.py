"""Places are tried before work: one line, and nothing begun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from factory.errors import ConfigError, StoreError
from factory.execution.inline import run_units
from factory.execution.socket_paths import check_socket_paths
from factory.planning.places import check_training_places
from factory.release import build
from factory.store import atomic, open_store
from tests.disks import filesystem

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture
def read_only(tmp_path):
    try:
        with filesystem(tmp_path / "ro", "1m", "ro") as folder:
            yield folder
    except PermissionError:
        pytest.skip("this user may not mount")


def test_a_log_that_cannot_be_written_is_found_before_weights_are_read(release_config, tmp_path):
    (tmp_path / "file").write_text("")
    config = release_config(
        f"fleet.events={tmp_path / 'file' / 'events'}", "recognizer.checkpoint=/none"
    )
    with pytest.raises(StoreError, match=r"fleet\.events: .*Not a directory"):
        build(config, run_units, log=print)
    assert open_store(config.store).list("") == []


def test_a_release_whose_vectors_cannot_be_kept_is_made(
    release_config, read_only, capsys, monkeypatch
):
    monkeypatch.setattr(atomic, "_noted", set())  # which says a thing once a process
    config = release_config(f"audit.embeddings_dir={read_only / 'vectors'}")
    build(config, run_units, log=lambda line: None)
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note")]
    assert len(notes) == 1
    assert "Read-only file system" in notes[0]
    assert open_store(config.store).exists("tiny/releases/0.1.0/_SUCCESS")


def test_a_training_that_cannot_write_is_refused(release_config, read_only):
    with pytest.raises(StoreError, match=r"training\.out: .*Read-only file system; choose"):
        check_training_places(release_config(f"training.out={read_only / 't'}"))
    check_training_places(release_config("training.out=s3://bucket/t"))


def test_sockets_of_ray_need_a_short_path(release_config, tmp_path, monkeypatch):
    deep = tmp_path / ("slurm_job_" * 8)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ConfigError, match=r"TMPDIR: got '.*slurm_job_.*set RAY_TMPDIR=/tmp"):
        build(release_config("fleet.runner=ray"), run_units)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    check_socket_paths()


def test_a_user_without_a_home_has_a_cache():
    """A user whom no file of this machine knows, as in a container, and no HOME."""
    if os.geteuid():
        pytest.skip("only root can be somebody else")
    code = (
        "import os; from factory.store.cache import cache_root, check_place\n"
        "os.setuid(54321); check_place('x', cache_root()); print(cache_root())"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("HOME", "XDG_CACHE_HOME")}
    for home in ({}, {"HOME": "/"}, {"HOME": "/root"}):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=env | home | {"TMPDIR": "/var/tmp", "PYTHONPATH": str(ROOT)},
            cwd="/",
            capture_output=True,
            text=True,
        )
        assert done.stdout.strip() == "/var/tmp/face-factory-54321", done.stderr
