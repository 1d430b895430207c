"""Light of an image: how it is drawn."""

from __future__ import annotations

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.view import AreaLight, Light

KINDS = ("studio",)


def draw_light(config: RenderingConfig, rng: np.random.Generator) -> Light:
    """Light for one image."""
    return Light(areas=(AreaLight((0.5, 0.5, 0.70711), 120.0, 60.0, (9.0, 8.5, 8.0)),))
