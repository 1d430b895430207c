"""Shared memory of batch workers: how much they need, found before they start.

A worker hands a batch over in /dev/shm, which is 64 MB in a container unless somebody asks for
more; a batch that does not fit there is never handed over, and a training would wait for ever.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from factory.errors import ConfigError, DeviceError, FactoryError

SHARED_MEMORY = Path("/dev/shm")
PREFETCHED = 4
"""Batches that each worker makes ahead."""
IN_USE = 2
"""Batches that were taken over and are not used up."""
TIMEOUT_S = 600.0
"""Wait for a batch after which its workers are given up."""
REMEDY = (
    "give the container more (docker run --shm-size=8g; in Kubernetes an emptyDir of medium Memory "
    "at /dev/shm), or take fewer batches.num_workers"
)


def check_shared_memory(num_workers: int, batch_bytes: int) -> None:
    """Raise ConfigError unless the batches of all workers of this machine fit into /dev/shm."""
    if not num_workers or not SHARED_MEMORY.is_dir():
        return
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    needed = ranks * (num_workers * PREFETCHED + IN_USE) * batch_bytes
    free = shutil.disk_usage(SHARED_MEMORY).free
    if free < needed:
        raise ConfigError(
            f"batches.num_workers: {num_workers} workers{f' of {ranks} ranks' * (ranks > 1)} hold "
            f"{needed / 1e6:.1f} MB of batches in {SHARED_MEMORY}, where {free / 1e6:.1f} MB are "
            f"free; {REMEDY}"
        )


@contextmanager
def explained_workers() -> Iterator[None]:
    """Turn the silence or death of a worker into a DeviceError of one line."""
    try:
        yield
    except RuntimeError as error:
        text = " ".join(str(error).split())
        if "DataLoader" not in text or isinstance(error, FactoryError):
            raise
        free = shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else 0
        raise DeviceError(
            f"batches.num_workers: {text.partition('. ')[0]}; {free / 1e6:.1f} MB of "
            f"{SHARED_MEMORY} are free: {REMEDY}"
        ) from None
