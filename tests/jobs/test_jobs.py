"""Jobs as a person runs them: exit codes and one line of error."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from factory.shards import layout
from factory.store import LocalStore
from tests.conftest import tiny_dotlist

ROOT = Path(__file__).parent.parent.parent


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, timeout=200
    )


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "c.yaml").write_text("{}\n")
    return str(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("job", "dotlist", "line"),
    [
        ("release", ["plan.nonsense=1"], "error: plan.nonsense"),
        ("release", ["recognizer.checkpoint=/none"], "error: recognizer.checkpoint"),
        ("train_recognizer", ["source.kind=folder", "source.path=/none"], "error: source.path"),
        ("train_generator", ["recognizer.checkpoint=/none"], "error: recognizer.checkpoint"),
        ("train_autoencoder", ["recognizer.checkpoint=/none"], "error: recognizer.checkpoint"),
    ],
)
def test_bad_input_exits_1_with_one_line(empty, job, dotlist, line):
    done = run(f"jobs.{job}", empty, *dotlist)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert len(done.stderr.splitlines()) == 1


def test_help_tells_the_command():
    done = run("jobs.release", "--help")
    assert done.returncode == 0
    assert "python -m jobs.release configs/demo.yaml" in done.stdout


def test_a_killed_driver_is_resumed_and_verify_sees_a_flipped_byte(
    empty, people, weights, tmp_path
):
    store = tmp_path / "store"
    release = LocalStore(store).below(layout.prefix("tiny", "0.1.0"))
    arguments = ("jobs.release", empty, *tiny_dotlist(people, weights, store))
    slow = (*arguments, "plan.images_per_identity=40", "sampler.num_steps=40")

    # Kill the driver as soon as one shard is committed
    driver = subprocess.Popen(
        command(*slow), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not release.list(layout.COMMITS) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert not release.exists(layout.SUCCESS)

    # Resume, and compare with an undisturbed run
    done = run(*slow)
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stdout
    other = LocalStore(tmp_path / "other").below(layout.prefix("tiny", "0.1.0"))
    assert run(*slow, f"store.url={tmp_path / 'other'}").returncode == 0
    assert release.get(layout.SUMS) == other.get(layout.SUMS)

    # Verify, then flip one byte
    assert run("jobs.verify", str(release.root)).returncode == 0
    data = bytearray(release.get(layout.tar(1)))
    data[1000] ^= 1
    release.put(layout.tar(1), bytes(data))
    broken = run("jobs.verify", str(release.root))
    assert broken.returncode == 1
    assert layout.tar(1) in broken.stdout


def test_report_needs_a_sealed_release_and_rewrites_only_extras(empty, people, weights, tmp_path):
    store = tmp_path / "store"
    release = LocalStore(store).below(layout.prefix("tiny", "0.1.0"))
    dotlist = tiny_dotlist(people, weights, store)
    done = run("jobs.report", empty, *dotlist)
    assert done.returncode == 1
    assert "not sealed" in done.stderr
    assert run("jobs.release", empty, *dotlist).returncode == 0
    before = release.get(layout.SUMS)
    release.put(layout.REPORT, b"old")
    done = run("jobs.report", empty, *dotlist)
    assert done.returncode == 0, done.stderr
    assert b"<h1>" in release.get(layout.REPORT)
    assert release.get(layout.SUMS) == before
    assert run("jobs.verify", str(release.root)).returncode == 0
