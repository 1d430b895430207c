"""Five points of heads in a pose, for tests of what reads them."""

from __future__ import annotations

import numpy as np

from factory.sources.alignment import TEMPLATE_52, mirrored_points


def head(yaw: float, pitch: float = 0.0) -> np.ndarray:
    """The template's points with the nose where a head that turns would have it."""
    points = TEMPLATE_52.copy()
    points[2, 0] += np.tan(np.radians(yaw)) / 2 * 32
    points[2, 1] -= np.tan(np.radians(pitch)) / 2 * 40.7
    return points


def many_heads(count: int = 400) -> np.ndarray:
    """Heads of yaw -40 to 40 and pitch -15 to 15 degrees, [count, 5, 2]."""
    rng = np.random.default_rng(0)
    yaw, pitch = rng.uniform(-40, 40, count), rng.uniform(-15, 15, count)
    return np.stack([head(*pose) for pose in zip(yaw, pitch, strict=True)])


def with_mirrors(points: np.ndarray) -> np.ndarray:
    return np.stack([points, mirrored_points(points, 112)])
