"""A person and a view as an image, with the truth about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.hair.facial_hair import beard_parts, brow_parts
from factory.rendering.hair.hair import hair_parts
from factory.rendering.hair.hat_hair import under_hat
from factory.rendering.hair.lashes import lash_parts
from factory.rendering.head.head import Head, head_model
from factory.rendering.parts import Label, Part
from factory.rendering.people.people import aged_shape
from factory.rendering.scene.frame import Frame, frame_of
from factory.rendering.scene.scene import SceneRenderer
from factory.rendering.skin.eyes import eye_parts, mouth_parts
from factory.rendering.skin.skin import skin_part
from factory.rendering.traits import Person
from factory.rendering.view import HairState, View
from factory.rendering.views.backgrounds import background_HWC
from factory.rendering.views.camera import developed
from factory.rendering.wear.accessories import accessory_parts
from factory.rendering.wear.clothes import clothes_parts

FACE = (Label.SKIN, Label.EYES, Label.MOUTH, Label.BROWS, Label.BEARD)
OCCLUDERS = (Label.SUNGLASSES, Label.OCCLUDER, Label.HAT)
KEPT_HAIR = 8
"""Hair of so many people and states is kept, since strands are the slowest part to make."""


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
    """Renders people; hair of the last people is kept."""

    def __init__(self, config: RenderingConfig, image_px: int = 112, zoom: float = 1.0) -> None:
        self._model = head_model()
        self._config, self._image_px, self._zoom = config, image_px, zoom
        self._scenes = SceneRenderer(
            config.variant, config.samples, config.max_depth, config.denoise
        )
        self._hair: dict[tuple[Person, HairState], list[Part]] = {}

    def render(self, person: Person, view: View) -> RenderedImage:
        """One image; the same person and view give the same bytes, whatever was rendered before."""
        head = self._model.shaped(aged_shape(person, view.age_drift), view.expression)
        frame = frame_of(head, view, self._image_px, self._zoom)
        parts = self._parts(head, person, view)
        traced = self._scenes.render(parts, view.light, frame, view.seed)
        labels = labels_of(parts, traced.shown_HW)
        occluded = self._occluded_fraction(parts, labels, frame)
        behind = background_HWC(view, self._image_px)
        whole = traced.light_HWC + (1 - traced.alpha_HW[..., None]) * behind
        image = developed(whole, labels == Label.SKIN, view.camera, view.seed)
        points = frame.pixels(np.concatenate([head.five_53, head.landmarks_68x3]))
        return RenderedImage(image, points[:5], points[5:], labels, occluded)

    def _occluded_fraction(self, parts: list[Part], labels: np.ndarray, frame: Frame) -> float:
        """Of the pixels that show face without occluders, those that show an occluder with them."""
        without = [part for part in parts if part.label not in OCCLUDERS]
        if len(without) == len(parts):
            return 0.0
        face = np.isin(labels_of(without, self._scenes.shown(without, frame)), FACE)
        return float((face & np.isin(labels, OCCLUDERS)).sum() / max(face.sum(), 1))

    def _parts(self, head: Head, person: Person, view: View) -> list[Part]:
        model = self._model
        parts: list[Part] = [skin_part(model, head, person)]
        parts += eye_parts(model, head, person, view.gaze)
        parts += mouth_parts(model, head, person)
        if self._config.hair:
            hair = self._hair_parts(person, view.hair)
            parts += under_hat(hair, model, head, view.wear)
            parts += brow_parts(model, head, person) + beard_parts(model, head, person)
        parts += lash_parts(model, head, person)
        return [
            *parts,
            *accessory_parts(model, head, person, view),
            *clothes_parts(model, head, person, view),
        ]

    def _hair_parts(self, person: Person, state: HairState) -> list[Part]:
        """The same objects for the same person and state, so that their shapes are kept too."""
        key = person, state
        parts = self._hair.pop(key, None)
        if parts is None:
            neutral = self._model.shaped(person.shape, ())
            parts = hair_parts(self._model, neutral, person, state)
        self._hair[key] = parts
        if len(self._hair) > KEPT_HAIR:
            del self._hair[next(iter(self._hair))]
        return parts


def labels_of(parts: list[Part], shown_HW: np.ndarray) -> np.ndarray:
    """uint8 labels [H, W] of the parts that pixels show; -1 is the background."""
    values = np.array([part.label for part in parts] + [Label.BACKGROUND], np.uint8)
    return np.asarray(values[shown_HW])
