"""People by number as path-traced heads, with the truth of each image."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np

from factory.config import RenderingConfig
from factory.records import DrawnBatch, Rendered, Shot
from factory.rendering.people.people import draw_person
from factory.rendering.renderer import RenderedImage
from factory.rendering.traits import Person
from factory.rendering.truth import rendered
from factory.rendering.view import View
from factory.rendering.views.images import draw_view
from factory.shots.plan import view_number

KEPT_PEOPLE = 64
"""People whose traits are kept: more than a unit's batches mix."""


class Renders(Protocol):
    """What turns a person and a view into pixels: rendering.renderer.Renderer."""

    def render(self, person: Person, view: View) -> RenderedImage: ...


class RenderGenerator:
    """Renders each shot by itself: an image depends on the numbers of its person and view alone."""

    def __init__(
        self,
        rendering: RenderingConfig,
        person_of: Callable[[int], int],
        open_renderer: Callable[[], Renders],
        image_px: int,
    ) -> None:
        """`person_of` gives a person's number by identity; the renderer is opened when it is used.

        Because variants of Mitsuba belong to a thread, that is the thread that draws.
        """
        self._rendering, self._person_of, self._image_px = rendering, person_of, image_px
        self._open = open_renderer
        self._renderer: Renders | None = None
        self._people = lru_cache(KEPT_PEOPLE)(lambda number: draw_person(rendering, number))

    @property
    def remarks(self) -> list[str]:
        return []

    def generate(self, shots: list[Shot], batch_size: int) -> DrawnBatch:
        """The images of the shots by slot; what is no shot's is black."""
        images_BHWC = np.zeros((batch_size, self._image_px, self._image_px, 3), np.uint8)
        truths: dict[int, Rendered] = {}
        for shot in shots:
            person = self._people(self._person_of(shot.identity))
            view = draw_view(self._rendering, person, view_number(shot.image, shot.attempt))
            image = self._opened().render(person, view)
            images_BHWC[shot.slot] = image.image_HWC
            truths[shot.slot] = rendered(person, view, image)
        return DrawnBatch(images_BHWC, rendered=truths)

    def _opened(self) -> Renders:
        if self._renderer is None:
            self._renderer = self._open()
        return self._renderer
