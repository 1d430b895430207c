"""Rendered people inline, on two actors, and after a killed driver: SHA256SUMS are the same."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from factory.execution.inline import run_units
from factory.release import build
from factory.shards import layout
from factory.store import LocalStore
from tests.rendered import rendered_config, rendered_dotlist

pytest.importorskip("mitsuba")
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]
SMALL = ["identities.num_virtual=4", "plan.identities_per_unit=1", "rendering.masks=[labels]"]


def sums_of(config) -> bytes:
    prefix = layout.release_prefix(config.release.dataset, config.release.version)
    return LocalStore(config.store.url).below(prefix).get(layout.SUMS)


def killed_after_a_commit(weights: Path, store: Path, folder: Path) -> None:
    """Let a driver of its own begin the release, and kill it once a unit is committed."""
    recipe = folder / "killed.yaml"
    recipe.write_text("{}\n")
    words = [sys.executable, "-m", "jobs.release", str(recipe), *rendered_dotlist(weights, store)]
    said = folder / "killed.log"
    with said.open("wb") as log:
        driver = subprocess.Popen(
            [*words, *SMALL], start_new_session=True, stdout=log, stderr=subprocess.STDOUT
        )
    release = store / "rendered/releases/0.1.0"
    try:
        while driver.poll() is None and not list((release / layout.COMMITS).glob("*.json")):
            time.sleep(0.05)
        assert list((release / layout.COMMITS).glob("*.json")), said.read_text()
    finally:
        with contextlib.suppress(ProcessLookupError):  # it ended by itself
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()


def test_inline_two_actors_and_a_killed_driver_give_the_same_bytes(three_cpus, weights, tmp_path):
    from cluster import fleet

    inline = rendered_config(weights, tmp_path, *SMALL, f"store.url={tmp_path / 'inline'}")
    build(inline, run_units, log=lambda line: None)
    actors = rendered_config(
        weights, tmp_path, *SMALL, f"store.url={tmp_path / 'actors'}", "fleet.num_workers=2"
    )
    build(actors, fleet.run_units, log=lambda line: None)
    assert sums_of(actors) == sums_of(inline)
    killed_after_a_commit(weights, tmp_path / "killed", tmp_path)
    killed = rendered_config(weights, tmp_path, *SMALL, f"store.url={tmp_path / 'killed'}")
    build(killed, run_units, log=lambda line: None)
    assert sums_of(killed) == sums_of(inline)
