"""Places on this machine that work will write to, tried before it starts."""

from __future__ import annotations

import os
from pathlib import Path

from factory.config import Config
from factory.errors import ConfigError
from factory.store.atomic import check_place

MAX_SOCKET_BYTES = 107
"""Longest path of a Unix socket (sockaddr_un of Linux, less the final zero)."""
RAY_SOCKET = "ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""Longest socket of a local Ray below its folder for temporary files."""


def check_release_places(config: Config) -> None:
    """Raise FactoryError in one line for a place that a release writes to and cannot.

    audit.embeddings_dir is not among them: what cannot be kept there is computed again.
    """
    if config.fleet.events:
        check_place("fleet.events", Path(config.fleet.events).absolute().parent)
    if config.fleet.runner == "ray" and not (config.fleet.address or os.environ.get("RAY_ADDRESS")):
        check_socket_paths()


def check_training_places(config: Config) -> None:
    """Raise FactoryError in one line for a place that a training writes to and cannot.

    training.cache is not among them: what cannot be kept there stays in memory.
    """
    if "://" not in config.training.out:
        check_place("training.out", Path(config.training.out))


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
