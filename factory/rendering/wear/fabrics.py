"""Colors of cloth: plain, striped, checked, knitted or speckled."""

from __future__ import annotations

import numpy as np

PATTERNS = ("plain", "stripes", "checks", "knit", "flecks")


def fabric_colors(
    along_cm: np.ndarray, across_cm: np.ndarray, color: np.ndarray, pattern: str, seed: int
) -> np.ndarray:
    """Linear RGB [..., 3] of cloth at places measured in centimeters; a pattern of PATTERNS.

    `along_cm` runs from collar to hem or from rim to crown, `across_cm` around the body.
    """
    rng = np.random.default_rng([seed, 31])
    width = float(rng.uniform(1.5, 3.5))
    other = np.clip(
        color * rng.uniform(0.25, 0.6) + rng.random(3) * rng.choice([0.05, 0.5]), 0, 0.9
    )
    along_cm, across_cm = np.broadcast_arrays(along_cm, across_cm)
    down, around = _bands(along_cm, width), _bands(across_cm, width)
    share = {
        "plain": np.zeros(along_cm.shape),
        "stripes": down if rng.random() < 0.7 else around,
        "checks": 0.5 * (down + around),
        "knit": 0.15 + 0.15 * np.sin(across_cm * 7),
        "flecks": (rng.random(along_cm.shape) < 0.2) * 0.6,
    }[pattern][..., None]
    uneven = 1 + 0.05 * rng.standard_normal((*along_cm.shape, 1))
    return np.asarray(np.clip((color * (1 - share) + other * share) * uneven, 0.005, 0.9))


def draw_pattern(seed: int, plain: float = 0.6) -> str:
    """A pattern of PATTERNS; `plain` of them are plain."""
    rng = np.random.default_rng([seed, 32])
    return "plain" if rng.random() < plain else str(rng.choice(PATTERNS[1:]))


def _bands(at_cm: np.ndarray, width_cm: float) -> np.ndarray:
    """1 within every second band, 0 in the others."""
    return np.asarray(np.mod(at_cm, 2 * width_cm) < width_cm, float)
