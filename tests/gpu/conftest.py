"""What tests of the GPU path share."""

from tests.benchmarks.conftest import one_thread  # noqa: F401
