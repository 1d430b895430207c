"""The server that tests and journeys start ends with the process that started it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.s3
def test_sigterm_ends_the_server_too():
    command = [sys.executable, "-m", "tests.s3_server"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "stop with Ctrl-C" not in (line := process.stdout.readline()):
            assert line, "it did not start"
        (server,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.terminate()
        assert process.wait(60) == 0
    deadline = time.monotonic() + 60
    while Path(f"/proc/{server}").exists() and not _is_dead(server):
        assert time.monotonic() < deadline
        os.sched_yield()


def _is_dead(pid: str) -> bool:
    """Whether a process has ended and waits for its new parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
