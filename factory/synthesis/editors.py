"""Edits faces that exist, as a Generator: a region redrawn or painted, all else put back to the bit
(Mask-ControlNet, METHODS 4). What comes into a region is paints.py's business.

Shapes: B the slots of a batch, px the side of a face; images RGB uint8 [B, px, px, 3].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from factory.editing.occluders import NUM_PAINTS, blend, classic
from factory.editing.regions import NUM_DRAWS, Regions, regions
from factory.editing.segmenters import Segmenter
from factory.quality.scores import Measure
from factory.recognition.embed import Embedder
from factory.records import Shot
from factory.seeds import stream_seed
from factory.sources import FaceSource
from factory.sources.alignment import YuNet, points_of

LARGEST_MISS = 0.03
"""A region that misses the share it shall hide by more is none."""
LOOKED_AT = 512
"""Originals that are kept decoded, with their points."""
GREY = 127


@dataclass(frozen=True)
class Edits:
    """A batch of edits, by slot: slots without a shot hold black images and no region."""

    shots: list[Shot]
    images_BHWC: np.ndarray
    found: Regions
    kinds: list[str]

    @property
    def rows(self) -> list[int]:
        return [shot.slot for shot in self.shots]


Inpainter = Callable[[Edits], np.ndarray]
"""What comes into the regions [B, px, px, 3], uint8."""


class Originals:
    """The source's faces by key, and where their five points lie."""

    def __init__(self, source: FaceSource, detector: YuNet | None) -> None:
        self._place = {key: place for place, key in enumerate(source.keys)}
        self._source, self._detector = source, detector
        self.look = lru_cache(LOOKED_AT)(self._look)

    def _look(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """(RGB uint8 [px, px, 3], points [5, 2], NaN where none are found)."""
        image = self._source[self._place[key]].image_HWC
        return image, points_of(image[None], self._detector)[0]


class Editor:
    """Redraws, paints, or changes as a whole; an image that cannot be edited stays as it was, for
    the filters to reject."""

    def __init__(
        self,
        originals: Originals,
        inpaint: Inpainter | None,
        image_px: int,
        soft_px: float,
        segmenter: Segmenter | None = None,
    ) -> None:
        """Without `paint` images are changed as a whole (classic augmentation)."""
        self._originals, self._inpaint = originals, inpaint
        self._px, self._soft_px, self._segmenter = image_px, soft_px, segmenter
        self._last: tuple[list[Shot], Edits] | None = None
        self._batch_size = 0

    @property
    def remarks(self) -> list[str]:
        """What a commit record should tell."""
        return list(getattr(self._inpaint, "remarks", []))

    def generate(self, shots: list[Shot], batch_size: int) -> np.ndarray:
        self._batch_size = max(self._batch_size, batch_size)
        edits = self.edits(shots, batch_size)
        self._last = (shots, edits)
        if self._inpaint is None:
            images = edits.images_BHWC.copy()
            draws = np.stack([draws_of(shot, "classic", NUM_PAINTS) for shot in shots])
            images[edits.rows] = classic(images[edits.rows], draws)
            return images
        return blend(edits.images_BHWC, self._inpaint(edits), edits.found.alpha_NHW)

    def edits(self, shots: list[Shot], batch_size: int) -> Edits:
        """Originals and regions of a batch."""
        images = np.zeros((batch_size, self._px, self._px, 3), np.uint8)
        points, draws = np.full((batch_size, 5, 2), np.nan), np.zeros((batch_size, NUM_DRAWS))
        kinds, shares = ["blocks"] * batch_size, [0.0] * batch_size
        for shot in shots:
            images[shot.slot], points[shot.slot] = self._originals.look(shot.original)
            draws[shot.slot] = draws_of(shot, "region", NUM_DRAWS)
            if self._inpaint is not None:
                kinds[shot.slot], shares[shot.slot] = shot.edit, float(shot.occlusion or 0)
        faces = self._segmenter.faces(images, points) if self._segmenter else None
        found = regions(
            points, kinds, shares, draws, self._px, soft_px=self._soft_px, face_NHW=faces
        )
        return Edits(shots, images, _only_near(found, shares), kinds)

    def measures(self, embedder: Embedder) -> dict[str, Measure]:
        """How much of the original is left: cosine to it, to what stays visible of it, and the
        share of the face that is hidden."""

        def to_original(shots: list[Shot], _: np.ndarray, unit_BD: np.ndarray) -> np.ndarray:
            edits = self._edits_again(shots)
            original_BD = embedder.embed(edits.images_BHWC)
            return np.asarray((unit_BD * original_BD[edits.rows]).sum(1))

        def to_visible(shots: list[Shot], _: np.ndarray, unit_BD: np.ndarray) -> np.ndarray:
            edits = self._edits_again(shots)
            grey = np.full_like(edits.images_BHWC, GREY)
            visible_BD = embedder.embed(blend(edits.images_BHWC, grey, edits.found.alpha_NHW))
            return np.asarray((unit_BD * visible_BD[edits.rows]).sum(1))

        def hidden(shots: list[Shot], _: np.ndarray, __: np.ndarray) -> np.ndarray:
            edits = self._edits_again(shots)
            shares = np.where(edits.found.usable_N, edits.found.fractions_N, np.nan)
            return np.asarray(shares[edits.rows])

        known = {"original_cosine": to_original}
        if self._inpaint is not None:
            known |= {"visible_cosine": to_visible, "occluded": hidden}
        return known

    def _edits_again(self, shots: list[Shot]) -> Edits:
        """Those of the batch that was generated last, or of one that was cut up since."""
        if self._last and self._last[0] is shots:
            return self._last[1]
        return self.edits(shots, self._batch_size)


def draws_of(shot: Shot, what: str, count: int) -> np.ndarray:
    """Numbers in [0, 1) of a shot, the same on every machine."""
    return np.random.Generator(np.random.Philox(stream_seed(shot.seed, what))).random(count)


def _only_near(found: Regions, shares: list[float]) -> Regions:
    """Regions that hide what they shall; others are none."""
    missed = np.abs(found.fractions_N - np.array(shares)) > LARGEST_MISS
    usable_N = found.usable_N & ~missed
    alpha = found.alpha_NHW * usable_N[:, None, None]
    return replace(found, alpha_NHW=alpha, usable_N=usable_N)
