"""A /dev/shm that batches do not fit into is found before workers start, and never waited for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from factory.training import worker_memory

ROOT = Path(__file__).parents[2]
Usage = namedtuple("Usage", "total used free")
TINY = ["recognizer.num_virtual=4", "recognizer.batch_size=8", "training.max_steps=2"]


def words(folder: Path, workers: int) -> list[str]:
    recipe = ["configs/recognizer/mini.yaml", "source.license=CC0-1.0"]
    own = [f"source.path={folder / 'f'}", f"training.out={folder / 't'}"]
    return [*recipe, "source.holdout_identities=0", *own, *TINY, f"batches.num_workers={workers}"]


def test_a_small_one_is_one_line_with_both_sizes_and_a_remedy(
    faces, run_job, tmp_path, monkeypatch
):
    """Two workers hold 2 x 4 + 2 batches of 8 images of 112 x 112 x 3 bytes: 3,010,560."""
    faces(tmp_path / "f", 4, 3)
    usage = Usage(3_010_560, 0, 3_010_559)
    monkeypatch.setattr(worker_memory.shutil, "disk_usage", lambda place: usage)
    code, said = run_job("train_recognizer", *words(tmp_path, 2))
    assert code == 1
    (line,) = [line for line in said.splitlines() if line.startswith("error")]
    assert "batches.num_workers: 2 workers hold 3.0 MB of batches in /dev/shm" in line
    assert "where 3.0 MB are free" in line
    assert "--shm-size" in line


def test_what_just_fits_is_learned(faces, run_job, tmp_path, monkeypatch):
    faces(tmp_path / "f", 4, 3)
    usage = Usage(3_010_560, 0, 3_010_560)
    monkeypatch.setattr(worker_memory.shutil, "disk_usage", lambda place: usage)
    code, said = run_job("train_recognizer", *words(tmp_path, 2))
    assert code == 0, said


@pytest.mark.slow
def test_a_real_one_of_2_mb(faces, tmp_path):
    mounted = "mount -t tmpfs -o size=2m tmpfs /dev/shm"
    if not shutil.which("unshare") or os.geteuid():
        pytest.skip("mounting needs root and unshare")
    trial = subprocess.run(["unshare", "-m", "sh", "-c", mounted], capture_output=True)
    if trial.returncode:
        pytest.skip("this user may not mount in a namespace of its own")
    faces(tmp_path / "f", 4, 3)
    job = [sys.executable, "-m", "jobs.train_recognizer", *words(tmp_path, 2)]
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f'{mounted} && exec "$@"', "sh", *job],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert "hold 3.0 MB of batches in /dev/shm, where 2.1 MB are free" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
