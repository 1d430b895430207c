"""Hair of the head as guided strands over a cap of its color."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from factory.rendering.hair.combing import combed, length_factor, seen_more
from factory.rendering.hair.curl import clumped, curled, nearest, pitch_of, radius_of
from factory.rendering.hair.growth import Forces, cut_before, grown, resampled
from factory.rendering.hair.hair_styles import STYLES, HairStyle, personal
from factory.rendering.hair.scalp import ears, margins, scalp_roots
from factory.rendering.hair.strands import (
    brightened,
    hair_strands,
    lighter,
    rooted,
    shade_groups,
    sound,
)
from factory.rendering.hair.tying import bun, gathered, tail, tie_of
from factory.rendering.head.head import Head, HeadModel
from factory.rendering.head.head_surface import HeadSurface, head_surface
from factory.rendering.parts import Label, Material, MeshPart, Part
from factory.rendering.traits import HairTraits, Person
from factory.rendering.view import HairState

MIDDLE_3 = np.array([0.0, 6.0, 0.5], np.float32)
"""Of the mean skull, where its surface is seen from."""
TIED_FROM_CM = 14.0
"""Shortest hair at the back that can be tied."""
TIP = 0.35
CAP_SHADE = 0.7
"""Of the hair's color: what is seen between strands lies in their shadow."""
CAP_MARGIN = 1.0
"""Centimeters behind the hairline where the cap begins."""


@dataclass(frozen=True)
class Wearer:
    """A head with the hair that it has today."""

    model: HeadModel
    neutral: Head
    hair: HairTraits
    style: HairStyle
    state: HairState
    surface: HeadSurface
    seed: int


def hair_parts(model: HeadModel, neutral: Head, person: Person, state: HairState) -> list[Part]:
    """Strands on the head without expression, `fixed` as long as the state is the same."""
    wearer = wearer_of(model, neutral, person, state)
    if wearer is None:
        return []
    points, shades = head_strands(wearer)
    hair, style = wearer.hair, wearer.style
    radius = style.radius * (0.6 + 0.8 * hair.thickness)
    parts: list[Part] = [*hair_strands(points, shades, hair.color, radius, TIP, hair.curl)]
    return [*parts, cap_part(wearer)] if style.cap else parts


def wearer_of(model: HeadModel, neutral: Head, person: Person, state: HairState) -> Wearer | None:
    """The head and its hair; None: bald."""
    style = STYLES[person.hair.style]
    if style is None:
        return None
    if state.tied and style.tied is None and style.back > TIED_FROM_CM:
        style = STYLES["ponytail"]
        assert style is not None
    vertices, faces = model.region("M_Face", "M_BackHead")
    at, mean = neutral.vertices_V3[vertices], model.mean_V3[vertices]
    if not style.over_ears:
        faces = faces[~ears(mean)[faces].any(1)]
    surface = head_surface(at, faces, MIDDLE_3 + at.mean(0) - mean.mean(0))
    hair = replace(person.hair, recession=max(person.hair.recession, style.recession))
    own = personal(style, person.seed)
    return Wearer(model, neutral, hair, own, state, surface, person.seed)


def head_strands(wearer: Wearer) -> tuple[np.ndarray, np.ndarray]:
    """Points [N, K, 3] and shades [N] of all strands, those of a tail or bun included."""
    hair, style, surface = wearer.hair, wearer.style, wearer.surface
    num = int(style.num_strands * np.clip(hair.density, 0.2, 1.1))
    rng = np.random.default_rng([wearer.seed, 303])
    roots = scalp_roots(wearer.neutral, wearer.model, hair, wearer.seed, num, style.soft_cm)
    roots = roots.some(seen_more(roots, style, rng))
    guides = np.arange(min(style.num_clumps, len(roots)))
    jitter = 0.25 * rng.standard_normal((len(roots), 3))
    clump = nearest(roots.points_N3 + jitter, roots.points_N3[guides])
    strands = combed(roots, hair, style, wearer.state, clump, rng)
    tie = tie_of(wearer.neutral, style.tied, surface) if style.tied else None
    points = grown(strands, Forces(style.gravity, style.hold, style.comb_cm, tie_3=tie), surface)
    if tie is not None:
        points, kept = gathered(points, tie, rng)
        clump = clump[kept]
    else:
        side = np.sign(roots.points_N3[:, 0] - hair.parting)
        together = style.clump * (side == side[guides[clump]]) * rng.uniform(0.5, 1, len(roots))
        points = clumped(points, clump, guides, together)
    points = resampled(points, style.num_points)
    if tie is None:
        points = _curled(points, clump, wearer, rng)
    points = pushed_out(points, surface)
    points, kept = cut_before(points, before_face(points, wearer.neutral, style, hair))
    clump = clump[kept]
    if tie is not None:
        points, clump = _with_tail(points, clump, tie, wearer, rng)
    points = rooted(points)
    fine = sound(points)
    return points[fine], shade_groups(int(fine.sum()), clump[fine], hair.gray_fraction, wearer.seed)


def _curled(
    points_NK3: np.ndarray, clump_N: np.ndarray, wearer: Wearer, rng: np.random.Generator
) -> np.ndarray:
    """Strands with the person's curl as far as the style allows; locks turn together."""
    curl = float(np.clip(wearer.hair.curl, *wearer.style.curl))
    num, locks = len(points_NK3), int(clump_N.max(initial=0)) + 1
    phase = rng.uniform(0, 2 * np.pi, locks)[clump_N] + rng.normal(0, 0.3, num)
    radius = radius_of(curl) * rng.uniform(0.7, 1.2, num)
    pitch = pitch_of(curl) * rng.uniform(0.85, 1.15, locks)[clump_N]
    step = np.linalg.norm(np.diff(points_NK3, axis=1), axis=-1).mean(1)
    return curled(points_NK3, radius, np.maximum(pitch, 4 * step), phase)  # 4 points make a turn


def _with_tail(
    points_NK3: np.ndarray,
    clump_N: np.ndarray,
    tie_3: np.ndarray,
    wearer: Wearer,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    num = points_NK3.shape[1]
    if wearer.style.tied == "bun":
        more = bun(tie_3, num, rng)
    else:
        length = 22.0 * length_factor(wearer.hair, wearer.style, wearer.state)
        more = tail(tie_3, length, wearer.surface, num, rng)
    locks = rng.integers(0, wearer.style.num_clumps, len(more))
    return np.concatenate([points_NK3, more]), np.concatenate([clump_N, locks])


def before_face(
    points_NK3: np.ndarray, neutral: Head, style: HairStyle, hair: HairTraits
) -> np.ndarray:
    """Which points hang before the face [N, K], where no strand may be.

    A fringe ends half a centimeter above the brows, other hair two.
    """
    marks = neutral.landmarks_68x3
    brows, chin = float(marks[17:27, 1].max()), float(marks[8, 1])
    x, y, z = np.abs(points_NK3[..., 0] - marks[27, 0]), points_NK3[..., 1], points_NK3[..., 2]
    wide = float(np.abs(marks[[17, 26], 0] - marks[27, 0]).max()) + 0.5
    top = brows + (0.5 if style.covers_forehead or hair.fringe > 0 else 2.0)
    front = z > marks[[36, 45], 2].min() - 4.0
    return np.asarray((x < wide) & (y < top) & (y > chin - 6) & front)


def pushed_out(points_NK3: np.ndarray, surface: HeadSurface) -> np.ndarray:
    """Points that lie in the head, moved out of it; roots stay."""
    flat = points_NK3[:, 1:].reshape(-1, 3)
    height, normal = surface.heights(flat)
    flat = flat + np.maximum(0.05 - height, 0)[:, None] * normal
    return np.concatenate(
        [points_NK3[:, :1], flat.reshape(len(points_NK3), points_NK3.shape[1] - 1, 3)], 1
    )


def cap_part(wearer: Wearer) -> MeshPart:
    """The scalp a little above the skin in the hair's color, behind the hairline."""
    style, neutral = wearer.style, wearer.neutral
    vertices, faces = wearer.model.region("M_Face", "M_BackHead")
    margin = margins(wearer.model.mean_V3[vertices], wearer.hair, wearer.seed)
    faces = faces[margin[faces].min(1) > CAP_MARGIN]
    used, faces = np.unique(faces, return_inverse=True)
    rise = 0.25 * (margin[used] - CAP_MARGIN)
    thick = np.clip(rise, 0.03, max(0.03, 0.3 * min(style.volume, style.side_volume)))
    normals = neutral.normals_V3[vertices[used]]
    return MeshPart(
        "hair_cap",
        Label.HAIR,
        neutral.vertices_V3[vertices[used]] + thick[:, None] * normals,
        faces.reshape(-1, 3),
        Material(
            "matte", lighter(brightened(wearer.hair.color), CAP_SHADE), roughness=0.8, specular=0.1
        ),
        normals_V3=normals,
        fixed=True,
    )
