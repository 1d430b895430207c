"""Where a local Ray puts its sockets, which a deep folder for temporary files has no room for."""

from __future__ import annotations

import os
from pathlib import Path

from factory.errors import ConfigError
from factory.store.atomic import check_place

MAX_SOCKET_BYTES = 107
"""Longest path of a Unix socket (sockaddr_un of Linux, less the final zero)."""
RAY_SOCKET = f"ray/session_2026-01-01_00-00-00_000000_{os.getpid()}/sockets/plasma_store"
"""Longest socket of a local Ray, begun by this process, below its folder for temporary files."""


def check_socket_paths() -> None:
    """Raise ConfigError where the folder for temporary files is too deep for a local Ray."""
    name = "RAY_TMPDIR" if os.environ.get("RAY_TMPDIR") else "TMPDIR"
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"  # as Ray does
    longest = MAX_SOCKET_BYTES - len(os.fsencode(RAY_SOCKET)) - 1
    if len(os.fsencode(folder)) > longest:
        raise ConfigError(
            f"{name}: got {folder!r}, {len(os.fsencode(folder))} bytes; want at most {longest}, "
            "because Ray puts sockets there: set RAY_TMPDIR=/tmp"
        )
    check_place(name, Path(folder))
