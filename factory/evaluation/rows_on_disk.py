"""Rows that are more than memory should hold: appended to a file, then mapped."""

from __future__ import annotations

from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from factory.store.atomic import of_file


class RowsOnDisk:
    """A .npy file [N, D] whose rows are appended; `finish` makes it whole."""

    def __init__(self, path: Path, dim: int, dtype: type[np.generic]) -> None:
        self.path, self._dim, self._dtype = path, dim, np.dtype(dtype)
        with of_file(path):
            self._file: IO[bytes] = path.open("w+b")
        self._header_bytes = self._write_header(0)
        self.count = 0

    def append(self, rows_ND: np.ndarray) -> None:
        """Add rows [N, D] of the file's type."""
        assert rows_ND.shape[1:] == (self._dim,), "rows are as long as the file says"
        with of_file(self.path):
            self._file.write(np.ascontiguousarray(rows_ND, self._dtype).tobytes())
        self.count += len(rows_ND)

    def finish(self) -> Path:
        """Write how many rows there are, and close; where the file is."""
        with of_file(self.path):
            self._file.seek(0)
            size = self._write_header(self.count)
            self._file.close()
        assert size == self._header_bytes, "numpy leaves room for longer counts"
        return self.path

    def _write_header(self, count: int) -> int:
        described = {
            "descr": npy.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (count, self._dim),
        }
        npy.write_array_header_1_0(self._file, described)
        return self._file.tell()
