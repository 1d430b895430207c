"""Masks and scarves over the lower face, shaped on the face that they cover."""

from __future__ import annotations

from functools import cache

import numpy as np

from factory.rendering.head.head import Head, HeadModel
from factory.rendering.parts import Label, Material, MeshPart
from factory.rendering.view import Wear
from factory.rendering.wear.fabrics import draw_pattern, fabric_colors
from factory.rendering.wear.hulls import taut_hull
from factory.rendering.wear.sheets import Sheet, grid, joined, tube

MASKS = ("surgical", "ffp", "cloth")
MASK_COLORS = {
    "surgical": ((0.42, 0.62, 0.75), (0.80, 0.80, 0.80), (0.03, 0.03, 0.035), (0.45, 0.66, 0.58)),
    "ffp": ((0.82, 0.82, 0.80), (0.82, 0.82, 0.80), (0.04, 0.04, 0.045)),
    "cloth": ((0.03, 0.03, 0.035), (0.08, 0.10, 0.22), (0.35, 0.05, 0.06), (0.5, 0.48, 0.44)),
}
_SIDE = np.radians(76)
"""Azimuth of a mask's side edges: before the ears."""
_ROWS, _COLUMNS = 19, 33


def mask_parts(model: HeadModel, head: Head, wear: Wear) -> list[MeshPart]:
    """The mask `wear.mask`, a name of MASKS, with its ear loops."""
    kind, rng = str(wear.mask), np.random.default_rng([wear.seed, 34])
    palette = np.array(MASK_COLORS[kind])
    color = palette[rng.integers(len(palette))]
    points = mask_points(model, head, kind, slipped=rng.uniform(0, 0.5))
    down = np.linspace(0, 9, _ROWS)[:, None]
    across = np.linspace(0, 20, _COLUMNS)[None]
    pattern = draw_pattern(wear.seed, 0.5) if kind == "cloth" else "plain"
    colors = fabric_colors(down, across, color, pattern, wear.seed)
    sheet = joined(grid(points, colors, closed=False), *_ear_loops(head, points, color))
    return [_cloth(f"mask_{kind}", sheet)]


def scarf_part(model: HeadModel, head: Head, wear: Wear) -> MeshPart:
    """The scarf `wear.scarf`: around the neck, or drawn up over the chin."""
    rng = np.random.default_rng([wear.seed, 35])
    lips, chin = head.landmarks_68x3[57, 1], head.landmarks_68x3[8, 1]
    over_chin = wear.scarf == "chin"
    top = (
        rng.uniform(lips, head.landmarks_68x3[33, 1])
        if over_chin
        else chin + rng.uniform(-0.8, 0.6)
    )
    hull = taut_hull(head.vertices_V3[_throat(model, over_chin)])
    columns, rows = 48, 17
    turn = 2 * np.pi * np.arange(columns) / columns
    down = np.linspace(0, 1, rows)[:, None]
    back_up = 1.5 * (1 - np.cos(turn)) / 2
    y = top + back_up + (chin - 5.5 - top - back_up) * down
    loose = 0.3 if over_chin else 0.9
    folds = 0.4 * np.sin(2 * np.pi * 2.5 * down + 0.8 * np.sin(turn) + rng.uniform(0, 6))
    above = (
        loose + 1.1 * np.sin(np.pi * np.minimum(down * 1.5, 1)) * down**0.5 + folds * np.sqrt(down)
    )
    points = hull.around(turn, y, np.maximum(above, 0.12))
    inner = hull.around(turn, y[:1] - 0.1, np.full((1, columns), 0.03))
    color = np.asarray(wear.clothes_color)[::-1] * rng.uniform(0.5, 1.6)
    colors = fabric_colors(down * 10, turn * 9, np.clip(color, 0.02, 0.85),
                           draw_pattern(wear.seed + 1, 0.4), wear.seed + 1)  # fmt: skip
    return _cloth("scarf", grid(np.concatenate([inner, points]),
                                np.concatenate([colors[:1], colors]), True))  # fmt: skip


def mask_points(model: HeadModel, head: Head, kind: str, slipped: float = 0.0) -> np.ndarray:
    """A mask's points [rows, columns, 3], from the nose's bridge to under the chin.

    `slipped` is how many centimeters it hangs too low.
    """
    hull = taut_hull(head.vertices_V3[_lower_face(model)])
    side = np.linspace(-1, 1, _COLUMNS)
    down = np.linspace(0, 1, _ROWS)[:, None]
    top, bottom = _edges(head, side)
    y = top - slipped + (bottom - top + slipped) * down
    return hull.around(side * _SIDE, y, _standoff(kind, side, down))


def _edges(head: Head, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights of a mask's upper and lower edge at places from -1 (subject's right) to 1."""
    points, away = head.landmarks_68x3, np.abs(side)
    bridge = points[28, 1] * 0.6 + points[29, 1] * 0.4
    lid = points[[40, 41, 46, 47], 1].min() - 1.3
    top = np.interp(
        away, [0, 0.12, 0.4, 1], [bridge, bridge - 0.2, min(lid, bridge - 0.4), lid - 0.6]
    )
    chin, jaw = points[8, 1], points[[4, 12], 1].mean()
    bottom = np.interp(away, [0, 0.3, 0.7, 1], [chin - 0.5, chin - 0.4, jaw - 1.2, jaw + 0.8])
    return top, bottom


def _standoff(kind: str, side: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Centimeters [rows, columns] between face and mask."""
    middle = (1 - side**2) * np.sin(np.pi * np.clip(down, 0, 1))
    pleats = 0.16 * np.mod(down * 4, 1) * (np.abs(side) < 0.85) * ((down > 0.15) & (down < 0.9))
    ridge = 0.5 * np.exp(-((side / 0.12) ** 2)) * np.sin(np.pi * down)
    above: dict[str, np.ndarray] = {
        "surgical": 0.12 + 0.35 * middle + pleats,
        "ffp": 0.15 + 0.8 * middle + ridge,
        "cloth": 0.12 + 0.25 * middle + 0.5 * ridge,
    }
    return above[kind]


def _ear_loops(head: Head, points_RC3: np.ndarray, color: np.ndarray) -> list[Sheet]:
    loops = []
    for column, ear in ((0, 0), (-1, 16)):
        back = head.landmarks_68x3[ear] * [1.2, 1, 1] + [0, -0.5, -4.5]
        for row, lift in ((1, 1.2), (-2, -1.0)):
            corner = points_RC3[row, column]
            middle = (corner + back) / 2 + [0.25 * np.sign(back[0]), 0.3 * lift, 0]
            path = np.stack([corner, middle, back + np.array([0, lift, 0])])
            loops.append(tube(path, np.full(3, 0.1), np.clip(color * 1.1, 0, 0.85), 4))
    return loops


@cache
def _lower_face(model: HeadModel) -> np.ndarray:
    vertices, _ = model.region("M_Face", "M_BackHead")
    x, y, z = model.mean_V3[vertices].T
    return np.asarray(vertices[(y < 2.2) & (y > -9.5) & (z > 2.0) & (np.abs(x) < 7.5)])


@cache
def _throat(model: HeadModel, over_chin: bool) -> np.ndarray:
    vertices, _ = model.region("M_Face", "M_BackHead")
    x, y, _ = model.mean_V3[vertices].T
    top = -1.0 if over_chin else -7.0
    return np.asarray(vertices[(y < top) & (y > -12.5) & (np.abs(x) < (7.5 if over_chin else 6.0))])


def _cloth(name: str, sheet: Sheet) -> MeshPart:
    return MeshPart(
        name,
        Label.OCCLUDER,
        sheet.vertices_V3,
        sheet.faces_F3,
        Material("cloth", roughness=0.8, specular=0.2),
        normals_V3=sheet.normals_V3,
        colors_V3=sheet.colors_V3,
    )
