"""Shoulders and what is worn on them.

Garments are rings from the neckline over the shoulders down to the chest. They hang on a body that
turns half as far as the head: rings at the neck follow the head, those below follow the body.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from factory.rendering.head.head import Head, HeadModel
from factory.rendering.parts import Label, Material, MeshPart, Part
from factory.rendering.scene.frame import rotation_of
from factory.rendering.skin.skin_tone import skin_tone
from factory.rendering.traits import Person
from factory.rendering.view import Pose, View
from factory.rendering.wear.fabrics import draw_pattern, fabric_colors
from factory.rendering.wear.hulls import TautHull, taut_hull
from factory.rendering.wear.sheets import Sheet, grid, joined, tube

KINDS = (
    "crew_neck", "v_neck", "shirt_collar", "polo", "turtleneck", "hoodie", "blazer", "blouse",
    "tank",
)  # fmt: skip
_COLUMNS, _ROWS = 56, 22
_TURN = 2 * np.pi * np.arange(_COLUMNS) / _COLUMNS
_AXIS_Z = -1.5
"""Of the neck, on the mean head."""
_OPENING = {"v_neck": 0.5, "blouse": 0.42, "tank": 0.55, "blazer": 0.0}
"""Share of the way from neck to shoulder that is free in front."""


def clothes_parts(model: HeadModel, head: Head, person: Person, view: View) -> list[Part]:
    """Shoulders, neck opening and collar; the body turns half as far as the head."""
    wear, rng = view.wear, np.random.default_rng([view.wear.seed, 36])
    body = _Body(model, head, person, lift=float(rng.uniform(0.5, 4.5)))
    garment = _colored(body.rings(_start(wear.clothes)), view, rng)
    color = np.asarray(wear.clothes_color)
    sheets = [garment, *_COLLARS.get(wear.clothes, _rib)(body, color, rng)]
    parts: list[Part] = [_part("clothes", Label.CLOTHES, joined(*sheets), view.pose, body)]
    if wear.clothes == "tank":
        bare = grid(body.rings(np.zeros(_COLUMNS), above=-0.25), skin_tone(person), True)
        parts.append(_part("shoulders", Label.SKIN, bare, view.pose, body))
    return parts


def body_turn(pose: Pose) -> np.ndarray:
    """The turn [3, 3] from the space of the head to that of the body, half as far in the world."""
    half = Pose(pose.yaw / 2, pose.pitch / 2, pose.roll / 2)
    return np.asarray(rotation_of(pose).T @ rotation_of(half))


class _Body:
    """Neck and shoulders of a person, in the space of the head before the body turns."""

    def __init__(self, model: HeadModel, head: Head, person: Person, lift: float) -> None:
        self.lift = lift
        """Centimeters that the shoulders are raised, or that the head is held low and forward."""
        self.breadth = 17.0 + 3.5 * person.presentation
        self.chin = head.landmarks_68x3[8]
        self.neck: TautHull = taut_hull(head.vertices_V3[_neck(model)])

    def neck_ring(self, raised: float, above: float = 0.25) -> np.ndarray:
        """Points [A, 3] around the neck, `raised` centimeters over the line of a crew neck."""
        front = (1 + np.cos(_TURN)) / 2
        y = self.chin[1] - 2.0 - 3.6 * front**1.5 + 0.7 * self.lift * (1 - front) + raised
        points = self.neck.around(_TURN, y[None], np.full((1, _COLUMNS), above), _AXIS_Z)
        return np.asarray(points[0])

    def rings(self, start_A: np.ndarray, above: float = 0.0) -> np.ndarray:
        """Points [R, A, 3] from the share `start` of the way from neck to shoulder to the chest."""
        neck = self.neck_ring(0.0, 0.25)
        side, front = np.abs(np.sin(_TURN)), np.cos(_TURN)
        y = self.chin[1] - 8.5 + self.lift - np.where(front > 0, 4.5, 1.0) * front
        x = self.breadth * np.sign(np.sin(_TURN)) * side**0.75
        z = _AXIS_Z + 10.5 * np.sign(front) * np.abs(front) ** 0.8
        shoulder = np.stack([x, y, z], 1)
        way = start_A + (1 - start_A) * np.linspace(0, 1, _ROWS - 6)[:, None]
        bulge = 1.3 * np.sin(np.pi * way)[..., None] * np.array([0, 1, 0])
        over = neck + (shoulder - neck) * way[..., None] ** 0.9 + bulge
        down = np.linspace(0, 1, 7)[1:, None, None]
        below = shoulder + down * (shoulder * [0.06, 0, 0.06] + [0, -18.0, 0])
        points = np.concatenate([over, below])
        return np.asarray(points + above * np.array([0, 1, 0.6]))


def _start(kind: str) -> np.ndarray:
    """Where the rings of a garment begin [A]: 0 at the neck, 1 at the shoulder."""
    front = np.maximum(1 - np.abs(np.angle(np.exp(1j * _TURN))) / np.radians(52), 0)
    free = _OPENING.get(kind, 0.0)
    if kind == "tank":
        return np.full(_COLUMNS, free)
    return np.asarray(0.04 + free * front**0.7 + (0.12 if kind == "blouse" else 0.0))


def _colored(points_RA3: np.ndarray, view: View, rng: np.random.Generator) -> Sheet:
    wear = view.wear
    steps = np.linalg.norm(np.diff(points_RA3, axis=0), axis=-1).mean(1)
    along = np.concatenate([[0], np.cumsum(steps)])[:, None]
    across = np.linspace(0, 90, _COLUMNS, endpoint=False)[None]
    plain = {"blazer": 0.9, "turtleneck": 0.7, "tank": 0.9}.get(wear.clothes, 0.6)
    pattern = draw_pattern(wear.seed + 2, plain)
    colors = fabric_colors(along, across, np.asarray(wear.clothes_color), pattern, wear.seed + 2)
    if wear.clothes == "blazer":
        from_middle = np.abs(points_RA3[..., 0])
        shirt = (points_RA3[..., 2] > 0) & (from_middle < 5.5 - 0.25 * along)
        tie = shirt & (from_middle < 1.4) & bool(rng.random() < 0.6)
        colors[shirt] = rng.choice([(0.75, 0.76, 0.78), (0.45, 0.55, 0.7), (0.05, 0.05, 0.06)])
        colors[tie] = rng.random(3) ** 2 * 0.4
    return grid(points_RA3, colors, closed=True)


def _rib(body: _Body, color: np.ndarray, rng: np.random.Generator) -> list[Sheet]:
    """The knitted edge of a T-shirt or pullover."""
    ring = body.neck_ring(0.0, 0.3)
    return [_roll(ring, np.full(_COLUMNS, 0.45), color * 0.9)]


def _nothing(body: _Body, color: np.ndarray, rng: np.random.Generator) -> list[Sheet]:
    return []


def _straps(body: _Body, color: np.ndarray, rng: np.random.Generator) -> list[Sheet]:
    """The straps of a tank top, two over each shoulder's slope."""
    rows = body.rings(np.zeros(_COLUMNS))
    straps = []
    for column in (6, -6, 22, -22):
        straps.append(tube(rows[4:14, column] + [0, 0.1, 0], np.full(10, 0.8), color))
    return straps


def _turtleneck(body: _Body, color: np.ndarray, rng: np.random.Generator) -> list[Sheet]:
    """A tube around the neck, folded over."""
    top = float(rng.uniform(2.4, 4.0))
    raised = (-1.0, 0.2, 0.6, top - 0.5, top, top - 0.3)
    above = (0.9, 0.6, 0.95, 0.9, 0.65, 0.2)
    rows = [body.neck_ring(*row) for row in zip(raised, above, strict=True)]
    return [grid(np.stack(rows), color * np.linspace(0.9, 1.1, _COLUMNS)[:, None], True)]


def _hood_down(body: _Body, color: np.ndarray, rng: np.random.Generator) -> list[Sheet]:
    """A hood that lies around the neck and on the back."""
    back = (1 - np.cos(_TURN)) / 2
    ring = body.neck_ring(0.8, 1.0)
    ring += np.stack([np.zeros(_COLUMNS), 0.8 * back, -1.5 * back], 1)
    return [_roll(ring, 0.9 + 1.5 * back**0.7, color)]


def _shirt_collar(body: _Body, color: np.ndarray, rng: np.random.Generator) -> list[Sheet]:
    """A stand around the neck and two leaves folded over it, open in front."""
    return [_leaves(body, color, stand=float(rng.uniform(2.2, 3.4)), fall=3.6)]


def _polo_collar(body: _Body, color: np.ndarray, rng: np.random.Generator) -> list[Sheet]:
    return [_leaves(body, color, stand=float(rng.uniform(1.2, 2.2)), fall=2.8)]


def _blazer_collar(body: _Body, color: np.ndarray, rng: np.random.Generator) -> list[Sheet]:
    """A shirt's collar within a jacket's."""
    white = rng.choice([(0.75, 0.76, 0.78), (0.45, 0.55, 0.7)])
    shirt = _leaves(body, white, stand=float(rng.uniform(2.4, 3.4)), fall=3.2)
    return [shirt, _leaves(body, color, stand=0.9, fall=4.2, gap=0.45, above=0.6)]


_COLLARS = {
    "turtleneck": _turtleneck,
    "hoodie": _hood_down,
    "shirt_collar": _shirt_collar,
    "polo": _polo_collar,
    "blazer": _blazer_collar,
    "v_neck": _nothing,
    "blouse": _nothing,
    "tank": _straps,
}


def _leaves(
    body: _Body, color: np.ndarray, stand: float, fall: float, gap: float = 0.12, above: float = 0.3
) -> Sheet:
    """A collar folded over its stand, open by `gap` radians in front, its points hanging down."""
    inner = body.neck_ring(0.0, above)
    top = body.neck_ring(stand, above + 0.15)
    outward = (top - [0, 0, _AXIS_Z]) * [1, 0, 1]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    front = np.maximum(np.cos(_TURN), 0)[:, None] ** 2
    fold = top + 0.35 * outward + [0, -0.2, 0]
    edge = top + outward * (0.9 + 1.2 * front) - np.array([0, 1, 0]) * (fall * (0.75 + 0.5 * front))
    order = np.argsort(np.mod(_TURN - gap, 2 * np.pi))[: _COLUMNS - max(1, int(2 * gap / 0.112))]
    points = np.stack([inner, top, fold, (fold + edge) / 2 + 0.15 * outward, edge])[:, order]
    return grid(points, np.asarray(color) * np.linspace(0.85, 1.05, 5)[:, None, None], closed=False)


def _roll(ring_A3: np.ndarray, radius_A: np.ndarray, color: np.ndarray) -> Sheet:
    """A closed roll of cloth along a ring around the neck."""
    outward = (ring_A3 - ring_A3.mean(0)) * [1, 0, 1]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    turn = np.linspace(0, 2 * np.pi, 8)[:, None, None]
    around = outward * np.cos(turn) + np.array([0, 1, 0]) * np.sin(turn)
    return grid(ring_A3 + radius_A[:, None] * around, np.asarray(color), closed=True)


def _part(name: str, label: Label, sheet: Sheet, pose: Pose, body: _Body) -> MeshPart:
    vertices = _turned(sheet.vertices_V3, pose, body.chin[1] - 2.0)
    cloth = label == Label.CLOTHES
    material = Material("cloth" if cloth else "skin", roughness=0.8 if cloth else 0.45,
                        specular=0.2 if cloth else 0.45)  # fmt: skip
    turned = Sheet(vertices, sheet.faces_F3, sheet.colors_V3)
    return MeshPart(name, label, vertices, sheet.faces_F3, material,
                    normals_V3=turned.normals_V3,
                    colors_V3=np.clip(sheet.colors_V3, 0, 0.9))  # fmt: skip


def _turned(points_V3: np.ndarray, pose: Pose, top: float) -> np.ndarray:
    """Points turned to the body, not at all at height `top` and wholly 9 cm below it."""
    pivot = np.array([0, top - 4.0, _AXIS_Z])
    share = np.clip((top - points_V3[:, 1]) / 9.0, 0, 1)[:, None]
    whole = (points_V3 - pivot) @ body_turn(pose).T + pivot
    return np.asarray(points_V3 * (1 - share) + whole * share)


@cache
def _neck(model: HeadModel) -> np.ndarray:
    vertices, _ = model.region("M_Face", "M_BackHead")
    x, y, z = model.mean_V3[vertices].T
    return np.asarray(vertices[(y < -7.5) & (y > -13.5) & (np.abs(x) < 6.5) & (z < 5.2)])
