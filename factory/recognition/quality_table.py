"""Quality of images from a table, as OFIQ writes it, joined by the keys of images (METHODS 8).

OFIQSampleApp writes `Filename;MEASURE;...;MEASURE.scalar;...;` and a row an image: native values,
then scalars from 0 to 100, -1 where a measure could not be assessed (ISO/IEC 29794-5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from factory.config import QualityConfig
from factory.errors import SourceError
from factory.sources.entries import stem_of
from factory.tables import Table, UserFile, named_as, nfc

FILENAME = "Filename"
NOT_ASSESSED = -1.0
KEY = "quality.table"

Parts = tuple[str, ...]


def read_quality(config: QualityConfig, keys: Sequence[str]) -> np.ndarray:
    """Quality, float64 [N], of the images of some keys; NaN where it could not be assessed.

    A row is of the image whose key its file name ends with, the suffix left out. Raises SourceError
    for keys without a row or with several that differ, and for what is no number.
    """
    assert config.table, f"needs {KEY}"
    file = UserFile(KEY, config.table, "a CSV with a column Filename, as OFIQ writes it")
    wanted = {key: PurePosixPath(nfc(key)).parts for key in keys}
    values = _values_by_end(file, config.column, {len(parts) for parts in wanted.values()})
    missing = [key for key, parts in wanted.items() if parts not in values]
    if missing:
        raise SourceError(
            f"{KEY}: {config.table} has no row of {len(missing)} of {len(wanted)} images; want one "
            "for each, with names that end with the keys of the source"
        )
    doubled = [key for key, parts in wanted.items() if len(values[parts]) > 1]
    if doubled:
        raise SourceError(
            f"{KEY}: {config.table} has rows of different quality for {len(doubled)} of "
            f"{len(wanted)} images; want one for each"
        )
    quality = np.array([next(iter(values[wanted[key]])) for key in keys])
    return np.where(quality == NOT_ASSESSED, np.nan, quality)


def _values_by_end(file: UserFile, column: str, lengths: set[int]) -> dict[Parts, set[float]]:
    """Values by the last parts of file names, of as many parts as keys have."""
    table = Table(file)
    for name in (FILENAME, column):
        if name not in table.columns:
            key = KEY if name == FILENAME else "quality.column"
            raise SourceError(f"{key}: {file.path} has no column {name!r}; want one that it has")
    name_at, value_at = table.columns.index(FILENAME), table.columns.index(column)
    values: dict[Parts, set[float]] = {}
    for line, cells in table.rows():
        value = _number(cells[value_at])
        if value is None:
            raise file.refuse(f"has no number in column {value_at + 1}", line)
        parts = PurePosixPath(stem_of(named_as(cells[name_at]))).parts
        for length in lengths:
            values.setdefault(parts[-length:], set()).add(value)
    return values


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
