"""Seal, status, gc and card of a release with many units: linear work, bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import factory.shots.plan as plan_module
from factory.store import LocalStore
from tests.benchmarks.many_units import run

LISTINGS = ("list", "entries")
REQUESTS = ("get", "exists", "size", "put", "put_once", "swap", "sha256", *LISTINGS)
MOST_A_UNIT = 16
"""Requests of a kind, or names in listings, for the four files of a unit."""


def work_of(num_units: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Requests to the store by kind, names that it listed, and spellings of a plan for its hash."""
    counted: Counter[str] = Counter()

    def counting(owner: object, name: str) -> None:
        original = getattr(owner, name)

        def call(*args, **kwargs):
            result = original(*args, **kwargs)
            counted[name] += len(result) if name in LISTINGS else 1
            return result

        monkeypatch.setattr(owner, name, call)

    with monkeypatch.context() as monkeypatch:
        for name in REQUESTS:
            counting(LocalStore, name)
        counting(plan_module, "canonical")
        run(LocalStore(folder), num_units, and_verify=True)
    return counted


def test_requests_to_the_store_grow_by_the_same_for_each_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, more, most = (work_of(n, tmp_path / str(n), monkeypatch) for n in (2, 12, 22))
    for name in REQUESTS:
        assert most[name] - more[name] == more[name] - few[name], name
        assert most[name] - more[name] <= 10 * MOST_A_UNIT, (name, most[name] - more[name])


def test_a_plan_is_hashed_as_often_for_many_units_as_for_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, most = (work_of(n, tmp_path / str(n), monkeypatch) for n in (2, 22))
    assert 0 < most["canonical"] == few["canonical"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_release_of_24_million_faces_is_sealed_within_two_minutes_and_2_gib() -> None:
    out = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.many_units"],
        capture_output=True,
        text=True,
        check=True,
    )
    figures = json.loads(out.stdout)
    assert figures["units"] == 30_000
    assert figures["peak_bytes"] < 2 << 30
    assert figures["seal_card_status_cpu_s"] < 120  # of a processor, whatever else the machine does
