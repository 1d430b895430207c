"""Hats, caps, hoods and headscarves, shaped over the head that wears them."""

from __future__ import annotations

from functools import cache

import numpy as np

from factory.rendering.head.head import Head, HeadModel
from factory.rendering.parts import Label, Material, MeshPart
from factory.rendering.view import Wear
from factory.rendering.wear.fabrics import draw_pattern, fabric_colors
from factory.rendering.wear.hulls import TautHull, taut_hull
from factory.rendering.wear.sheets import Sheet, grid, joined

CROWNED = ("beanie", "cap", "brimmed", "headband")
WRAPPED = ("hood", "headscarf")
KINDS = (*CROWNED, *WRAPPED)
HAIR_CM = 0.55
"""Pressed hair between scalp and hat."""
_COLUMNS, _ROWS = 56, 13
_EARS_X = 7.9
"""Beyond it on the mean head is the ear, which hats other than wrapped ones leave outside."""


def hat_part(model: HeadModel, head: Head, wear: Wear) -> MeshPart:
    """The hat `wear.hat`, a name of KINDS, on a head."""
    kind = str(wear.hat)
    sheet = _wrapped(model, head, wear) if kind in WRAPPED else _crowned(model, head, wear)
    return MeshPart(
        f"hat_{kind}",
        Label.HAT,
        sheet.vertices_V3,
        sheet.faces_F3,
        Material("cloth", roughness=0.85, specular=0.15),
        normals_V3=sheet.normals_V3,
        colors_V3=sheet.colors_V3,
    )


def cranium_hull(model: HeadModel, head: Head) -> TautHull:
    """The taut body around skull and forehead, without ears."""
    return taut_hull(head.vertices_V3[_cranium(model)])


def wrap_hull(model: HeadModel, head: Head) -> TautHull:
    """The taut body around head, ears and neck."""
    return taut_hull(head.vertices_V3[_head_and_neck(model)])


def crown_center(head: Head) -> np.ndarray:
    """The middle of the skull [3], from which hats are measured."""
    top = head.landmarks_68x3[27]
    return np.array([top[0], top[1] + 2.0, top[2] - 9.7])


def wrap_center(head: Head) -> np.ndarray:
    """The middle of the head [3] from which hoods and headscarves are measured."""
    return np.array([0.0, head.landmarks_68x3[33, 1], head.landmarks_68x3[27, 2] - 9.7])


@cache
def _cranium(model: HeadModel) -> np.ndarray:
    vertices, _ = model.region("M_Face", "M_BackHead")
    x, y, z = model.mean_V3[vertices].T
    return np.asarray(vertices[(y > 3.5 - 0.35 * (4 - np.minimum(z, 4))) & (np.abs(x) < _EARS_X)])


@cache
def _head_and_neck(model: HeadModel) -> np.ndarray:
    vertices, _ = model.region("M_Face", "M_BackHead")
    x, y, _ = model.mean_V3[vertices].T
    return np.asarray(vertices[(y > -8) | ((y > -13) & (np.abs(x) < 6.5))])


def _crowned(model: HeadModel, head: Head, wear: Wear) -> Sheet:
    kind, rng = str(wear.hat), np.random.default_rng([wear.seed, 33])
    hull, center = cranium_hull(model, head), crown_center(head)
    azimuth = 2 * np.pi * np.arange(_COLUMNS) / _COLUMNS
    rim = _elevations(hull, center, azimuth, _rim_heights(head, kind, azimuth, rng))
    rise = np.linspace(0, 1, _ROWS)[:, None]
    top = (
        np.minimum(rim + np.radians(32), np.pi / 2)
        if kind == "headband"
        else np.full_like(rim, np.pi / 2)
    )
    points = _shell(
        hull, center, azimuth, rim + (top - rim) * rise, _thickness(kind, rise, azimuth)
    )
    inner = _shell(hull, center, azimuth, rim[None], np.full((1, _COLUMNS), 0.05))
    crown = _crown_colors(wear, points, rise)
    parts = [grid(np.concatenate([inner, points]), np.concatenate([crown[:1], crown]), True)]
    color = np.asarray(wear.hat_color)
    if kind == "cap":
        parts.append(_visor(points[0], azimuth, color * rng.choice([0.5, 1.0]), rng))
    if kind == "brimmed":
        parts.append(_brim(points[0], center, color, rng))
    return joined(*parts)


def _rim_heights(
    head: Head, kind: str, azimuth: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Heights [A] of a hat's rim: over the brows in front, lower at the back."""
    brow = head.landmarks_68x3[17:27, 1].max()
    front = brow + rng.uniform(*{"beanie": (1.2, 3.6), "cap": (1.6, 3.2)}.get(kind, (2.2, 4.0)))
    back = brow - {"beanie": 5.5, "cap": 2.5, "headband": 3.0}.get(kind, 2.0)
    if kind == "headband":
        front = brow + rng.uniform(2.4, 3.6)
    return np.asarray(back + (front - back) * ((1 + np.cos(azimuth)) / 2) ** 0.8)


def _elevations(
    hull: TautHull, center: np.ndarray, azimuth: np.ndarray, height: np.ndarray
) -> np.ndarray:
    """Angles [A] above the horizon at which the hull has given heights."""
    angle = np.zeros_like(azimuth)
    for _ in range(3):  # a fixed point: the hull's width changes slowly with height
        ways = _ways(azimuth, angle)
        width = hull.reach(np.tile(center, (len(ways), 1)), ways) * np.cos(angle)
        angle = np.arctan2(height - center[1], width)
    return angle


def _ways(azimuth: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """Unit vectors [..., 3]; azimuth 0 looks forward, pi / 2 to +x."""
    flat = np.cos(elevation)
    return np.stack(
        [flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth)], -1
    )  # fmt: skip


def _shell(
    hull: TautHull,
    center: np.ndarray,
    azimuth: np.ndarray,
    elevation_RA: np.ndarray,
    above_RA: np.ndarray,
) -> np.ndarray:
    """Points [R, A, 3] at some centimeters above the hull."""
    ways = _ways(np.broadcast_to(azimuth, elevation_RA.shape), elevation_RA)
    flat = ways.reshape(-1, 3)
    reach = hull.reach(np.tile(center, (len(flat), 1)), flat).reshape(elevation_RA.shape)
    return np.asarray(center + ways * (reach + above_RA)[..., None])


def _thickness(kind: str, rise: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Centimeters [R, A] between scalp and hat, hair included."""
    front = np.maximum(np.cos(azimuth), 0)
    flat = np.ones_like(azimuth)
    above: dict[str, np.ndarray] = {
        "beanie": (HAIR_CM + 0.45 * (rise < 0.3) + 1.6 * rise**3) * flat,
        "cap": HAIR_CM + 0.2 + 1.3 * np.sin(np.pi * np.minimum(rise * 1.4, 1)) * front**2,
        "brimmed": (HAIR_CM + 0.2 + 3.2 * np.minimum(rise * 2, 1) * (rise < 0.95)) * flat,
        "headband": (0.3 + 0.25 * np.sin(np.pi * rise)) * flat,
    }
    return above[kind]


def _crown_colors(wear: Wear, points_RA3: np.ndarray, rise: np.ndarray) -> np.ndarray:
    along = rise * 14.0
    across = np.linspace(0, 56.0, _COLUMNS, endpoint=False)[None]
    color = np.asarray(wear.hat_color)
    pattern = "knit" if wear.hat == "beanie" else draw_pattern(wear.seed, plain=0.8)
    colors = fabric_colors(along, across, color, pattern, wear.seed)
    if wear.hat == "brimmed":
        colors[1:3] = colors[1:3] * 0.25  # the ribbon around the crown
    return colors


def _visor(
    rim_A3: np.ndarray, azimuth: np.ndarray, color: np.ndarray, rng: np.random.Generator
) -> Sheet:
    """The visor of a cap, curved down toward its sides."""
    half = len(azimuth) * 10 // 56
    arc = np.arange(-half, half + 1)
    length = rng.uniform(5.5, 7.0) * np.cos(np.pi / 2 * arc / (half + 0.6)) ** 0.5
    out = np.linspace(0, 1, 6)[:, None, None]
    slope = rng.uniform(0.2, 0.5)
    way = np.array([0, -slope, 1])
    points = rim_A3[arc] + out * length[None, :, None] * way
    points[..., 1] -= 0.018 * points[..., 0] ** 2 * out[..., 0]
    return grid(points, color, closed=False)


def _brim(
    rim_A3: np.ndarray, center: np.ndarray, color: np.ndarray, rng: np.random.Generator
) -> Sheet:
    """A brim around the crown, turned a little up or down."""
    outward = (rim_A3 - center) * [1, 0, 1]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    width, slope = rng.uniform(4, 7), rng.uniform(-0.35, 0.1)
    out = np.linspace(0, 1, 6)[:, None, None]
    wave = 0.12 * np.abs(outward[:, :1])
    points = rim_A3 + out * width * (outward + (slope + wave) * np.array([0, 1, 0]))
    return grid(points, color, closed=True)


def hat_edge(model: HeadModel, head: Head, wear: Wear) -> tuple[np.ndarray, np.ndarray]:
    """Where a hat begins around the head: angles [A], ascending from -pi, and limits [A].

    Of crowned hats the angles are azimuths and the limits elevations, above which the hat is; of
    wrapped ones they turn about the line of sight from above, and beyond the limits, polar angles
    from the nose, is the cloth.
    """
    azimuth = 2 * np.pi * np.arange(_COLUMNS) / _COLUMNS
    if wear.hat in WRAPPED:
        edge = _opening(wrap_hull(model, head), head, azimuth, wear.hat == "hood")
        edge = edge - wrap_center(head)
        angle = np.arctan2(edge[:, 0], edge[:, 1])
        limit = np.arctan2(np.hypot(edge[:, 0], edge[:, 1]), edge[:, 2])
    else:
        rng = np.random.default_rng([wear.seed, 33])
        heights = _rim_heights(head, str(wear.hat), azimuth, rng)
        angle = np.arctan2(np.sin(azimuth), np.cos(azimuth))
        limit = _elevations(cranium_hull(model, head), crown_center(head), azimuth, heights)
    order = np.argsort(angle)
    return angle[order], limit[order]


def _wrapped(model: HeadModel, head: Head, wear: Wear) -> Sheet:
    """A hood or headscarf: rings from an opening around the face to the back of the head."""
    loose = wear.hat == "hood"
    hull, center = wrap_hull(model, head), wrap_center(head)
    turn = 2 * np.pi * np.arange(_COLUMNS) / _COLUMNS
    edge = _opening(hull, head, turn, loose) - center
    polar = np.arctan2(np.hypot(edge[:, 0], edge[:, 1]), edge[:, 2])
    around = np.arctan2(edge[:, 0], edge[:, 1])
    back = np.linspace(0, 1, 16)[:, None]
    angle = polar + (np.pi - polar) * back
    ways = np.stack([np.sin(angle) * np.sin(around), np.sin(angle) * np.cos(around),
                     np.cos(angle)], -1)  # fmt: skip
    flat = ways.reshape(-1, 3)
    reach = hull.reach(np.tile(center, (len(flat), 1)), flat).reshape(angle.shape)
    folds = 0.12 * np.sin(9 * around + 5 * back) * back**0.5
    above = (1.6 if loose else 0.35) + folds + (0.8 if loose else 0.3) * np.sin(np.pi * back)
    points = center + ways * (reach + above)[..., None]
    inner = center + ways[:1] * (reach[:1] + 0.02)[..., None]
    colors = fabric_colors(back * 25, around * 9, np.asarray(wear.hat_color),
                           draw_pattern(wear.seed, 0.85), wear.seed)  # fmt: skip
    return grid(np.concatenate([inner, points]), np.concatenate([colors[:1], colors]), True)


def _opening(hull: TautHull, head: Head, turn: np.ndarray, loose: bool) -> np.ndarray:
    """The edge [A, 3] around the face, on the hull; turn 0 is above the forehead."""
    points = head.landmarks_68x3
    top = points[17:27, 1].max() + (4.0 if loose else 2.2)
    bottom = points[8, 1] - (2.5 if loose else 0.4)
    half = np.abs(points[[1, 15], 0]).mean() - (0.0 if loose else 0.7)
    middle, tall = (top + bottom) / 2, (top - bottom) / 2
    x, y = half * np.sin(turn), middle + tall * np.cos(turn)
    x = x * (1 - 0.12 * np.clip((middle - y) / tall, 0, 1))  # narrower at the chin
    return np.stack([x, y, hull.front(x, y)], 1)
