"""A source whose images come as those of a bucket do: several at once, or not at all."""

from __future__ import annotations

import threading
from typing import Any

from factory.sources import FaceSource
from factory.sources.base import SourceFace


class FetchedTogether:
    """A source of which each image waits until `num_at_once` are under way."""

    is_remote = True

    def __init__(self, source: FaceSource, num_at_once: int) -> None:
        self._source, self._together = source, threading.Barrier(num_at_once)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> SourceFace:
        self._together.wait(timeout=30)
        return self._source[index]
