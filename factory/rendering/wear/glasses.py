"""Glasses and sunglasses that sit on the nose and the ears of a head.

A clear lens that is coated against reflections is left out, as most are: nobody would see it. One
that is not is a faint mirror over what lies behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from factory.rendering.head.head import Head, HeadModel
from factory.rendering.parts import Label, Material, MeshPart, Part
from factory.rendering.traits import Color, GlassesTraits, Person
from factory.rendering.view import View
from factory.rendering.wear.lens_outlines import SHAPES, LensShape, inside, outline
from factory.rendering.wear.tubes import merged, smooth_path, tube

FACE_WIDTH = 14.7
"""Of the mean head between the landmarks before the ears, for which frames are measured."""
PANTOSCOPIC, WRAP = np.radians(8.0), np.radians(5.0)
"""How lenses lean with their lower edge to the cheeks, and turn about the face."""
CORNEA = 0.15
"""Of an eye before the edges of its lids, centimeters."""
VERTEX_DISTANCE = 1.3
"""From the cornea to the back of a lens, centimeters, where brows and cheeks allow it."""
GAP = 0.2
"""At least between skin and lens."""
PUPIL_ABOVE = 0.2
"""Of pupils over the middles of lenses, as glasses sit in photographs."""
NOSE_HALF_WIDTH = (0.75, 1.1)
"""Between which rims pass a nose, on a face of average width."""
STREAM = 44
"""Of the random numbers of glasses, with a seed."""
UNCOATED_FRACTION = 0.3
"""Of the people whose glasses are clear, those whose lenses reflect; each of their images takes two
renderings, with the lens and without."""
GLARE = 0.06
"""Light that they reflect: both faces of plain glass .08 (Fresnel, index 1.5), coated ones .01."""
DARK = 0.6
"""Lenses of a darker tint are sunglasses to the label."""
SUNGLASSES_SIZE = 1.08
"""Their lenses relative to those of ordinary glasses."""
SUNGLASSES_COLORS: tuple[Color, ...] = (
    (0.012, 0.012, 0.013),
    (0.012, 0.012, 0.013),
    (0.05, 0.025, 0.012),
    (0.1, 0.085, 0.06),
    (0.25, 0.24, 0.22),
)
"""Of rims: black most often, tortoiseshell, olive, steel."""


@dataclass(frozen=True)
class Frame:
    """Where glasses are on a head without expression: two lenses and the ways to the ears."""

    outlines_2M3: np.ndarray
    """Closed curves about the right lens (left in the image), then the left one."""
    centers_23: np.ndarray
    """On the axes of the pupils that look straight ahead."""
    normals_23: np.ndarray
    """Forward."""
    temples_2P3: np.ndarray
    """From the hinges to behind the ears."""
    bridge_P3: np.ndarray
    size: float
    """Of the face relative to the mean."""


def glasses_parts(model: HeadModel, head: Head, person: Person, view: View) -> list[Part]:
    """Sunglasses where the view has them, else the person's own glasses, else nothing.

    An unknown shape is a KeyError. They sit on the head without expression, as they would in a
    photograph of a smile.
    """
    wear = view.wear
    if wear.sunglasses is not None:
        return list(_worn(model, person, sunglasses_traits(wear.sunglasses, wear.seed)))
    if wear.glasses and person.glasses is not None:
        return list(_worn(model, person, person.glasses))
    return []


@lru_cache(maxsize=8)
def _worn(model: HeadModel, person: Person, traits: GlassesTraits) -> tuple[Part, ...]:
    """The same objects for the same glasses, because a scene keeps what is fixed by object."""
    dark = traits.tint > DARK
    shape = _scaled(SHAPES[traits.shape], SUNGLASSES_SIZE if dark else 1.0)
    frame = fitted(model, model.shaped(person.shape, ()), shape, traits.rim)
    glossy = np.random.default_rng([person.seed, STREAM]).random() < UNCOATED_FRACTION
    return tuple(_parts("sunglasses" if dark else "glasses", traits, frame, glossy))


def sunglasses_traits(shape: str, seed: int) -> GlassesTraits:
    """Sunglasses of a shape; rims' color and width and the lenses' tint follow from the seed."""
    rng = np.random.default_rng([seed, STREAM])
    color = SUNGLASSES_COLORS[int(rng.integers(len(SUNGLASSES_COLORS)))]
    thin = shape in ("aviator", "rimless") or color[0] > 0.2
    rim = float(rng.uniform(0.05, 0.07) if thin else rng.uniform(0.12, 0.2))
    tint = float(rng.uniform(0.9, 1.0))
    return GlassesTraits(shape, color, rim, metallic=float(thin), tint=tint)


def _scaled(shape: LensShape, size: float) -> LensShape:
    return replace(shape, half_width=shape.half_width * size, half_height=shape.half_height * size)


def fitted(model: HeadModel, neutral: Head, shape: LensShape, rim: float) -> Frame:
    """Glasses as an optician sets them: before the pupils, off the skin, on nose and ears."""
    points = neutral.landmarks_68x3
    size = float((points[16, 0] - points[0, 0]) / FACE_WIDTH)
    skin = neutral.vertices_V3[model.region("M_Face")[0]]
    eyes = neutral.five_53[:2]
    sized = _scaled(shape, size)
    middle = np.array([points[27, 0], eyes[:, 1].mean(), points[[37, 38, 43, 44], 2].max()])
    middle += [0, -PUPIL_ABOVE * size, CORNEA]
    nose = np.clip(_nose_half_width(skin, middle), *NOSE_HALF_WIDTH) * size
    outlines, centers, normals = [], [], []
    for side, eye in zip((-1.0, 1.0), eyes, strict=True):
        flat = outline(sized, abs(eye[0] - middle[0]) - nose - rim)
        axes = _lens_axes(side)
        center = np.array([eye[0], eye[1] - PUPIL_ABOVE * size, middle[2]])
        ahead = _clearance(skin, center, axes, flat, rim)
        centers.append(center + np.array([0, 0, max(ahead, VERTEX_DISTANCE)]))
        outlines.append(flat @ axes[:2])
        normals.append(axes[2])
    # both lenses stand where the nearer one must
    depth = max(center[2] for center in centers)
    centers = [np.array([x, y, depth]) for x, y, _ in centers]
    whole = np.stack([center + flat for center, flat in zip(centers, outlines, strict=True)])
    temples = np.stack([_temple(model, neutral, whole[side], side, rim) for side in (0, 1)])
    bridge = _bridge(skin, whole, shape, rim)
    return Frame(whole, np.stack(centers), np.stack(normals), temples, bridge, size)


def _nose_half_width(skin_V3: np.ndarray, middle_3: np.ndarray) -> float:
    """Of the part of the nose that stands before the lenses, beside their upper halves."""
    apart = skin_V3 - middle_3
    nose = (apart[:, 2] > VERTEX_DISTANCE) & (np.abs(apart[:, 0]) < 1.5)
    nose &= (apart[:, 1] > -1.2) & (apart[:, 1] < 1.0)
    return float(np.abs(apart[nose, 0]).max(initial=0.0)) + 0.15


def _lens_axes(side: float) -> np.ndarray:
    """Rows: outward, up and forward of a lens in the space of the head."""
    outward = np.array([side * np.cos(WRAP), 0, -np.sin(WRAP)])
    up = np.array([0, np.cos(PANTOSCOPIC), np.sin(PANTOSCOPIC)])
    up -= (up @ outward) * outward
    up /= np.linalg.norm(up)
    return np.stack([outward, up, side * np.cross(outward, up)])


def _clearance(
    skin_V3: np.ndarray, center_3: np.ndarray, axes_33: np.ndarray, flat_M2: np.ndarray, rim: float
) -> float:
    """How far forward of `center_3` a lens must be, so that skin behind it is GAP away."""
    apart = (skin_V3 - center_3) @ axes_33.T
    behind = inside(apart[:, :2] / REACH, flat_M2) & (apart[:, 2] > -3)
    highest = float(apart[behind, 2].max(initial=-3.0))
    return (highest + GAP + rim) / float(axes_33[2, 2])


REACH = 1.14
"""By how much more skin than a lens covers must be behind it, for rims and the gaps of the mesh."""


def _bridge(
    skin_V3: np.ndarray, outlines_2M3: np.ndarray, shape: LensShape, rim: float
) -> np.ndarray:
    """The way from rim to rim over the nose."""
    ends = []
    for side, curve in zip((-1, 1), outlines_2M3, strict=True):
        inner = curve[np.argsort(side * curve[:, 0])[: len(curve) // 3]]
        high = inner[:, 1].min() + 0.68 * np.ptp(inner[:, 1])
        ends.append(inner[np.argmin(np.abs(inner[:, 1] - high))])
    middle = np.mean(ends, axis=0) + np.array([0, 0.22, 0.1])
    near = (np.abs(skin_V3[:, 0] - middle[0]) < 0.5) & (np.abs(skin_V3[:, 1] - middle[1]) < 0.4)
    middle[2] = max(middle[2], skin_V3[near, 2].max(initial=-np.inf) + rim + 0.05)
    quarter = [0.25 * ends[k] + 0.75 * middle - [0, 0.02, 0] for k in (0, 1)]
    return smooth_path(np.stack([ends[0], quarter[0], middle, quarter[1], ends[1]]), 17)


@lru_cache(maxsize=2)
def _ear_vertices(model: HeadModel) -> np.ndarray:
    """Of both ears (right first): the top, and the side of the head before and above it."""
    vertices, _ = model.region("M_Face", "M_BackHead")
    at = model.mean_V3[vertices] - model.mean_V3[model.landmarks_68][36:48].mean(0)
    found = []
    for side in (-1, 1):
        x, y, z = side * at[:, 0], at[:, 1], at[:, 2]
        ear = (x > EAR_FROM) & (y < 3) & (y > -6)
        top = vertices[np.flatnonzero(ear)[y[ear].argmax()]]
        level = y[vertices == top][0]
        beside = (y > level + 0.2) & (y < level + 0.9) & (np.abs(z - z[vertices == top][0]) < 1)
        found.append([top, vertices[np.flatnonzero(beside)[x[beside].argmax()]]])
    return np.array(found)


EAR_FROM = 8.05
"""Centimeters from the middle of the mean head, at which there is nothing but ears."""


def _temple(
    model: HeadModel, neutral: Head, curve_M3: np.ndarray, side: int, rim: float
) -> np.ndarray:
    """From the outer edge of a rim past the temple to the top of the ear and behind it."""
    sign = (-1.0, 1.0)[side]
    top, beside = neutral.vertices_V3[_ear_vertices(model)[side]]
    outer = curve_M3[np.argsort(-sign * curve_M3[:, 0])[: len(curve_M3) // 4]]
    hinge = outer[np.argmin(np.abs(outer[:, 1] - outer[:, 1].min() - 0.8 * np.ptp(outer[:, 1])))]
    corner = hinge + np.array([sign * (0.25 + rim), 0.0, -0.25])
    rest = np.array([beside[0] + sign * (rim + 0.06), top[1] + rim + 0.05, top[2] + 0.6])
    share = np.linspace(0, 1, 9)[1:, None]
    way = corner + share * (rest - corner)
    behind = way[-1] + np.array([[0, -0.1, -0.9], [-0.2 * sign, -1.2, -1.9]])
    path = smooth_path(np.concatenate([[hinge, corner], way, behind]), 36)
    skin, _ = model.region("M_Face", "M_BackHead")
    # the ear itself is no obstacle: its top is what temples rest on
    before = model.mean_V3[skin, 2] > model.mean_V3[_ear_vertices(model)[side][0], 2] + 0.8
    before |= np.abs(model.mean_V3[skin, 0]) < EAR_FROM - 0.1
    head = neutral.vertices_V3[skin[before]]
    for point in path:
        if point[2] < rest[2]:
            continue
        near = np.hypot(head[:, 1] - point[1], head[:, 2] - point[2]) < 0.6
        edge = (sign * head[near, 0]).max(initial=-np.inf) + rim + 0.05
        point[0] = sign * max(sign * point[0], edge)
    return path


def _parts(name: str, traits: GlassesTraits, frame: Frame, glossy: bool) -> list[Part]:
    """Rims, bridge and temples as one mesh, and lenses that are seen as another."""
    label = Label.SUNGLASSES if traits.tint > DARK else Label.GLASSES
    kind = "metal" if traits.metallic > 0.5 else "plastic"
    surface = Material(kind, traits.color, roughness=0.3, specular=0.5)
    mesh = rims(traits, frame)
    parts: list[Part] = [
        MeshPart(f"{name}_rims", label, *mesh[:2], surface, mesh[2], fixed=True),
    ]
    at, triangles, ahead = merged([lens(frame, side) for side in (0, 1)])
    if traits.tint > 0:
        opacity = 1.0 if traits.tint > DARK else traits.tint
        glass = Material("glass", (0.01, 0.01, 0.012), 0.03, 0.5, opacity=opacity)
        colors = _gradient(at)
        parts.append(
            MeshPart(f"{name}_lenses", label, at, triangles, glass, ahead, colors, fixed=True)
        )
    elif glossy:
        mirror = Material("metal", (0.95, 1.0, 0.97), 0.03, 0.9, opacity=GLARE)
        parts.append(MeshPart(f"{name}_glare", label, at, triangles, mirror, ahead, fixed=True))
    return parts


def _gradient(at_V3: np.ndarray) -> np.ndarray:
    """Colors of dark lenses, which are lighter toward their lower edge."""
    height = (at_V3[:, 1] - at_V3[:, 1].min()) / max(float(np.ptp(at_V3[:, 1])), 1e-9)
    return np.outer((1 - height) ** 2, [0.05, 0.042, 0.036]) + 0.006


def rims(traits: GlassesTraits, frame: Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Everything of glasses but lenses; rims are tubes of radius `traits.rim`."""
    shape = SHAPES[traits.shape]
    rim = RIMLESS_EDGE if shape.rimless else traits.rim
    thin = max(min(traits.rim, 0.1), 0.05)
    tall = thin if traits.metallic > 0.5 or shape.rimless else 0.24 * frame.size
    pieces = [
        tube(curve, (rim, rim), normal, closed=True)
        for curve, normal in zip(frame.outlines_2M3, frame.normals_23, strict=True)
    ]
    up = np.array([0.0, 1.0, 0.0])
    bridge = (max(thin, 0.7 * traits.rim), max(thin, 1.1 * traits.rim))
    pieces.append(tube(frame.bridge_P3, bridge, up))
    if shape.double_bridge:
        pieces.append(
            tube(frame.bridge_P3 * [1.3, 1, 1] + [0, 0.75 * frame.size, 0], (thin, thin), up)
        )
    pieces += [tube(way, (thin, tall), up) for way in frame.temples_2P3]
    return merged(pieces)


RIMLESS_EDGE = 0.03
"""Radius of the edge that a lens without rim shows."""
BULGE = 0.35
"""How far the middle of a lens stands before its edge, centimeters."""


def lens(frame: Frame, side: int, rings: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A lens as a cap of a paraboloid within its outline."""
    curve, center, ahead = frame.outlines_2M3[side], frame.centers_23[side], frame.normals_23[side]
    num, share = len(curve), np.linspace(0, 1, rings + 1)[1:, None, None]
    flat = (center + share * (curve - center)).reshape(-1, 3)
    reach = np.repeat(share.ravel(), num)
    at = np.concatenate([[center], flat]) + np.outer(BULGE * (1 - np.r_[0, reach] ** 2), ahead)
    across = np.concatenate([np.zeros((1, 3)), (flat - center)])
    square = np.maximum(np.square(curve - center).sum(-1).mean(), 1e-9)
    normals = ahead + 2 * BULGE * across / square
    return at, _fan(num, rings), normals / np.linalg.norm(normals, axis=1, keepdims=True)


def _fan(num: int, rings: int) -> np.ndarray:
    """Triangles of a disk: vertex 0 is the middle, then rings of `num` from there outward."""
    here = np.arange(num)
    there = (here + 1) % num
    faces = [np.stack([np.zeros(num, int), here + 1, there + 1], -1)]
    for ring in range(rings - 1):
        a, b = here + 1 + ring * num, there + 1 + ring * num
        faces += [np.stack([a, a + num, b], -1), np.stack([b, a + num, b + num], -1)]
    return np.concatenate(faces)
