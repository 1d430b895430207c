"""From the light that a camera catches to the bytes of a photograph."""

from __future__ import annotations

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.view import Camera


def draw_camera(config: RenderingConfig, rng: np.random.Generator) -> Camera:
    """A camera for one image."""
    return Camera()


def developed(light_HWC: np.ndarray, face_HW: np.ndarray, camera: Camera, seed: int) -> np.ndarray:
    """RGB uint8 [H, W, 3] of linear light float32, exposed for the pixels of `face_HW`."""
    level = float(np.median(light_HWC[face_HW])) if face_HW.any() else float(light_HWC.mean())
    exposed = light_HWC * (0.3 / max(level, 1e-4)) * 2**camera.exposure
    encoded = np.clip(exposed, 0, 1) ** (1 / 2.2)
    return np.asarray((encoded * 255 + 0.5).astype(np.uint8))
