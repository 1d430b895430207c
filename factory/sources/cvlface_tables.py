"""The tables in CVLface's folders: train.tsv, and the points of ldmk_*points.csv.

Of M. Kim's CVLface (github.com/mk-minchul/CVLface): each line of train.tsv is key TAB path TAB
class, without a header. ldmk_5points.csv has a header and then, for each line of train.tsv by its
number from 0, x and y of five points (or x, y and a score) as fractions of width and height.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from factory.config import SourceConfig
from factory.errors import SourceError

TABLE, POINTS = "train.tsv", "ldmk_*points.csv"
IN_PIXELS = 4.0
"""Coordinates beyond it are no fractions of a width or height."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of train.tsv."""

    key: int
    path: str
    label: int


def folder_of(config: SourceConfig) -> Path:
    """The folder of a source of kind cvlface, or the one of the train.tsv that it names."""
    path = Path(config.path or "")
    root = path.parent if path.is_file() and path.name == TABLE else path
    if not (root / TABLE).is_file():
        raise SourceError(
            f"source.path: no {TABLE} in {str(path)!r}; want a folder with {TABLE} as CVLface "
            "writes it, or another source.kind"
        )
    return root


def points_file(config: SourceConfig) -> Path | None:
    """The table of points in a folder of CVLface; None without one, and with source.landmarks.

    Raises SourceError where there are several.
    """
    if config.landmarks:
        return None
    root = folder_of(config)
    found = sorted(file for file in root.glob(POINTS) if not file.name.startswith("."))
    if len(found) > 1:
        raise SourceError(f"source.path: {root} holds {len(found)} files {POINTS}; want one")
    return found[0] if found else None


def read_rows(path: Path) -> Iterator[Row]:
    """The lines of a train.tsv; raises SourceError for the first that is none."""
    wanted = "want key TAB path TAB class, without a header"
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            lines = csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
            for number, line in enumerate(lines, start=1):
                if len(line) != 3 or not (line[0].isdecimal() and line[2].isdecimal()):
                    raise SourceError(
                        f"source.path: line {number} of {path} has {len(line)} columns, or a key "
                        f"or class that is no number; {wanted}"
                    )
                name = PurePosixPath(line[1])
                if name.is_absolute() or ".." in name.parts or not name.name:
                    raise SourceError(
                        f"source.path: the path in line {number} of {path} leads out of its "
                        "folder; want one below it"
                    )
                yield Row(int(line[0]), name.as_posix(), int(line[2]))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(
            f"source.path: {path} is not UTF-8 text ({type(error).__name__}); {wanted}"
        ) from None


def read_points(path: Path, num_rows: int) -> np.ndarray:
    """Five points of each row as fractions of width and height: float64 [N, 5, 2].

    NaN for a row that the table lacks. Raises SourceError for anything but numbers.
    """
    try:
        table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2, encoding="utf-8-sig")
    except ValueError as error:
        raise SourceError(f"source.path: {path} is not numbers under a header ({error})") from None
    if table.shape[1] not in (11, 16):
        raise SourceError(
            f"source.path: {path} has {table.shape[1]} columns; want idx and x,y, or x,y,score, of "
            "five points"
        )
    rows = table[:, 0]
    inside = (rows >= 0) & (rows < num_rows) & (rows == np.floor(rows))
    if not inside.all() or len(np.unique(rows)) < len(rows):
        raise SourceError(
            f"source.path: idx of {path} must be numbers of lines of {TABLE}, from 0 to "
            f"{num_rows - 1} and each once; want the table of that folder"
        )
    points_N52 = table[:, 1:].reshape(len(table), 5, -1)[..., :2]
    if np.nanmax(np.abs(points_N52), initial=0.0) > IN_PIXELS:
        raise SourceError(
            f"source.path: {path} has points in pixels; want fractions of width and height, or "
            "set source.landmarks to a table of pixels"
        )
    all_N52 = np.full((num_rows, 5, 2), np.nan)
    all_N52[rows.astype(np.int64)] = points_N52
    return all_N52
