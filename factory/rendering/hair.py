"""Hair of the head as guided strands over a cap of its color."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from factory.rendering.curl import clumped, curled, nearest, pitch_of, radius_of
from factory.rendering.growth import Forces, Strands, cut_before_face, grown, resampled
from factory.rendering.hair_styles import STYLES, HairStyle
from factory.rendering.head import Head, HeadModel
from factory.rendering.head_surface import HeadSurface, head_surface
from factory.rendering.parts import Label, Material, MeshPart, Part
from factory.rendering.scalp import Roots, ears, margins, scalp_roots
from factory.rendering.strands import hair_strands, lighter, rooted, shade_groups, sound
from factory.rendering.traits import HairTraits, Person
from factory.rendering.view import HairState

MIDDLE_3 = np.array([0.0, 6.0, 0.5], np.float32)
"""Of the skull, where its surface is seen from."""


def hair_parts(model: HeadModel, neutral: Head, person: Person, state: HairState) -> list[Part]:
    """Strands on the head without expression, `fixed` as long as the state is the same."""
    style = STYLES[person.hair.style]
    if style is None:
        return []
    hair, style = _today(person.hair, style, state)
    vertices, faces = model.region("M_Face", "M_BackHead")
    at, mean = neutral.vertices_V3[vertices], model.mean_V3[vertices]
    if not style.over_ears:
        faces = faces[~ears(mean)[faces].any(1)]
    surface = head_surface(at, faces, MIDDLE_3 + at.mean(0) - mean.mean(0))
    points, shades = head_strands(model, neutral, hair, style, state, surface, person.seed)
    radius = style.radius * (0.6 + 0.8 * hair.thickness)
    parts: list[Part] = [*hair_strands(points, shades, hair.color, radius, 0.35)]
    if style.cap:
        parts.append(cap_part(model, neutral, hair, style, person.seed))
    return parts


def _today(hair: HairTraits, style: HairStyle, state: HairState) -> tuple[HairTraits, HairStyle]:
    """The traits and the style with the state of the day."""
    if state.tied and style.tied is None and style.back > 14:
        style = STYLES["ponytail"] or style
    return replace(hair, recession=max(hair.recession, style.recession)), style


def regions(roots: Roots) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """How much of each root is top, sides, back and fringe [N], adding up to 1."""
    away = np.abs(roots.azimuth_N)
    top = _smooth(roots.height_N, 8.0, 11.0)
    back = (1 - top) * _smooth(away, 95, 125)
    sides = 1 - top - back
    fringe = _smooth(-away, -58, -38) * (1 - _smooth(roots.margin_N, 1.0, 2.6))
    return top * (1 - fringe), sides * (1 - fringe), back * (1 - fringe), fringe


def _smooth(values: np.ndarray, low: float, high: float) -> np.ndarray:
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def length_factor(hair: HairTraits, style: HairStyle, state: HairState) -> float:
    """By how much a person's hair is longer than its style's usual length."""
    usual = max(style.top, style.back)
    return float(np.clip(hair.length / usual, 0.75, 1.35)) * state.length_factor


def head_strands(
    model: HeadModel,
    neutral: Head,
    hair: HairTraits,
    style: HairStyle,
    state: HairState,
    surface: HeadSurface,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, K, 3] and shades [N] of all strands."""
    num = int(style.num_strands * np.clip(hair.density, 0.2, 1.1))
    roots = scalp_roots(neutral, model, hair, seed, num, style.soft_cm)
    rng = np.random.default_rng([seed, 303])
    guides = np.arange(min(style.num_clumps, len(roots)))
    clump = nearest(
        roots.points_N3 + 0.25 * rng.standard_normal((len(roots), 3)), roots.points_N3[guides]
    )
    strands, part = _combed(roots, hair, style, state, clump, rng)
    eyes_y = float(neutral.middle_3[1])
    tie = _tie(neutral, style)
    points = grown(
        strands,
        Forces(style.gravity, style.hold, style.comb_cm, tie_3=tie, face_left=eyes_y),
        surface,
    )
    same_side = np.sign(roots.points_N3[:, 0] - part) == np.sign(
        roots.points_N3[guides[clump], 0] - part
    )
    points = clumped(
        points, clump, guides, style.clump * same_side * rng.uniform(0.5, 1, len(roots))
    )
    points = resampled(points, style.num_points)
    curl = float(np.clip(hair.curl, *style.curl))
    if radius_of(curl) > 0.03:
        phase = rng.uniform(0, 6.28, len(guides))[clump] + rng.normal(0, 0.5, len(roots))
        wide = radius_of(curl) * rng.uniform(0.6, 1.2, len(roots))
        pitch = np.maximum(
            pitch_of(curl) * rng.uniform(0.85, 1.15, len(guides))[clump],
            4 * strands.lengths_N / style.num_points,
        )
        points = curled(points, wide, pitch, phase)
    points = _pushed_out(points, surface)
    hidden = before_face(points, neutral, style.covers_forehead)
    points, kept = cut_before_face(points, hidden)
    clump = clump[kept]
    points = rooted(points)
    fine = sound(points)
    points, clump = points[fine], clump[fine]
    return points, shade_groups(len(points), clump, hair.gray_fraction, seed)


def _tie(neutral: Head, style: HairStyle) -> np.ndarray | None:
    if style.tied is None:
        return None
    eyes = neutral.middle_3
    return eyes + (
        np.array([0, 3.0, -19.0]) if style.tied == "ponytail" else np.array([0, 8.0, -16.0])
    )


def _combed(
    roots: Roots,
    hair: HairTraits,
    style: HairStyle,
    state: HairState,
    clump: np.ndarray,
    rng: np.random.Generator,
) -> tuple[Strands, float]:
    """What grows from the roots, and where the parting is."""
    num = len(roots)
    top, sides, back, fringe = regions(roots)
    length = top * style.top + sides * style.sides + back * style.back + fringe * style.fringe
    edge = 0.45 + 0.55 * np.clip(roots.margin_N / 1.2, 0, 1)
    if style.top > 10:
        edge = np.maximum(edge, 0.8)
    length = length * length_factor(hair, style, state) * edge * rng.uniform(0.8, 1.1, num)
    part = hair.parting * style.parting
    x = roots.points_N3[:, 0]
    away = np.tanh((x - part) / 0.8)
    comb = np.zeros((num, 3), np.float32)
    comb[:, 0] = (top + fringe) * style.away * away
    comb[:, 1] = -(sides + back) * 0.9
    comb[:, 2] = -(top * style.backward + fringe * style.fringe_backward + sides * 0.35)
    spread = style.frizz * (1 + 2 * state.tousled)
    noise = rng.standard_normal((int(clump.max(initial=0)) + 1, 3))[
        clump
    ] + 0.5 * rng.standard_normal((num, 3))
    comb += spread * 2 * noise
    lift = style.lift * (top + fringe) + 0.5 * style.lift * (sides + back)
    lift = np.clip(lift * (1 + spread * rng.standard_normal(num)), 0, 1)
    volume = style.volume * (top + fringe) + style.side_volume * (sides + back)
    layer = 0.05 + volume * rng.uniform(0.1, 1, num) * np.clip(0.25 + roots.margin_N / 2.5, 0, 1)
    return Strands(roots.points_N3, roots.normals_N3, comb, lift, layer, length), part


def before_face(points_NK3: np.ndarray, neutral: Head, fringe: bool) -> np.ndarray:
    """Which points hang before the face [N, K], where no strand may be."""
    marks = neutral.landmarks_68x3
    brows, chin = marks[17:27, 1].max(), marks[8, 1]
    x, y, z = np.abs(points_NK3[..., 0] - marks[27, 0]), points_NK3[..., 1], points_NK3[..., 2]
    wide = np.abs(marks[[17, 26], 0]).max() + 0.3
    top = brows + (0.5 if fringe else 2.0)
    return np.asarray(
        (x < wide) & (y < top) & (y > chin - 6) & (z > marks[[36, 45], 2].min() - 4.0)
    )


def _pushed_out(points_NK3: np.ndarray, surface: HeadSurface) -> np.ndarray:
    """Points that lie in the head, moved out of it; roots stay."""
    flat = points_NK3[:, 1:].reshape(-1, 3)
    height, normal = surface.heights(flat)
    flat = flat + np.maximum(0.05 - height, 0)[:, None] * normal
    return np.concatenate([points_NK3[:, :1], flat.reshape(len(points_NK3), -1, 3)], 1)


def cap_part(
    model: HeadModel, neutral: Head, hair: HairTraits, style: HairStyle, seed: int
) -> MeshPart:
    """The scalp a little above the skin in the hair's color."""
    vertices, faces = model.region("M_Face", "M_BackHead")
    margin = margins(model.mean_V3[vertices], hair, seed)
    faces = faces[margin[faces].min(1) > 0.5]
    used, faces = np.unique(faces, return_inverse=True)
    faces = faces.reshape(-1, 3)
    thick = np.clip((margin[used] - 0.5) * 0.25, 0.03, 0.3 * min(style.volume, style.side_volume))
    at = neutral.vertices_V3[vertices[used]] + thick[:, None] * neutral.normals_V3[vertices[used]]
    return MeshPart(
        "hair_cap", Label.HAIR, at, faces,
        Material("matte", lighter(hair.color, 0.6), roughness=0.8, specular=0.1),
        normals_V3=neutral.normals_V3[vertices[used]], fixed=True,
    )  # fmt: skip
