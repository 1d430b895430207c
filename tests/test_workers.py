"""Tests that start servers are kept together, whatever marks them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workers import group_of

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("file", "group"),
    [
        ("tests/cluster/test_fleet.py", "ray"),
        ("tests/jobs/test_jobs.py", "ray"),
        ("tests/factory/store/test_s3.py", "s3"),
        ("tests/factory/store/test_base.py", "s3"),
        ("tests/test_workers.py", "tests/test_workers.py"),
    ],
)
def test_files_are_kept_together_by_the_server_that_they_start(file, group):
    assert (ROOT / file).is_file()
    assert group_of(file) == group
