"""Styles of hair as rows of a table: how long it is where, and which way it lies."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class HairStyle:
    """One style. Lengths and heights in centimeters at the usual length of its kind."""

    top: float
    sides: float
    back: float
    fringe: float
    """Length of the strands behind the forehead's hairline."""
    away: float = 0.0
    """How strongly the top is combed away from the parting; negative: toward it."""
    backward: float = 0.0
    """How strongly the top is combed to the back; negative: forward."""
    fringe_backward: float = 0.0
    lift: float = 0.3
    """How upright strands leave the skin: 0 flat, 1 along the normal."""
    volume: float = 0.8
    """How high above the skin the outermost strands of the top lie."""
    side_volume: float = 0.4
    hold: float = 0.6
    """How strictly strands keep that height: 0 as they fall, 1 close to it."""
    gravity: float = 0.3
    comb_cm: float = 8.0
    """Along a strand, after which the comb no longer guides it."""
    clump: float = 0.5
    """How far the tips of a lock come together: 0 not, 1 wholly."""
    num_clumps: int = 350
    curl: tuple[float, float] = (0.0, 0.3)
    """Least and most curl that the style can have."""
    frizz: float = 0.12
    """Spread of the strands' directions."""
    covers_forehead: bool = False
    """A fringe is meant: strands may end before the forehead, above the eyes."""
    over_ears: bool = False
    tied: Literal["ponytail", "bun"] | None = None
    cap: bool = True
    """Whether the skin beneath is covered in the hair's color."""
    num_strands: int = 9000
    num_points: int = 8
    radius: float = 0.035
    soft_cm: float = 1.0
    """Behind the hairline, where hair becomes as dense as elsewhere."""
    recession: float = 0.0
    """The least recession."""


STYLES: dict[str, HairStyle | None] = {
    "bald": None,
    "shaved": HairStyle(
        0.25, 0.22, 0.22, 0.22, lift=0.5, volume=0.2, side_volume=0.2, clump=0.0, cap=False,
        num_strands=10000, num_points=5, radius=0.024, frizz=0.25, curl=(0, 0), soft_cm=1.6,
    ),
    "buzz": HairStyle(
        0.7, 0.45, 0.45, 0.6, backward=-0.4, lift=0.6, volume=0.5, side_volume=0.35, clump=0.1,
        num_strands=10000, num_points=5, radius=0.032, frizz=0.25, curl=(0, 0.1), soft_cm=1.3,
    ),
    "crew": HairStyle(
        2.2, 0.8, 0.8, 2.2, backward=-0.3, away=0.3, fringe_backward=0.3, lift=0.55, volume=1.4,
        side_volume=0.4, hold=0.3, clump=0.3, frizz=0.22, curl=(0, 0.3), num_points=6,
    ),
    "short_side_part": HairStyle(
        5.5, 1.2, 1.3, 6.5, away=0.8, backward=0.5, fringe_backward=0.4, lift=0.4, volume=1.8,
        side_volume=0.5, gravity=0.25, clump=0.45, frizz=0.1,
    ),
    "short_textured": HairStyle(
        4.5, 1.4, 1.4, 3.8, away=0.25, backward=-0.7, fringe_backward=-0.7, lift=0.5, volume=1.8,
        side_volume=0.5, hold=0.4, clump=0.75, num_clumps=260, frizz=0.28, curl=(0, 0.45),
        covers_forehead=True,
    ),
    "quiff": HairStyle(
        5.5, 1.2, 1.2, 6.5, away=0.15, backward=0.9, fringe_backward=0.6, lift=0.9, volume=3.6,
        side_volume=0.4, hold=0.0, gravity=0.05, soft_cm=0.7, clump=0.6, num_clumps=260, frizz=0.12,
    ),
    "bob": HairStyle(
        20.0, 15.0, 12.0, 17.0, away=1.0, backward=0.3, fringe_backward=0.5, lift=0.3, volume=1.4,
        side_volume=1.3, gravity=0.6, comb_cm=5, clump=0.5, frizz=0.05, over_ears=True,
        num_points=10, num_strands=16000, radius=0.045,
        soft_cm=0.5,
    ),
    "medium_straight": HairStyle(
        24.0, 19.0, 17.0, 22.0, away=0.9, backward=0.5, fringe_backward=0.6, lift=0.3, volume=1.2,
        side_volume=1.1, gravity=0.6, comb_cm=6, clump=0.5, frizz=0.06, over_ears=True,
        num_points=10, num_strands=16000, radius=0.045,
        soft_cm=0.5,
    ),
    "long_straight": HairStyle(
        38.0, 32.0, 30.0, 36.0, away=0.9, backward=0.5, fringe_backward=0.6, lift=0.25, volume=1.0,
        side_volume=1.0, gravity=0.6, comb_cm=6, clump=0.6, frizz=0.05, over_ears=True,
        num_points=10, num_strands=15000, radius=0.048,
        curl=(0, 0.15), soft_cm=0.5,
    ),
    "long_wavy": HairStyle(
        36.0, 32.0, 30.0, 34.0, away=0.9, backward=0.5, fringe_backward=0.6, lift=0.35, volume=1.7,
        side_volume=1.8, gravity=0.5, comb_cm=6, clump=0.75, num_clumps=220, frizz=0.1,
        over_ears=True, num_points=14, num_strands=11000, radius=0.055, curl=(0.3, 0.5),
        soft_cm=0.5,
    ),
    "curly_medium": HairStyle(
        15.0, 12.0, 12.0, 11.0, away=0.7, backward=0.0, fringe_backward=0.1, lift=0.6, volume=2.6,
        side_volume=2.4, gravity=0.45, hold=0.4, comb_cm=5, clump=0.9, num_clumps=260, frizz=0.18,
        over_ears=True, num_points=18, num_strands=7000, radius=0.05, curl=(0.55, 0.8),
    ),
    "afro": HairStyle(
        7.0, 6.0, 6.0, 5.5, lift=1.0, volume=5.0, side_volume=4.0, gravity=0.0, hold=0.0,
        clump=0.5, num_clumps=500, frizz=0.3, num_points=16, num_strands=5000, radius=0.05,
        curl=(0.9, 1.0),
    ),
    "ponytail": HairStyle(
        30.0, 26.0, 24.0, 30.0, lift=0.15, volume=0.5, side_volume=0.3, hold=0.9, gravity=0.0,
        clump=0.5, frizz=0.03, tied="ponytail", num_strands=12000, num_points=9,
        soft_cm=0.4, radius=0.042,
    ),
    "bun": HairStyle(
        28.0, 24.0, 22.0, 28.0, lift=0.15, volume=0.6, side_volume=0.3, hold=0.9, gravity=0.0,
        clump=0.5, frizz=0.04, tied="bun", num_strands=12000, num_points=9,
        soft_cm=0.4, radius=0.042,
    ),
    "receding_short": HairStyle(
        2.6, 1.2, 1.2, 2.2, backward=0.4, fringe_backward=0.3, lift=0.4, volume=0.8,
        side_volume=0.4, clump=0.35, frizz=0.18, num_points=6, recession=0.5, soft_cm=1.8,
    ),
}  # fmt: skip
"""By name; None: no hair at all."""


def personal(style: HairStyle, seed: int) -> HairStyle:
    """A style as one person wears it: fuller or flatter, more or less parted, swept elsewhere."""
    fuller, lifted, swept, backward, locks = np.random.default_rng([seed, 320]).normal(0, 1, 5)
    return replace(
        style,
        volume=style.volume * float(np.exp(0.25 * fuller)),
        side_volume=style.side_volume * float(np.exp(0.2 * fuller)),
        lift=float(np.clip(style.lift * np.exp(0.2 * lifted), 0, 1)),
        away=style.away * float(np.exp(0.25 * swept)),
        backward=style.backward + 0.12 * float(backward),
        fringe_backward=style.fringe_backward + 0.15 * float(backward),
        clump=float(np.clip(style.clump * np.exp(0.2 * locks), 0, 0.95)),
    )
