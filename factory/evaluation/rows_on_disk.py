"""Rows that are more than memory should hold: appended to a file without a name, then mapped."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from factory.store.atomic import of_file


class RowsOnDisk:
    """Rows [N, D] in a file of `folder` that has no name.

    They may be templates of real people, and nobody finds them there when this process is killed.
    """

    def __init__(self, folder: Path | str | None, dim: int, dtype: type[np.generic]) -> None:
        """`folder` is None for that of temporary files."""
        self._place = Path(folder or tempfile.gettempdir())
        self._dim, self._dtype = dim, np.dtype(dtype)
        with of_file(self._place):
            self._file = tempfile.TemporaryFile(dir=self._place)
        self.count = 0

    def append(self, rows_ND: np.ndarray) -> None:
        """Add rows [N, D] of the file's type."""
        assert rows_ND.shape[1:] == (self._dim,), "rows are as long as the file says"
        with of_file(self._place):
            self._file.write(np.ascontiguousarray(rows_ND, self._dtype).tobytes())
        self.count += len(rows_ND)

    def finish(self) -> np.ndarray:
        """All rows, mapped; the file lasts as long as they do."""
        with of_file(self._place):
            self._file.flush()
        shape = (self.count, self._dim)
        if not self.count:
            return np.empty(shape, self._dtype)
        return np.memmap(self._file, self._dtype, "r", shape=shape)
