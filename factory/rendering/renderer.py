"""A person and a view as an image, with the truth about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.accessories import accessory_parts
from factory.rendering.backgrounds import background_HWC
from factory.rendering.camera import developed
from factory.rendering.clothes import clothes_parts
from factory.rendering.eyes import eye_parts, mouth_parts
from factory.rendering.facial_hair import beard_parts, brow_parts
from factory.rendering.frame import frame_of
from factory.rendering.hair import hair_parts
from factory.rendering.hat_hair import under_hat
from factory.rendering.head import Head, head_model
from factory.rendering.lashes import lash_parts
from factory.rendering.parts import Label, Part
from factory.rendering.scene import SceneRenderer
from factory.rendering.skin import skin_part
from factory.rendering.traits import Person
from factory.rendering.view import View

FACE = (Label.SKIN, Label.EYES, Label.MOUTH, Label.BROWS, Label.BEARD)


@dataclass(frozen=True)
class RenderedImage:
    """An aligned face and what is true of it."""

    image_HWC: np.ndarray
    """RGB uint8."""
    landmarks_52: np.ndarray
    """Eyes, nose tip, mouth corners in pixels (x, y)."""
    landmarks_68x2: np.ndarray
    labels_HW: np.ndarray
    """uint8 values of parts.Label."""
    occluded_fraction: float
    """Of the pixels of the face, those that sunglasses, masks, scarves, hands or hats hide."""


class Renderer:
    """Renders people; what is fixed of the last person is kept."""

    def __init__(self, config: RenderingConfig, image_px: int = 112, zoom: float = 1.0) -> None:
        self._model = head_model()
        self._config, self._image_px, self._zoom = config, image_px, zoom
        self._scenes = SceneRenderer(config.variant, config.samples, config.max_depth)

    def render(self, person: Person, view: View) -> RenderedImage:
        """One image; the same person and view give the same bytes, whatever was rendered before."""
        head = self._model.shaped(person.shape, view.expression)
        frame = frame_of(head, view, self._image_px, self._zoom)
        parts = self._parts(head, person, view)
        light_HWC, alpha_HW, shown_HW = self._scenes.render(parts, view.light, frame, view.seed)
        values = np.array([part.label for part in parts] + [Label.BACKGROUND], np.uint8)
        labels = values[np.where(shown_HW < 0, len(parts), np.minimum(shown_HW, len(parts)))]
        behind = background_HWC(view, self._image_px)
        whole = light_HWC + (1 - alpha_HW[..., None]) * behind
        image = developed(whole, labels == Label.SKIN, view.camera, view.seed)
        points = frame.pixels(np.concatenate([head.five_53, head.landmarks_68x3]))
        return RenderedImage(image, points[:5], points[5:], labels, 0.0)

    def _parts(self, head: Head, person: Person, view: View) -> list[Part]:
        model, neutral = self._model, self._model.shaped(person.shape, ())
        parts: list[Part] = [skin_part(model, head, person)]
        parts += eye_parts(model, head, person, view.gaze)
        parts += mouth_parts(model, head, person)
        if self._config.hair:
            hair = hair_parts(model, neutral, person, view.hair)
            parts += under_hat(hair, model, head, view.wear)
            parts += brow_parts(model, head, person) + beard_parts(model, head, person)
        parts += lash_parts(model, head, person)
        return [
            *parts,
            *accessory_parts(model, head, person, view),
            *clothes_parts(model, head, person, view),
        ]
