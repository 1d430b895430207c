"""Matrices that are made on a machine, such as a roster in bfloat16, and held there once.

All its processes map one file in its cache (cache.py), whose pages the machine holds once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from factory.store.atomic import of_file, writing
from factory.store.base import check_name
from factory.store.cache import PLACE, cache_root, locked

if TYPE_CHECKING:
    import torch

MADE_AT_ONCE = 8192
"""Rows of a matrix that are made and compared at once."""
SHARED_FROM_BYTES = 1 << 25
"""Smaller matrices are kept by each process."""


def shared_rows(
    name: str, make: Callable[[int, int], torch.Tensor], shape: tuple[int, int]
) -> torch.Tensor:
    """A matrix [N, D] that the processes of this machine map from one file, `name`.

    `make(start, stop)` gives its rows on the CPU, the same in every process. The first one writes
    the file; each compares what it finds with what it would make, so a damaged file is made anew.
    Raises StoreError where nothing can be kept.
    """
    import torch

    path, kind = cache_root() / "rows" / check_name(name), make(0, 0).dtype
    parts = [
        (start, min(start + MADE_AT_ONCE, shape[0])) for start in range(0, shape[0], MADE_AT_ONCE)
    ]

    def mapped() -> torch.Tensor:
        whole = torch.from_file(str(path), shared=False, size=shape[0] * shape[1], dtype=kind)
        return whole.view(shape)

    with of_file(path, PLACE), locked(path.parent):
        size = shape[0] * shape[1] * kind.itemsize
        if path.exists() and path.stat().st_size == size:
            rows = mapped()
            if all(torch.equal(rows[start:stop], make(start, stop)) for start, stop in parts):
                return rows
        with writing(path, PLACE, durable=False) as file:
            for start, stop in parts:
                file.write(make(start, stop).contiguous().view(torch.uint8).numpy().data)
        return mapped()
