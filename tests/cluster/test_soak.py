"""Two minutes of the soak: every kind of fault, and the bytes of a quiet run."""

from __future__ import annotations

import json

import pytest

from tests import s3_server
from tests.benchmarks.soak import soak

pytestmark = [pytest.mark.ray, pytest.mark.s3, pytest.mark.slow, pytest.mark.timeout(900)]


def test_bad_nodes_and_random_faults_change_no_byte(tmp_path, monkeypatch):
    for name, value in s3_server.CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    figures = soak(2.0, seed=19, units=40, folder=tmp_path)
    print(json.dumps(figures))
    assert figures["problems"] == []
    assert figures["bad_nodes"] == ["device", "other machine"]
