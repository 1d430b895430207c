"""What is behind a head: rooms, streets, trees, walls, out of focus."""

from __future__ import annotations

import numpy as np

from factory.rendering.view import View

KINDS = ("plain",)


def background_HWC(view: View, side_px: int) -> np.ndarray:
    """Linear RGB float32 [side, side, 3] that fills the image behind the head."""
    rng = np.random.default_rng([view.seed, 7])
    color = np.abs(0.25 + 0.15 * rng.standard_normal(3))
    return np.tile(color.astype(np.float32), (side_px, side_px, 1))
