"""The longest folder for temporary files that a local Ray can be given."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from factory.errors import ConfigError
from factory.execution.socket_paths import MAX_SOCKET_BYTES, RAY_SOCKET, check_socket_paths


def test_the_longest_path_that_is_allowed_holds_a_socket(monkeypatch):
    """A real socket of the name that Ray gives it, below a folder of the greatest length."""
    longest = MAX_SOCKET_BYTES - len(RAY_SOCKET) - 1
    folder = Path("/tmp") / ("x" * (longest - len("/tmp/")))
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    check_socket_paths()
    monkeypatch.setenv("RAY_TMPDIR", str(folder) + "x")
    with pytest.raises(ConfigError, match=f"want at most {longest}"):
        check_socket_paths()
    path = folder / RAY_SOCKET
    path.parent.mkdir(parents=True)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    finally:
        subprocess.run(["rm", "-r", str(folder)], check=True)
