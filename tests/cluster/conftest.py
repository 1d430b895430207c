"""A local Ray that the tests of a module share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="module")
def three_cpus():
    import ray

    os.environ["PYTHONWARNINGS"] = "ignore"
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
