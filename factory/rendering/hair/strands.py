"""Strands as parts of a scene: hidden and degenerate ones dropped, colors of a natural variety."""

from __future__ import annotations

import numpy as np

from factory.rendering.parts import Label, Material, StrandsPart
from factory.rendering.traits import Color

MIN_SEGMENT = 0.004
"""Shortest segment of a strand, centimeters: shorter ones have no direction in float32."""
SHADES = ((0.3, 0.75), (0.4, 1.0), (0.3, 1.35))
"""Fractions of the locks and how much lighter than the hair's color they are."""
GRAY: Color = (0.50, 0.49, 0.47)


def rooted(points_NK3: np.ndarray, depth: float = 0.12) -> np.ndarray:
    """Strands with one point more, under the skin: a B-spline begins at its second point."""
    first = points_NK3[:, 1] - points_NK3[:, 0]
    first = first / (np.linalg.norm(first, axis=1, keepdims=True) + 1e-9)
    return np.concatenate([(points_NK3[:, 0] - depth * first)[:, None], points_NK3], 1)


def sound(points_NK3: np.ndarray) -> np.ndarray:
    """Which strands are finite and have no segment shorter than MIN_SEGMENT [N]."""
    finite = np.isfinite(points_NK3).all((1, 2))
    steps = np.linalg.norm(np.diff(points_NK3, axis=1), axis=-1)
    return np.asarray(finite & (np.nan_to_num(steps) >= MIN_SEGMENT).all(1))


def shade_groups(num: int, clump_N: np.ndarray, gray_fraction: float, seed: int) -> np.ndarray:
    """The shade of each strand [N]: a number in SHADES, or len(SHADES) for a gray one.

    Locks have a shade in common, a fifth of the strands have their own.
    """
    rng = np.random.default_rng([seed, 311])
    edges = np.cumsum([share for share, _ in SHADES])[:-1]
    of_lock = np.searchsorted(edges, rng.random(int(clump_N.max(initial=0)) + 1))
    own = np.searchsorted(edges, rng.random(num))
    shade = np.where(rng.random(num) < 0.2, own, of_lock[clump_N])
    return np.where(rng.random(num) < gray_fraction, len(SHADES), shade)


def lighter(color: Color, factor: float) -> Color:
    """A color times a factor, kept in [0, 1]."""
    return (min(color[0] * factor, 1.0), min(color[1] * factor, 1.0), min(color[2] * factor, 1.0))


def brightened(color: Color) -> Color:
    """The color of strands whose mass has a color.

    Light hair owes its brightness to light that passes through many strands, which opaque strands
    and short paths lack.
    """
    return lighter(color, 1 + 0.6 * min(sum(color) / 0.9, 1.0))


def hair_strands(
    points_NK3: np.ndarray,
    shade_N: np.ndarray,
    color: Color,
    radius: float,
    tip: float,
    curl: float = 0.0,
) -> list[StrandsPart]:
    """One part for each shade that occurs.

    The more hair curls, the less it shines: strands of a straight lock mirror light together, those
    of a curl, each at another place, would sparkle.
    """
    roughness, specular = 0.4 + 0.2 * curl, 0.35 - 0.25 * curl
    bright = brightened(color)
    colors = [lighter(bright, factor) for _, factor in SHADES] + [GRAY]
    parts = []
    for shade, shaded in enumerate(colors):
        chosen = points_NK3[shade_N == shade]
        if len(chosen):
            material = Material("hair", shaded, roughness=roughness, specular=specular,
                                tip_color=lighter(shaded, 1.25))  # fmt: skip
            parts.append(
                StrandsPart(f"hair{shade}", Label.HAIR, chosen, radius, material, tip, fixed=True)
            )
    return parts
