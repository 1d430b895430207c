"""Smooth noise in space: value noise on a periodic lattice, summed over octaves.

Perlin 1985, "An image synthesizer", with values at the lattice's points in place of gradients.
"""

from __future__ import annotations

import numpy as np

LATTICE = 32
"""Cells along each axis before the noise repeats."""


def noise(points_N3: np.ndarray, frequency: float, seed: list[int], octaves: int = 1) -> np.ndarray:
    """Noise [N] of mean 0 and standard deviation about 1 at points; `frequency` in cells a unit.

    Each further octave has twice the frequency and half the amplitude.
    """
    rng = np.random.default_rng(seed)
    total, power = np.zeros(len(points_N3), np.float32), 0.0
    for octave in range(octaves):
        values = rng.standard_normal((LATTICE,) * 3).astype(np.float32)
        offset = rng.uniform(0, LATTICE, 3).astype(np.float32)
        amplitude = 0.5**octave
        total += amplitude * _interpolated(values, points_N3 * (frequency * 2**octave) + offset)
        power += amplitude**2
    return np.asarray(total / (STD * np.sqrt(power)))


STD = (26 / 35) ** 1.5
"""Standard deviation of one octave: each axis mixes two values by 3 t^2 - 2 t^3 and the rest."""


def _interpolated(values: np.ndarray, points_N3: np.ndarray) -> np.ndarray:
    """Values between the lattice's points, with smooth steps of Perlin's cubic."""
    whole = np.floor(points_N3)
    part = (points_N3 - whole).astype(np.float32)
    x, y, z = (part * part * (3 - 2 * part)).T
    low = whole.astype(np.int64) % LATTICE
    high = (low + 1) % LATTICE
    flat = values.ravel()
    rows = [low[:, 0] * LATTICE**2, high[:, 0] * LATTICE**2]
    columns = [low[:, 1] * LATTICE, high[:, 1] * LATTICE]
    total = np.zeros(len(points_N3), np.float32)
    for across, wx in zip(rows, (1 - x, x), strict=True):
        for up, wy in zip(columns, (1 - y, y), strict=True):
            base, weight = across + up, wx * wy
            total += weight * ((1 - z) * flat[base + low[:, 2]] + z * flat[base + high[:, 2]])
    return total
