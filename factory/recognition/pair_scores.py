"""Scores of verification pairs as tables that others read: Parquet, CSV, pyeer's text (METHODS 8).

Keys and names of people stand in the Parquet file alone, which stays on the machine of whoever has
the photographs. CSV and text hold no more than scores.

Shapes: N pairs, G genuine ones, I impostors, P people.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from factory.errors import SourceError
from factory.recognition.pairs import Pairs
from factory.recognition.verification import folds_of, too_few_for_folds
from factory.store.parquet import read_table, table_to_parquet
from factory.tables import UserFile

PARQUET, CSV = "scores.parquet", "scores.csv"
GENUINE, IMPOSTOR = "genuine.txt", "impostor.txt"
SCHEMA = pa.schema(
    [
        ("first_key", pa.string()),
        ("second_key", pa.string()),
        ("first_person", pa.string()),
        ("second_person", pa.string()),
        ("same", pa.bool_()),
        ("cosine", pa.float64()),
        ("fold", pa.int32()),
        ("first_acquired", pa.bool_()),
        ("second_acquired", pa.bool_()),
        ("first_quality", pa.float64()),
        ("second_quality", pa.float64()),
    ]
)
"""Columns of the Parquet file; null where a person, a fold or a quality is not known, and for the
cosine of an image without an embedding."""


@dataclass(frozen=True)
class PairScores:
    """Cosines of pairs, with all that is known of them; pair i is images 2i and 2i+1."""

    cosine_N: np.ndarray
    """NaN where an image has no embedding."""
    same_N: np.ndarray
    keys: tuple[str, ...]
    """Of the 2N images."""
    people: tuple[str | None, ...]
    """Names of the people of the 2N images, None where nobody knows them."""
    acquired_2N: np.ndarray
    """Whether each image has an embedding."""
    fold_N: np.ndarray | None = None
    """None where there are too few pairs for folds."""
    quality_N2: np.ndarray | None = None

    @property
    def is_scored_N(self) -> np.ndarray:
        """Pairs both of whose images have an embedding."""
        return np.asarray(self.acquired_2N.reshape(-1, 2).all(1))

    def units(self) -> tuple[np.ndarray, np.ndarray, int]:
        """Numbers of the first and the second person of each pair [N], and how many there are.

        A pair of people whom nobody knows stands for one of its own.
        """
        numbers: dict[str, int] = {}
        found = []
        for place, name in enumerate(self.people):
            unit = f"\0{place // 2}" if name is None else name
            found.append(numbers.setdefault(unit, len(numbers)))
        number_N2 = np.array(found).reshape(-1, 2)
        return number_N2[:, 0], number_N2[:, 1], len(numbers)


def scores_of(
    unit_2ND: np.ndarray, pairs: Pairs, quality_2N: np.ndarray | None = None
) -> PairScores:
    """The scores of pairs from the unit vectors of their 2N images, and the folds of accuracy.

    An image whose vector is not finite was not acquired.
    """
    fold_N = None
    if not too_few_for_folds(pairs):
        fold_N = np.empty(len(pairs.same), np.int32)
        for number, rows in enumerate(folds_of(pairs.same, pairs.num_folds)[0]):
            fold_N[rows] = number
    acquired_2N = np.isfinite(unit_2ND).all(1)
    return PairScores(
        (unit_2ND[0::2] * unit_2ND[1::2]).sum(1).astype(np.float64),
        pairs.same,
        pairs.image_keys,
        pairs.image_people,
        acquired_2N,
        fold_N,
        None if quality_2N is None else quality_2N.astype(np.float64).reshape(-1, 2),
    )


def to_parquet(scores: PairScores) -> bytes:
    """All that is known of pairs, as Parquet of SCHEMA; it names images and people."""
    missing = [None] * len(scores.same_N)
    quality = scores.quality_N2
    columns = {
        "first_key": scores.keys[0::2],
        "second_key": scores.keys[1::2],
        "first_person": scores.people[0::2],
        "second_person": scores.people[1::2],
        "same": scores.same_N,
        "cosine": _or_null(scores.cosine_N),
        "fold": missing if scores.fold_N is None else scores.fold_N,
        "first_acquired": scores.acquired_2N[0::2],
        "second_acquired": scores.acquired_2N[1::2],
        "first_quality": missing if quality is None else quality[:, 0],
        "second_quality": missing if quality is None else quality[:, 1],
    }
    arrays = [pa.array(columns[field.name], field.type) for field in SCHEMA]
    return table_to_parquet(pa.Table.from_arrays(arrays, schema=SCHEMA))


def read_parquet(path: Path) -> PairScores:
    """The scores that `to_parquet` wrote; raises SourceError for any other file."""
    try:
        table = read_table(path.read_bytes())
    except (OSError, pa.ArrowException):
        raise SourceError(f"{path}: is no Parquet file; want scores of pairs") from None
    if table.schema.names != SCHEMA.names or table.schema.types != SCHEMA.types:
        raise SourceError(f"{path}: has other columns; want {', '.join(SCHEMA.names)}")
    column = {name: table[name].to_pylist() for name in SCHEMA.names}
    fold, quality = column["fold"], [column["first_quality"], column["second_quality"]]
    cosines = [np.nan if cosine is None else cosine for cosine in column["cosine"]]
    return PairScores(
        np.array(cosines, np.float64),
        np.array(column["same"], bool),
        _interleaved(column["first_key"], column["second_key"]),
        _interleaved(column["first_person"], column["second_person"]),
        _flat(column["first_acquired"], column["second_acquired"]),
        None if None in fold else np.array(fold, np.int32),
        None if None in quality[0] else np.array(quality, np.float64).T,
    )


def to_csv(scores: PairScores) -> bytes:
    """same,cosine,fold of each scored pair, by commas; nobody's name and no key."""
    folds = [""] * len(scores.same_N) if scores.fold_N is None else scores.fold_N
    rows = [
        f"{int(scores.same_N[row])},{_plain(scores.cosine_N[row])},{folds[row]}"
        for row in np.flatnonzero(scores.is_scored_N)
    ]
    return "\n".join(["same,cosine,fold", *rows, ""]).encode()


def to_pyeer(scores: PairScores) -> dict[str, bytes]:
    """Files of genuine and of impostor scores, one a line, as pyeer's geteerinf takes them.

    `geteerinf -p FOLDER -g genuine.txt -i impostor.txt -e NAME`: it splits a line at spaces and
    reads the last column.
    """
    kinds = {GENUINE: scores.same_N, IMPOSTOR: ~scores.same_N}
    return {
        name: "".join(f"{_plain(c)}\n" for c in scores.cosine_N[kind & scores.is_scored_N]).encode()
        for name, kind in kinds.items()
    }


def read_pyeer(path: str | Path, key: str = "scores") -> np.ndarray:
    """Scores of one kind from a file of pyeer's; raises SourceError, with the line, for others."""
    file = UserFile(key, str(path), "a score a line, in its last column")
    scores = []
    for number, line in file.lines():
        try:
            scores.append(float(line.split(" ")[-1]))
        except ValueError:
            raise file.refuse("has no number in its last column", number) from None
    return np.array(scores)


def _plain(cosine: float) -> str:
    """The shortest text that is read back as the same float64."""
    return repr(float(cosine))


def _or_null(values_N: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values_N]


def _flat(first: list[bool], second: list[bool]) -> np.ndarray:
    return np.array([first, second], bool).T.reshape(-1)


def _interleaved(first: list[str], second: list[str]) -> tuple[str, ...]:
    return tuple(name for pair in zip(first, second, strict=True) for name in pair)
