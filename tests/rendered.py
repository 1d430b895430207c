"""Releases of rendered people that take a second: a renderer of known pixels, or tiny renders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from factory.config import Config, RenderingConfig, load
from factory.rendering.parts import Label
from factory.rendering.renderer import RenderedImage
from factory.rendering.traits import Person
from factory.rendering.view import View
from factory.sources.alignment import TEMPLATE_52

PX = 32


class KnownPixels:
    """Renders a flat color of the person with a square of the view; a quarter of it is hidden.

    Left half skin, right half hair, and the top left quarter an occluder: so the occluded fraction
    is half of what the face would take.
    """

    def __init__(self, config: RenderingConfig, image_px: int = PX, zoom: float = 1.0) -> None:
        self._px = image_px

    def render(self, person: Person, view: View) -> RenderedImage:
        px, half = self._px, self._px // 2
        image = np.full((px, px, 3), 60 + person.seed % 120, np.uint8)
        image[: 1 + view.seed % half, :half] = 40 + view.seed % 180
        image[half:, half:] = np.arange(px - half, dtype=np.uint8)[:, None, None] * 3
        labels = np.full((px, px), Label.HAIR, np.uint8)
        labels[:, :half] = Label.SKIN
        labels[:half, :half] = Label.OCCLUDER
        points = TEMPLATE_52 * (px / 112)
        many = np.resize(points, (68, 2)) + view.pose.yaw / 100
        return RenderedImage(image, points, many, labels, 0.5)


def rendered_dotlist(weights: Path, store: Path) -> list[str]:
    """4 people x 2 images in 2 units, measured by untrained networks against 3 other people."""
    return [
        f"recognizer.checkpoint={weights / 'recognizer'}",
        f"judge.checkpoint={weights / 'judge'}",
        "source.kind=rendered",
        "source.num_identities=3",
        "source.images_per_person=2",
        "source.first_person=1000",
        f"source.image_px={PX}",
        "rendering.hair=false",
        "rendering.samples=1",
        "rendering.camera=clean",
        "identities.proposal=rendered",
        "identities.num_virtual=4",
        "plan.images_per_identity=2",
        "plan.identities_per_unit=2",
        "plan.micro_batch=2",
        "plan.max_rounds=2",
        "filters.min_own_cosine=null",
        "filters.min_identity_gap=null",
        "filters.min_brightness=null",
        "filters.max_brightness=null",
        "audit.max_leak_fraction=1",
        "compute.device=cpu",
        "fleet.runner=inline",
        "store.min_free_bytes=0",
        f"store.url={store}",
        "release.method=render",
        "release.dataset=rendered",
    ]


def rendered_config(weights: Path, folder: Path, *dotlist: str) -> Config:
    """The config of that release, in a store below `folder`."""
    file = folder / "rendered.yaml"
    file.write_text("{}\n")
    return load(file, [*rendered_dotlist(weights, folder / "store"), *dotlist])
