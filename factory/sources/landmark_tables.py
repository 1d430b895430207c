"""Tables of five points, or of more from which five are made, and whether these can be faces.

Points are judged by the similarity that takes them closest to the ArcFace template (Umeyama 1991):
in the plane it is a product of complex numbers, w = a z + b. What is left over tells other orders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from factory.sources.alignment import TEMPLATE_52
from factory.tables import Table, UserFile, is_number, named_as

FIVE_OF = {
    5: ([0], [1], [2], [3], [4]),
    68: ([*range(36, 42)], [*range(42, 48)], [30], [48], [54]),
    468: ([33, 133], [362, 263], [1], [61], [291]),
    478: ([33, 133], [362, 263], [1], [61], [291]),
}
"""Which points of a layout make the five, as means: iBUG's 68, the meshes of MediaPipe."""
LAYOUTS = {5: 20, 68: 146, 468: 966}
"""Most numbers in a row of a layout: ten extra ones, and ten more points of a mesh with irises."""
MAX_RESIDUAL = 0.2
"""Part of the variance that a similarity may leave unexplained, as of a head turned by 60 degrees.
The template with x before y, read as pairs, leaves .23 or more and is turned by over 31 degrees."""
MAX_ROLL_DEG = 30.0
MIN_FACE_PX = 8.0
"""Side of the ArcFace crop that the points ask for; one of fewer pixels is none."""
FRACTIONS = (-0.5, 1.5)
"""A table with no coordinate outside is one of fractions of the image's width and height."""
TOLD = 0.01
"""Part of the rows that are told of where they are no upright face's."""
ROWS = 4096
"""Rows that are made points at once."""


@dataclass(frozen=True)
class Fit:
    """The similarities of many faces' points to the template."""

    residual_N: np.ndarray
    """1 - |<z, w>|^2 / (|z|^2 |w|^2) of centered points z and template w: 0 fits, 1 not at all."""
    roll_deg_N: np.ndarray
    """How far a face is turned in the image, clockwise, degrees in (-180, 180]."""
    side_px_N: np.ndarray
    """Side of the square around the face that becomes the aligned image."""


def fit(points_N52: np.ndarray) -> Fit:
    """How well points fit the template; residual 1 where all five coincide."""
    z_N5 = points_N52[..., 0] + 1j * points_N52[..., 1]
    z_N5 = z_N5 - z_N5.mean(1, keepdims=True)
    w_5 = TEMPLATE_52[:, 0] + 1j * TEMPLATE_52[:, 1]
    w_5 = w_5 - w_5.mean()
    product_N = z_N5 @ w_5.conj()
    squared_N, squared = (np.abs(z_N5) ** 2).sum(1), (np.abs(w_5) ** 2).sum()
    bound_N = squared_N * squared
    explained_N = np.abs(product_N) ** 2 / np.where(bound_N == 0, 1, bound_N)
    side_px_N = 112 * np.sqrt(squared_N / squared)
    return Fit(1 - explained_N, np.degrees(np.angle(product_N)), side_px_N)


def plausible(points_N52: np.ndarray, min_side: float) -> np.ndarray:
    """Which points can be those of a face, bool [N]."""
    found = fit(points_N52)
    upright_N = np.abs(found.roll_deg_N) <= MAX_ROLL_DEG
    fits_N = found.residual_N <= MAX_RESIDUAL
    return np.asarray(fits_N & upright_N & (found.side_px_N >= min_side))


class LandmarkTable:
    """Five points by the name of an image's file."""

    def __init__(
        self, row_of: dict[str, int], points_N52: np.ndarray, remarks: Sequence[str]
    ) -> None:
        self._row_of, self._points_N52 = row_of, points_N52
        self.has_fractions = _are_fractions(points_N52)
        self.remarks = tuple(remarks)

    def __len__(self) -> int:
        return len(self._row_of)

    def points(self, names: Sequence[str], width: int, height: int) -> np.ndarray | None:
        """Points [5, 2] in pixels of an image of this size, by any of its names, or None."""
        rows = (self._row_of.get(named_as(name)) for name in names)
        row = next((row for row in rows if row is not None), None)
        if row is None:
            return None
        return np.asarray(self._points_N52[row] * ((width, height) if self.has_fractions else 1))


def read_landmarks(path: str) -> LandmarkTable:
    """The points in a CSV of `file, x1, y1, x2, y2, ...` after one header line.

    Rows have 5 points, 68 (iBUG), 468 or 478 (MediaPipe's meshes). Columns are known by a header of
    x1, y1, .. or left_eye_x, left_eye_y, .. in whatever order; otherwise points come in pairs, or,
    where only so they can be faces, all x before all y. Left and right are exchanged where only so
    they can be faces. Of several rows of a file, that of the largest face stays. Each of these is
    told in a remark. Raises SourceError for a table most of which can be no faces.
    """
    remarks: list[str] = []
    file = UserFile("source.landmarks", path, "a CSV of file,x1,y1,x2,y2,.. with a face a row")
    table = Table(file, remarks)
    if len(table.columns) > 1 and is_number(table.columns[1]):
        raise file.refuse("is no header", 1)
    pairs = _named_pairs(table.columns)
    names, orders = _read(file, table, pairs)
    first = next(iter(orders.values()))
    if not len(first):
        return LandmarkTable({}, first, remarks)
    points_N52, said = _chosen(file, orders, is_named=pairs is not None)
    remarks += [f"source.landmarks: {line}" for line in said]
    row_of = _largest(names, points_N52)
    if len(row_of) < len(names):
        remarks.append(
            f"source.landmarks: {len(names) - len(row_of)} rows are further faces of a file; the "
            "largest of each counts"
        )
    return LandmarkTable(row_of, points_N52, remarks)


def _read(
    file: UserFile, table: Table, pairs: list[int] | None
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of the files, and the five points of each in the orders that they may have."""
    numbers = len(table.columns) - 1
    count = next((n for n, most in LAYOUTS.items() if 2 * n <= numbers <= most), None)
    if pairs:
        count = len(pairs) // 2
    columns = pairs or list(range(1, 1 + 2 * (count or 0)))
    names: list[str] = []
    paired, apart = [np.empty((0, 5, 2))], [np.empty((0, 5, 2))]
    part: list[list[float]] = []

    def flush() -> None:
        values_NP2 = np.array(part, np.float64).reshape(len(part), -1, 2)
        paired.append(_five(values_NP2))
        apart.append(_five(values_NP2.reshape(len(part), 2, -1).transpose(0, 2, 1)))
        part.clear()

    for line, cells in table.rows():
        if count is None:
            raise file.refuse(
                f"has {numbers} numbers, which are not x and y of 5, 68, 468 or 478 points", line
            )
        part.append([_number(file, table, line, cells, column) for column in columns])
        names.append(named_as(cells[0]))
        if len(part) == ROWS:
            flush()
    if part:
        flush()
    orders = {"x1,y1,x2,y2,..": paired} | ({} if pairs else {"x1,x2,..,y1,y2,..": apart})
    return names, {order: np.concatenate(parts) for order, parts in orders.items()}


def _five(points_NP2: np.ndarray) -> np.ndarray:
    groups = FIVE_OF[points_NP2.shape[1]]
    return np.stack([points_NP2[:, group].mean(1) for group in groups], 1)


def _number(file: UserFile, table: Table, line: int, cells: list[str], column: int) -> float:
    text = cells[column].replace(",", ".") if table.has_comma_decimals else cells[column]
    try:
        return float(text)
    except ValueError:
        raise file.refuse(f"column {column + 1} is no number", line) from None


def _named_pairs(columns: Sequence[str]) -> list[int] | None:
    """Columns of x and y of each point, in turn, by their names; None where these do not say."""
    places: dict[str, dict[str, int]] = {}
    for place, name in enumerate(columns[1:], start=1):
        found = re.fullmatch(r"([xy])[ _]?(\d+)|(.+?)[ _]?([xy])", name.lower())
        if found:
            point, axis = found[2] or found[3], found[1] or found[4]
            places.setdefault(point.strip(" _."), {})[axis] = place
    whole = [point for point, pair in places.items() if len(pair) == 2]
    numbered = sorted((point for point in whole if point.isdigit()), key=int)
    points = numbered or whole
    if len(points) not in FIVE_OF:
        return None
    return [places[point][axis] for point in points for axis in "xy"]


def _chosen(
    file: UserFile, orders: dict[str, np.ndarray], is_named: bool
) -> tuple[np.ndarray, list[str]]:
    """The points in the order in which most are faces, and what is to be said of it."""
    usual = next(iter(orders.values()))
    said = ["points are fractions of the width and height"] if _are_fractions(usual) else []
    for order, points_N52 in orders.items():
        for exchanged, points in ((False, points_N52), (True, _exchanged(points_N52))):
            wrong = _share_implausible(points)
            if wrong <= 0.5:
                if points_N52 is not usual:
                    said.append(f"points are in the order {order}, in which they are faces")
                if exchanged:
                    said.append("left and right are exchanged, as points name the person's sides")
                if wrong >= TOLD:
                    said.append(f"{wrong:.1%} of the rows are no upright face's, or a profile's")
                return points, said
    raise file.refuse(
        f"has points of which {_share_implausible(usual):.0%} can be no faces: they look like "
        f"{_looks_like(usual, is_named)}"
    )


def _share_implausible(points_N52: np.ndarray) -> float:
    finite = points_N52[np.isfinite(points_N52).all((1, 2))]
    if not len(finite):
        return 0.0
    return float(1 - plausible(finite, 0 if _are_fractions(finite) else MIN_FACE_PX).mean())


READINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "y before x": lambda points: points[..., ::-1],
    "images turned by 90 degrees": lambda points: np.stack([points[..., 1], -points[..., 0]], -1),
    "images turned by 270 degrees": lambda points: np.stack([-points[..., 1], points[..., 0]], -1),
    "images upside down": lambda points: -points,
    "coordinates in other units than pixels": lambda points: points * 1000,
}
"""What a table of no faces may be, and how its points would be read then."""


def _looks_like(points_N52: np.ndarray, is_named: bool) -> str:
    """What a table of no faces may be, in words."""
    if is_named:  # columns may be named x1,y1,x2,.. and hold x1,x2,..
        apart = points_N52.reshape(-1, 2, 5).transpose(0, 2, 1)
        if min(map(_share_implausible, (apart, _exchanged(apart)))) <= 0.5:
            return "x1,x2,..,y1,y2,.. order"
    for points in (points_N52, _exchanged(points_N52)):
        for words, read in READINGS.items():
            if _share_implausible(read(points)) <= 0.5:
                return words
    return "another layout than left eye, right eye, nose, left and right corner of the mouth"


def _exchanged(points_N52: np.ndarray) -> np.ndarray:
    """Points whose left and right have changed places, where they are."""
    return points_N52[:, [1, 0, 2, 4, 3]]


def _are_fractions(points_N52: np.ndarray) -> bool:
    finite = points_N52[np.isfinite(points_N52)]
    return bool(len(finite)) and FRACTIONS[0] <= finite.min() and finite.max() <= FRACTIONS[1]


def _largest(names: Sequence[str], points_N52: np.ndarray) -> dict[str, int]:
    """The row of every name, of several that of the largest face."""
    side_N = np.nan_to_num(fit(points_N52).side_px_N)
    row_of: dict[str, int] = {}
    for row, name in enumerate(names):
        if name not in row_of or side_N[row] > side_N[row_of[name]]:
            row_of[name] = row
    return row_of
