"""Hands at the face: skin of capsules that run smoothly into each other.

A hand is the zero level of smoothly united capsules (Quilez, "Smooth minimum", polynomial form),
polygonized once for each grip by naive surface nets (Gibson 1998, "Constrained elastic surface
nets") and then only moved, so that an image costs no more than a product of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from factory.rendering.head.head import Head, HeadModel, vertex_normals
from factory.rendering.parts import Label, Material, MeshPart
from factory.rendering.skin.skin_tone import skin_tone
from factory.rendering.traits import Person
from factory.rendering.view import View
from factory.rendering.wear.sheets import Sheet, grid

KINDS = ("chin", "cheek", "mouth", "glasses", "phone")
_CELL = 0.56
"""Centimeters: a third of a finger's width; the smooth normals hide it at 112 px."""
_JOIN = 0.35
"""Centimeters over which capsules run into each other."""

_BIN, _REACH = 0.6, 20.0
"""Cells in which hand and face are compared, and how far they go; centimeters."""
_SIZE = int(2 * _REACH / _BIN)


@dataclass(frozen=True)
class Grip:
    """Where a hand is: it holds a place on the face and comes from a side."""

    fingers: str
    """flat, curled or point."""
    landmarks: tuple[int, ...]
    """The place on the face is the mean of these points on the subject's left."""
    aside: tuple[float, float, float]
    """Centimeters from there, x away from the middle of the face."""
    toward_deg: float
    """Turn of the fingers in the image: 0 up, 90 toward the middle of the face."""
    lean_deg: float
    """Turn about the fingers: 0, the back of the hand faces the camera."""
    push: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """The direction in which the hand gives way to the face, x away from the middle."""


GRIPS = {
    "chin": Grip("curled", (10, 11), (1.0, 0.6, 0.8), 25.0, 10.0),
    "cheek": Grip("flat", (13, 14), (1.2, -3.5, 1.0), -8.0, 50.0, (0.8, 0.0, 0.6)),
    "mouth": Grip("flat", (51, 57), (6.0, -2.6, 2.0), 62.0, 15.0),
    "glasses": Grip("point", (45,), (3.0, -6.4, 2.0), 12.0, 25.0, (0.6, 0.0, 0.8)),
    "phone": Grip("curled", (13, 14), (1.4, -1.0, 2.0), 5.0, 80.0, (0.8, 0.0, 0.6)),
}


def hand_parts(model: HeadModel, head: Head, person: Person, view: View) -> list[MeshPart]:
    """The hand `view.wear.hand`, a name of KINDS, on a side that the seed chooses."""
    kind, rng = str(view.wear.hand), np.random.default_rng([view.wear.seed, 37])
    side = 1.0 if rng.random() < 0.5 else -1.0
    grip = GRIPS[kind]
    points, faces, nails = hand_mesh(grip.fingers)
    placed = _placed(points, head, grip, side, rng)
    shift = _touch(placed, _face(model, head), np.array(grip.push) * [side, 1, 1])
    placed = placed + shift
    colors = _colors(points, nails, skin_tone(person), rng)
    if side < 0:
        faces = faces[:, ::-1]
    parts = [
        MeshPart("hand", Label.OCCLUDER, placed, faces,
                 Material("skin", roughness=0.5, specular=0.4),
                 normals_V3=vertex_normals(placed, faces), colors_V3=colors)
    ]  # fmt: skip
    if kind == "phone":
        parts.append(_phone(head, grip, side, shift, np.random.default_rng([view.wear.seed, 37])))
    return parts


@cache
def hand_mesh(fingers: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices [V, 3], triangles and the nails' share [V] of a left hand with its forearm.

    The wrist is at the origin, the fingers point up (+y), the thumb to -x, the palm to -z.
    """
    capsules, tips = _bones(fingers)
    low, high = capsules[:, :6].reshape(-1, 3).min(0) - 4, capsules[:, :6].reshape(-1, 3).max(0) + 4
    low[1] = max(low[1], -16)
    axes = [np.arange(a, b, _CELL) for a, b in zip(low, high, strict=True)]
    field = _distance(np.stack(np.meshgrid(*axes, indexing="ij"), -1).astype(np.float32), capsules)
    cells, faces = surface_net(field)
    points = low + cells * _CELL
    near = np.linalg.norm(points[:, None] - tips, axis=-1).min(1)
    return points, faces, np.exp(-((near / 0.45) ** 2))


def surface_net(field_XYZ: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices in cells and triangles of the zero level of a field that is negative inside."""
    inside = field_XYZ < 0
    shape = np.array(field_XYZ.shape) - 1
    total, count = np.zeros((*shape, 3)), np.zeros(shape)
    for axis in range(3):
        _crossings(field_XYZ, inside, axis, total, count)
    used = count > 0
    number = np.full(tuple(shape), -1)
    number[used] = np.arange(int(used.sum()))
    vertices = total[used] / count[used][:, None]
    return vertices, np.concatenate([_quads(inside, number, axis) for axis in range(3)])


def _crossings(
    field: np.ndarray, inside: np.ndarray, axis: int, total: np.ndarray, count: np.ndarray
) -> None:
    """Add where edges along an axis cross the level to the four cells around each edge."""
    first = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
    second = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
    at = np.argwhere(inside[first] != inside[second])
    a, b = field[first][tuple(at.T)], field[second][tuple(at.T)]
    place = at.astype(float)
    place[:, axis] += a / (a - b)
    one, two = (c for c in range(3) if c != axis)
    for i in (0, 1):
        for j in (0, 1):
            cell = at.copy()
            cell[:, one] -= i
            cell[:, two] -= j
            fits = ((cell >= 0) & (cell < total.shape[:3])).all(1)
            np.add.at(total, tuple(cell[fits].T), place[fits])
            np.add.at(count, tuple(cell[fits].T), 1)


def _quads(inside: np.ndarray, number: np.ndarray, axis: int) -> np.ndarray:
    """Two triangles for each edge along an axis that crosses the level, facing outward."""
    first = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
    second = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
    at = np.argwhere(inside[first] != inside[second])
    one, two = (axis + 1) % 3, (axis + 2) % 3
    fits = (at[:, one] > 0) & (at[:, two] > 0)
    fits &= (at[:, one] < number.shape[one]) & (at[:, two] < number.shape[two])
    at = at[fits]
    corners = []
    for i, j in ((1, 1), (0, 1), (0, 0), (1, 0)):
        cell = at.copy()
        cell[:, one] -= i
        cell[:, two] -= j
        corners.append(number[tuple(cell.T)])
    a, b, c, d = corners
    outward = inside[first][tuple(at.T)][:, None]
    quads = np.where(outward, np.stack([a, b, c, d], 1), np.stack([d, c, b, a], 1))
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def _bones(fingers: str) -> tuple[np.ndarray, np.ndarray]:
    """Capsules [C, 8] (two ends, two radii) and the places of nails [5, 3] of a hand."""
    bones: list[tuple[float, ...]] = [(0, -22, 0.6, 0, -1, 0, 3.9, 2.5)]  # the forearm
    for x in (-2.6, -0.9, 0.9, 2.5):  # the palm
        bones.append((x * 0.55, 0.0, 0.0, x, 6.6 - 0.15 * x * x, 0.1, 1.35, 1.0))
    tips = []
    for x, length in ((-2.6, 6.6), (-0.9, 7.4), (0.9, 7.0), (2.5, 5.4)):
        bend = {"flat": (0.1, 0.15, 0.1), "curled": (1.0, 1.5, 1.1),
                "point": (0.3, 0.3, 0.2) if x < -2 else (1.1, 1.5, 1.1)}[fingers]  # fmt: skip
        at, angle = np.array([x, 6.8 - 0.15 * x * x, 0.1]), 0.0
        for share, turn, radius in zip((0.45, 0.32, 0.23), bend, (0.95, 0.85, 0.75), strict=True):
            angle += turn
            step = length * share * np.array([0.03 * x, np.cos(angle), -np.sin(angle)])
            bones.append((*at, *(at + step), radius, radius - 0.1))
            at = at + step
        tips.append(at + np.array([0, 0.1, 0.75]))
    thumb = np.array([[-2.0, 1.2, -0.4], [-4.0, 3.6, -1.0], [-4.6, 6.2, -1.3]])
    if fingers != "flat":
        thumb[1:] += [[0.6, 0.6, -0.8], [1.6, 0.5, -1.2]]
    bones += [(*thumb[0], *thumb[1], 1.5, 1.1), (*thumb[1], *thumb[2], 1.1, 0.85)]
    return np.array(bones), np.stack([*tips, thumb[2] + [-0.2, 0.2, 0.8]])


def _distance(points_XYZ3: np.ndarray, capsules_C8: np.ndarray) -> np.ndarray:
    """Signed distance to smoothly united capsules whose radius changes along them."""
    field = np.full(points_XYZ3.shape[:3], 1e3, np.float32)
    for capsule in capsules_C8.astype(np.float32):
        start, end, (wide, narrow) = capsule[:3], capsule[3:6], capsule[6:]
        along = end - start
        share = np.clip((points_XYZ3 - start) @ along / (along @ along), 0, 1)
        gap = np.linalg.norm(points_XYZ3 - start - share[..., None] * along, axis=-1)
        gap = gap - (wide + (narrow - wide) * share)
        mix = np.maximum(_JOIN - np.abs(field - gap), 0) / _JOIN
        field = np.minimum(field, gap) - mix * mix * _JOIN / 4
    return field


def _pose(
    grip: Grip, head: Head, side: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The turn [3, 3] and the knuckles' place [3] of a hand."""
    jitter = rng.uniform(-1, 1, 5)
    toward, lean = np.radians([grip.toward_deg + 10 * jitter[0], grip.lean_deg + 8 * jitter[1]])
    about_y = np.array(
        [[np.cos(lean), 0, -np.sin(lean)], [0, 1, 0], [np.sin(lean), 0, np.cos(lean)]]
    )
    about_z = np.array([[np.cos(toward), -np.sin(toward), 0], [np.sin(toward), np.cos(toward), 0],
                        [0, 0, 1]])  # fmt: skip
    mirror = np.diag([side, 1.0, 1.0])
    place = head.landmarks_68x3[list(grip.landmarks)].mean(0)
    place = np.array([np.abs(place[0]), place[1], place[2]]) + grip.aside + 0.5 * jitter[2:]
    return mirror @ about_z @ about_y, place * [side, 1, 1]


def _placed(
    points: np.ndarray, head: Head, grip: Grip, side: float, rng: np.random.Generator
) -> np.ndarray:
    turn, place = _pose(grip, head, side, rng)
    return np.asarray((points - [0, 6.5, 0]) @ turn.T + place)


@cache
def _face_vertices(model: HeadModel) -> np.ndarray:
    vertices, _ = model.region("M_Face")
    return vertices


def _face(model: HeadModel, head: Head) -> np.ndarray:
    return np.asarray(head.vertices_V3[_face_vertices(model)])


def _touch(points_V3: np.ndarray, face_W3: np.ndarray, push_3: np.ndarray) -> np.ndarray:
    """The shift [3] along a unit vector that lets a hand touch the face without entering it.

    Both are compared as heights along it, over a grid across it.
    """
    across = np.cross([0, 1, 0], push_3)
    basis = np.stack([across, np.cross(push_3, across), push_3])
    face, hand = np.full(_SIZE**2, -np.inf), np.full(_SIZE**2, np.inf)
    np.maximum.at(face, *_binned(face_W3 @ basis.T))
    np.minimum.at(hand, *_binned(points_V3 @ basis.T))
    shared = np.isfinite(face) & np.isfinite(hand)
    height = float((face[shared] - hand[shared]).max()) + 0.1 if shared.any() else 0.0
    return np.asarray(height * push_3)


def _binned(points_P3: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cells of points, and their heights."""
    at = ((points_P3[:, :2] + _REACH) / _BIN).astype(int)
    fits = ((at >= 0) & (at < _SIZE)).all(1)
    return at[fits, 0] * _SIZE + at[fits, 1], points_P3[fits, 2]


def _colors(
    points: np.ndarray, nails: np.ndarray, skin: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Skin, redder at the knuckles and fingertips, with pale nails."""
    red = np.clip((points[:, 1] - 5) / 8, 0, 1)[:, None]
    color = skin * (1 - red * np.array([0.0, 0.12, 0.12])) * rng.uniform(0.9, 1.05)
    nail = np.clip(skin * [1.15, 1.05, 1.05] + 0.05, 0, 0.9)
    sleeve = points[:, 1] < -6
    mixed = color * (1 - nails[:, None]) + nail * nails[:, None]
    return np.asarray(np.where(sleeve[:, None], skin * 0.95, mixed))


def _phone(
    head: Head, grip: Grip, side: float, shift: np.ndarray, rng: np.random.Generator
) -> MeshPart:
    """The telephone that a curled hand holds, a rounded slab."""
    turn, place = _pose(grip, head, side, rng)
    corner = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    flat = np.sign(np.stack([np.cos(corner), np.sin(corner)], 1))
    flat = flat * np.abs(np.stack([np.cos(corner), np.sin(corner)], 1)) ** 0.3 * [3.4, 7.2]
    outline = ((0, 0.4), (0.94, 0.4), (1, 0.2), (1, -0.2), (0.94, -0.4), (0, -0.4))
    rows = [np.concatenate([flat * size, np.full((24, 1), z)], 1) for size, z in outline]
    sheet: Sheet = grid(np.stack(rows), np.array([0.02, 0.02, 0.022]), closed=True)
    points = (sheet.vertices_V3 + np.array([0, 2.5, -2.2])) @ turn.T + place + shift
    return MeshPart("phone", Label.OCCLUDER, points, sheet.faces_F3,
                    Material("plastic", color=(0.02, 0.02, 0.022), roughness=0.2))  # fmt: skip
