"""A local Ray that the tests of a module share, and nodes started one by one."""

from __future__ import annotations

import os

import pytest

from tests.cluster.nodes import Nodes


@pytest.fixture(scope="module")
def three_cpus():
    import ray

    os.environ["PYTHONWARNINGS"] = "ignore"
    ray.init(address="local", num_cpus=3, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def nodes(tmp_path, s3_endpoint):
    """A head without work, to which nodes may be joined; they have the bucket's credentials, and
    its endpoint as AWS has it."""
    started = Nodes(tmp_path, AWS_ENDPOINT_URL=s3_endpoint)
    started.head()
    yield started
    started.end()
