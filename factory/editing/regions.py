"""Soft masks of occluders, hair and background, placed from five points (METHODS 4).

They are where Mask-ControlNet edits. A kind of region is a field over the face: it grows as the
level rises, so the level that occludes a wanted fraction of the face is that quantile of the field
over the face. This takes no search, and all faces of a kind are done at once.

Shapes: N faces, HW pixels. Coordinates of a face: x right and y down from between the eyes, in eye
distances of a face that looks ahead; y is scaled so that the mouth lies at MOUTH_Y.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

MOUTH_Y = 1.154
"""Mouth below the eyes in eye distances, in the ArcFace template."""
OVAL_MIDDLE_Y, OVAL_RX, OVAL_RY = 0.45, 1.13, 1.48
"""The face from hairline to chin, in a face's own coordinates."""
NUM_DRAWS = 24
"""Random numbers in [0, 1) that shape a region."""
LEAST_EYES = 0.08
"""Smallest distance of the eyes, as a fraction of the image's side, for placing a region."""
AROUND = 0.1
"""Fraction of the face that sizes a region that spares the face, before the face is cut out."""
BLOCK = 4
"""Faces computed together: more would not fit in a core's cache."""
NEVER = np.float32(1e6)
"""Level of pixels that a kind never covers."""
LEAST_WIDTH = 0.85
"""Smallest width of a turned head for its height, in units of one that looks ahead."""


@dataclass(frozen=True)
class Faces:
    """Pixels in the coordinates of their faces, and what shapes the regions there."""

    x: np.ndarray
    y: np.ndarray
    eye: np.ndarray
    """Distance of an eye from the middle [N, 1, 1]: .5, less in a turned head."""
    turn: np.ndarray
    """How far the nose lies to a side [N, 1, 1]."""
    u: np.ndarray
    """Random numbers in [0, 1), [NUM_DRAWS, N, 1, 1]."""


Field = Callable[[Faces], tuple[np.ndarray, np.ndarray]]
"""Maps faces to (levels, limits) of a kind of region in eye distances: levels are [N, H, W]; limits
the signed distance to where it ends at any level, negative inside, [N, 1, 1] if nowhere."""


@dataclass(frozen=True)
class Regions:
    """Soft masks of edits, and how much of the face they hide."""

    alpha_NHW: np.ndarray
    """float32 in [0, 1]: 1 is redrawn, 0 stays as it is, to the bit."""
    face_NHW: np.ndarray
    """Soft mask of the face, from hairline to chin."""
    fractions_N: np.ndarray
    """Fraction of the face that is hidden."""
    usable_N: np.ndarray
    """Whether the five points are those of a face; where not, alpha is 0."""

    def rows(self, chosen: np.ndarray) -> Regions:
        """The regions of some of the faces."""
        parts = (self.alpha_NHW, self.face_NHW, self.fractions_N, self.usable_N)
        return Regions(*(part[chosen] for part in parts))


def regions(
    points_N52: np.ndarray,
    kinds: Sequence[str],
    fractions: Sequence[float],
    draws_NK: np.ndarray,
    image_px: int,
    *,
    soft_px: float = 1.5,
    face_NHW: np.ndarray | None = None,
) -> Regions:
    """Regions of `kinds` that hide the given fractions of the face; 0 spares the face wholly.

    `points_N52` are five points in pixels (NaN: none found), `draws_NK` numbers in [0, 1) that give
    each region its own shape, `soft_px` the width of its edge. `face_NHW` are masks of the faces by
    a segmenter; without them the face is an oval. Raises ValueError for masks of another size.
    """
    count = len(points_N52)
    if face_NHW is not None and face_NHW.shape != (count, image_px, image_px):
        raise ValueError(
            f"face_NHW: got masks {face_NHW.shape}; want {(count, image_px, image_px)}"
        )
    frames = Frames(points_N52, image_px)
    alpha_NHW = np.zeros((count, image_px, image_px), np.float32)
    segmented_NHW, face_NHW = face_NHW, np.zeros_like(alpha_NHW)
    kind_N, wanted_N = np.array(kinds, object), np.asarray(fractions, np.float32)
    for kind in dict.fromkeys(kinds):
        indices = np.flatnonzero((kind_N == kind) & frames.usable_N)
        for start in range(0, len(indices), BLOCK):
            rows = indices[start : start + BLOCK]
            faces = frames.faces(rows, draws_NK)
            sharp = frames.wide_px[rows, None, None] / np.float32(soft_px)
            face = _edge(_oval(faces), sharp) if segmented_NHW is None else segmented_NHW[rows]
            field = FIELDS[kind]
            if kind == "background" and segmented_NHW is not None:
                field = _all  # but the face, which is cut out
            levels, limits = field(faces)
            alpha_NHW[rows] = _grown(levels, limits, face, wanted_N[rows], sharp)
            face_NHW[rows] = face
    hidden_N = np.einsum("nhw,nhw->n", alpha_NHW, face_NHW)
    whole_N = face_NHW.sum((1, 2))
    usable_N = frames.usable_N & (whole_N > 0)
    return Regions(alpha_NHW, face_NHW, hidden_N / np.maximum(whole_N, 1), usable_N)


class Frames:
    """Coordinate frames of N faces, from their five points."""

    def __init__(self, points_N52: np.ndarray, image_px: int) -> None:
        points = np.asarray(points_N52, np.float32)
        self._px = image_px
        left, right, nose, mouth = points[:, 0], points[:, 1], points[:, 2], points[:, 3:].mean(1)
        self._middle_N2 = (left + right) / 2
        across = right - left
        with np.errstate(invalid="ignore"):
            eyes_px = np.linalg.norm(across, axis=1)
            self._right_N2 = across / np.maximum(eyes_px, 1e-6)[:, None]
            self._down_N2 = np.stack([-self._right_N2[:, 1], self._right_N2[:, 0]], 1)
            below_px = ((mouth - self._middle_N2) * self._down_N2).sum(1)
            aside_px = ((nose - self._middle_N2) * self._right_N2).sum(1)
            self.tall_px = below_px / MOUTH_Y
            self.wide_px = np.maximum(eyes_px, LEAST_WIDTH * self.tall_px)
            plausible = np.isfinite(points).all((1, 2)) & (eyes_px >= LEAST_EYES * image_px)
            plausible &= (points > -image_px).all((1, 2)) & (points < 2 * image_px).all((1, 2))
            self.usable_N = plausible & (below_px > 0.4 * eyes_px) & (below_px < 4 * eyes_px)
        for values in (self._middle_N2, self._right_N2, self._down_N2, self.tall_px, self.wide_px):
            values[~self.usable_N] = 1
        self._eye_N = np.where(self.usable_N, eyes_px / 2 / self.wide_px, 0.5)
        self._turn_N = np.where(self.usable_N, aside_px / self.wide_px, 0)

    def faces(self, rows: np.ndarray, draws_NK: np.ndarray) -> Faces:
        """Every pixel's middle in the coordinates of some of the faces."""
        axis = np.arange(self._px, dtype=np.float32)
        along_N1W = (axis - self._middle_N2[rows, :1])[:, None, :]
        down_NH1 = (axis - self._middle_N2[rows, 1:])[:, :, None]
        x, y = (
            along_N1W * axis_N2[:, :1, None] + down_NH1 * axis_N2[:, 1:, None]
            for axis_N2 in (
                self._right_N2[rows] / self.wide_px[rows, None],
                self._down_N2[rows] / self.tall_px[rows, None],
            )
        )
        return Faces(
            x,
            y,
            self._eye_N.astype(np.float32)[rows, None, None],
            self._turn_N.astype(np.float32)[rows, None, None],
            np.ascontiguousarray(draws_NK[rows].T, np.float32)[:, :, None, None],
        )


def _grown(
    levels_NHW: np.ndarray,
    limits_NHW: np.ndarray,
    face_NHW: np.ndarray,
    wanted_N: np.ndarray,
    sharp_N11: np.ndarray,
) -> np.ndarray:
    """Soft masks at the levels that hide the wanted fractions, found by every other pixel."""
    every_other = (slice(None), slice(None, None, 2), slice(None, None, 2))
    in_face = face_NHW[every_other] > 0.5
    within = in_face & (limits_NHW[:, ::2, ::2] <= 0)
    candidates = np.where(within, levels_NHW[every_other], NEVER).reshape(len(in_face), -1)
    spared_N = wanted_N == 0
    size_N = np.where(spared_N, AROUND, wanted_N) * in_face.sum((1, 2))
    rank_N = np.round(size_N).astype(int).clip(0, candidates.shape[1] - 1)
    ordered = np.partition(candidates, np.unique(rank_N), axis=1)
    level_N11 = np.minimum(ordered[np.arange(len(ordered)), rank_N], NEVER / 2)[:, None, None]
    alpha = _edge(levels_NHW - level_N11, sharp_N11)
    if limits_NHW.size > len(limits_NHW):  # else it ends nowhere
        alpha *= _edge(limits_NHW, sharp_N11)
    if spared_N.any():
        alpha[spared_N] *= face_NHW[spared_N] == 0
    return alpha


def _edge(distance: np.ndarray, sharp: np.ndarray) -> np.ndarray:
    """Soft mask: 1 inside, 0 outside, a ramp between."""
    ramp: np.ndarray = distance * -sharp
    ramp += np.float32(0.5)
    return np.asarray(np.clip(ramp, 0, 1, out=ramp))


def _oval(faces: Faces, wider: float = 0.0) -> np.ndarray:
    """Signed distance to the outline of the face, which follows the nose where a head is turned."""
    rx, ry = np.float32(OVAL_RX + wider), np.float32(OVAL_RY + wider)
    x, y = faces.x - 0.35 * faces.turn, faces.y * (rx / ry) - np.float32(OVAL_MIDDLE_Y) * (rx / ry)
    x *= x
    y *= y
    x += y
    return np.asarray(np.sqrt(x, out=x) - rx)


def _medical_mask(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """A mask from the chin upward, highest on the nose."""
    x, u = faces.x - faces.turn, faces.u
    top = (0.05 + 0.25 * u[0]) * x**2 + (0.1 * u[1] - 0.05) * x
    return top - faces.y, _oval(faces, 0.06)


def _lenses(faces: Faces, rx: float, ry: float) -> np.ndarray:
    """Signed distance to two rounded lenses."""
    u = faces.u
    power = 2 + 2 * u[0]
    wide, tall = rx * (0.9 + 0.2 * u[1]), ry * (0.85 + 0.3 * u[2])
    across = np.abs(np.abs(faces.x) - faces.eye) / wide
    up = np.abs(faces.y - 0.1 * u[3]) / tall
    radius = (across**power + up**power) ** (1 / power)
    return np.asarray((radius - 1) * np.minimum(wide, tall))


def _bars(faces: Faces) -> np.ndarray:
    """Distance to the bridge and the temples: a line at the height of the eyes, to the ears."""
    off = np.abs(faces.y - (0.1 * faces.u[3] - 0.1))
    return np.asarray(np.maximum(off, np.abs(faces.x - 0.35 * faces.turn) - 1.15))


def _sunglasses(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """Both lenses, the bridge and the temples."""
    levels = np.minimum(_lenses(faces, 0.4, 0.28), _bars(faces) - 0.05)
    return levels, _everywhere(faces)


def _glasses(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """The rims of glasses, which get thicker as they grow."""
    lenses = _lenses(faces, 0.43, 0.33)
    levels = np.minimum(np.abs(lenses), np.maximum(_bars(faces), 0.02 - lenses))
    return levels, _everywhere(faces)


def _hat(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """A hat from above, with a bent brim, rounded where the image shows its top."""
    x, y, u = faces.x - 0.35 * faces.turn, faces.y, faces.u
    brim = (0.3 * u[0] - 0.1) * x**2 + (0.2 * u[1] - 0.1) * x
    dome = np.sqrt((x / (1.25 + 0.15 * u[2])) ** 2 + (np.minimum(y, 0) / (1.7 + 0.4 * u[3])) ** 2)
    return y - brim, dome - 1


def _bangs(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """Hair from above, in strands."""
    x, y, u = faces.x - 0.35 * faces.turn, faces.y, faces.u
    ends = sum(
        (0.03 + 0.08 * u[i]) * np.sin((3 + 5 * i + 4 * u[i + 4]) * x + 6.3 * u[i + 8])
        for i in range(4)
    )
    part = (0.5 * u[12] - 0.25) * x - 0.25 * np.abs(x - (u[13] - 0.5)) * u[14]
    top = np.sqrt((x / (1.05 + 0.1 * u[15])) ** 2 + (np.minimum(y, 0) / 1.8) ** 2)
    return y - ends - part, top - 1


def _scarf(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """A scarf from below, as wide as the image."""
    x, u = faces.x, faces.u
    waves = 0.06 * np.sin((2 + 3 * u[0]) * x + 6.3 * u[1]) + (0.3 * u[2] - 0.15) * x
    return waves + 0.1 * u[3] * x**2 - faces.y, _everywhere(faces)


def _hand(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """Four fingers and the arm behind them, from a side or from below."""
    u = faces.u
    angle = np.sign(u[1] - np.float32(0.5)) * (0.2 + 1.2 * u[0])  # 0 comes straight from below
    sin, cos = np.sin(angle), np.cos(angle)
    x, y = faces.x, faces.y - 0.6
    along = -(x * sin + y * cos)  # grows along the hand
    across = x * cos - y * sin - (0.5 * u[2] - 0.25)
    width = 0.16 + 0.04 * u[3]
    tips = np.zeros_like(x)
    for finger, length in enumerate((0.4, 0.62, 0.6, 0.42)):
        off = (across - (finger - 1.5) * 2 * width) / width
        tip = np.sqrt(np.maximum(1 - off**2, 0)) * width + length + 0.1 * u[4 + finger]
        tips = np.where(np.abs(off) < 0.94, np.maximum(tips, tip), tips)
    return along - tips, np.abs(across) - 4 * width


def _blocks(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """Two or three rectangles anywhere on the face."""
    levels = np.full_like(faces.x, NEVER)
    for block in range(3):
        v = faces.u[5 * block : 5 * block + 5]
        across = np.abs(faces.x - 1.6 * (v[0] - 0.5)) - (0.15 + 0.35 * v[2])
        along = np.abs(faces.y - (2.2 * v[1] - 0.65)) - (0.15 + 0.35 * v[3])
        left_out = np.where((block == 2) & (v[4] < 0.5), NEVER, 0)
        levels = np.minimum(levels, np.maximum(across, along) + left_out)
    return levels, _everywhere(faces)


def _background(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """Everything but the face."""
    return np.zeros_like(faces.x), -_oval(faces)


def _all(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros_like(faces.x), _everywhere(faces)


def _everywhere(faces: Faces) -> np.ndarray:
    return np.full((len(faces.x), 1, 1), -1, np.float32)


FIELDS: dict[str, Field] = {
    "mask": _medical_mask,
    "sunglasses": _sunglasses,
    "glasses": _glasses,
    "hat": _hat,
    "bangs": _bangs,
    "scarf": _scarf,
    "hand": _hand,
    "blocks": _blocks,
    "background": _background,
}
"""Every region by its name in editing.kinds."""
