"""Rendered people by number as a source: nothing lies anywhere, an image is made when it is read.

What was rendered is kept on this machine, below $XDG_CACHE_HOME/face-factory/rendered, a file a
person, named by all that decides pixels. A file appears whole, and every process that renders a
person writes the same bytes, so several may fill the folder at once, and one that was cut off goes
on. Of many people, render a release first and train on that: a fleet does it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from factory.config import SourceConfig, as_dict
from factory.errors import SourceError
from factory.sources.base import SourceFace
from factory.sources.left_out import LeftOut
from factory.store.atomic import dispensable, write_atomically
from factory.store.cache import PLACE, cache_root

if TYPE_CHECKING:  # the room of rendering is on this floor and reads alignment.py
    from factory.rendering.renderer import Renderer

NOT_OF_PIXELS = ("first_person", "masks")
"""Keys of section rendering that change no pixel of a person."""
KEPT_PEOPLE = 4
"""People whose images are kept in memory, because images are read person by person."""
FOLDER = "rendered"


class RenderedSource:
    """A FaceSource of people by number; keys are NNNNNN/JJ."""

    corrupt: Sequence[str] = ()
    left_out: Sequence[LeftOut] = ()
    remarks: Sequence[str] = ()

    def __init__(self, config: SourceConfig) -> None:
        if config.num_identities is None:
            raise SourceError(
                "source.num_identities: nothing given for source.kind=rendered, which has no last "
                "one; want how many, as in source.num_identities=200"
            )
        self._config, self._each = config, config.images_per_person
        last = config.first_person + config.num_identities - 1
        self._numbers = range(config.first_person, last + 1)
        digits = max(6, len(str(last)))
        self.names = [f"{number:0{digits}d}" for number in self._numbers]
        self.labels = np.repeat(np.arange(len(self.names), dtype=np.int64), self._each)
        self._look = _digest(self._look_facts())
        self.fingerprint = _digest([self._look, config.first_person, len(self.names), self._each])
        self._person = lru_cache(KEPT_PEOPLE)(self._images_of)
        self._renderer: Renderer | None = None

    @property
    def keys(self) -> list[str]:
        digits = max(2, len(str(self._each - 1)))
        return [f"{name}/{image:0{digits}d}" for name in self.names for image in range(self._each)]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> SourceFace:
        label, image = divmod(range(len(self))[index], self._each)
        images_JHWC, landmarks_J52 = self._person(label)
        key = f"{self.names[label]}/{image:0{max(2, len(str(self._each - 1)))}d}"
        return SourceFace(images_JHWC[image], label, key, landmarks_J52[image])

    def encoded(self, index: int) -> bytes:
        """The image as PNG, whose pixels are those that were rendered."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(self[index].image_HWC).save(buffer, "PNG")
        return buffer.getvalue()

    def _look_facts(self) -> dict[str, object]:
        """All that decides the pixels of a person's images."""
        from factory.rendering.numbers import renderer_sha256

        rendering = as_dict(self._config.rendering)
        return {
            "rendering": {k: v for k, v in rendering.items() if k not in NOT_OF_PIXELS},
            "image_px": self._config.image_px,
            "zoom": self._config.zoom,
            "renderer": renderer_sha256(),
        }

    def _images_of(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """(images [J, H, W, 3], landmarks [J, 5, 2]) of a person, from the disk or rendered."""
        from factory.rendering.people.people import draw_person
        from factory.rendering.views.images import draw_view

        folder = cache_root() / FOLDER / self._look[:32]
        file = folder / f"{self.names[label]}-{self._each:04d}.npz"
        if file.is_file():
            return _read(file)
        rendering = self._config.rendering
        person = draw_person(rendering, self._numbers[label])
        views = [draw_view(rendering, person, image) for image in range(self._each)]
        made = [self._opened().render(person, view) for view in views]
        images_JHWC = np.stack([one.image_HWC for one in made])
        landmarks_J52 = np.stack([one.landmarks_52 for one in made])
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=images_JHWC, landmarks=landmarks_J52)
        with dispensable(PLACE):  # where nothing can be kept, it is rendered again
            write_atomically(file, buffer.getvalue(), PLACE, durable=False)
        return images_JHWC, landmarks_J52

    def _opened(self) -> Renderer:
        if self._renderer is None:
            from factory.rendering.renderer import Renderer

            config = self._config
            self._renderer = Renderer(config.rendering, config.image_px, config.zoom)
        return self._renderer


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(file, allow_pickle=False) as arrays:
        return arrays["images"], arrays["landmarks"]


def _digest(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True, allow_nan=False).encode()).hexdigest()
