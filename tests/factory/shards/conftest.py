"""A store for tests of withdrawals."""

from __future__ import annotations

import pytest

from factory.store import LocalStore


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch):
    """Crashes here are of processes, never of the machine."""
    monkeypatch.setattr("os.fsync", lambda handle: None)


@pytest.fixture
def root(tmp_path) -> LocalStore:
    return LocalStore(tmp_path / "store")
