"""Faces that are drawn when they are asked for, in files of few rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from factory.sources import CorruptImageError, SourceFace
from factory.training import face_files, faces, rows


def small_shards(monkeypatch: pytest.MonkeyPatch, num_rows: int) -> None:
    """Give shards of rows another size."""
    for module in (rows, face_files, faces):
        monkeypatch.setattr(module, "rows_a_shard", lambda image_px: num_rows)


class DrawnSource:
    """A FaceSource of noise, two images a person; those in `unreadable` cannot be read."""

    corrupt: tuple[str, ...] = ()
    left_out: tuple[Any, ...] = ()

    def __init__(self, num_faces: int, px: int, unreadable: tuple[int, ...] = ()) -> None:
        self._px, self._unreadable = px, unreadable
        self.labels = np.arange(num_faces) // 2
        self.names = [f"person_{label:06d}" for label in range(int(self.labels[-1]) + 1)]
        self.keys = _DrawnKeys(num_faces)
        self.fingerprint = f"{num_faces} drawn faces without {unreadable}"
        self.remarks = ("drawn",)
        self.num_read = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> SourceFace:
        self.num_read += 1
        key = self.keys[index]
        if index in self._unreadable:
            raise CorruptImageError(f"{key}: not a readable image")
        image = np.random.default_rng(index).integers(0, 256, (self._px, self._px, 3), np.uint8)
        return SourceFace(image, int(self.labels[index]), key)

    def encoded(self, index: int) -> bytes:
        return self[index].image_HWC.tobytes()


class _DrawnKeys(Sequence[str]):
    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return f"bild-ä/{range(self._count)[index]:08d}"


def anonymous_bytes() -> int:
    """Memory of this process that is no file's (smaps_rollup of /proc, Linux)."""
    kilobytes = re.search(r"Anonymous:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text())
    assert kilobytes, "/proc/self/smaps_rollup has no Anonymous"
    return 1024 * int(kilobytes[1])
