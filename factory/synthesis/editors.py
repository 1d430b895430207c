"""Edits faces that exist: a region is redrawn or painted, all else put back to the bit.

Mask-ControlNet, METHODS 4. What comes into a region is the business of inpainters.py.

Shapes: B the slots of a batch, px the side of a face; images RGB uint8 [B, px, px, 3].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np

from factory.editing.occluders import NUM_PAINTS, blend, classic
from factory.editing.regions import NUM_DRAWS, Regions, regions
from factory.editing.segmenters import Segmenter
from factory.quality.scores import Measure
from factory.recognition.embed import Embedder
from factory.records import DrawnBatch, Shot
from factory.seeds import stream_seed
from factory.sources import CorruptImageError, FaceSource
from factory.sources.alignment import points_of
from factory.sources.detector import YuNet

LARGEST_MISS = 0.03
"""A region that misses the fraction it is to hide by more is none."""
CACHED_ORIGINALS = 512
"""Originals that are kept decoded, with their points."""
GRAY = 127


@dataclass(frozen=True)
class Edits:
    """A batch of edits, by slot: slots without a shot hold black images and no region."""

    shots: list[Shot]
    images_BHWC: np.ndarray
    regions: Regions
    kinds: list[str]

    @property
    def rows(self) -> list[int]:
        return [shot.slot for shot in self.shots]


class Inpainter(Protocol):
    """Draws what comes into the regions of edited faces."""

    @property
    def remarks(self) -> list[str]:
        """What a commit record should tell of the making."""
        ...

    def __call__(self, edits: Edits) -> np.ndarray:
        """RGB uint8 [B, px, px, 3]; only the regions are used of it."""
        ...


class Originals:
    """The source's faces by what the roster calls them, and where their five points lie."""

    def __init__(
        self, source: FaceSource, detector: YuNet | None, source_keys: Mapping[str, str]
    ) -> None:
        """`source_keys` are the keys in the source of all that are edited."""
        index = {key: index for index, key in enumerate(source.keys)}
        self._index = {called: index[key] for called, key in source_keys.items()}
        self._source, self._detector = source, detector
        self.face_of = lru_cache(CACHED_ORIGINALS)(self._read)

    def _read(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """(RGB uint8 [px, px, 3], points [5, 2], NaN where none are found)."""
        try:
            image = self._source[self._index[key]].image_HWC
        except CorruptImageError:  # whose message has the key in the source
            raise CorruptImageError(f"{key}: cannot be read any more; repair the source") from None
        return image, points_of(image[None], self._detector)[0]


class Editor:
    """A generator that redraws or paints regions of originals, or changes them as a whole.

    An image that cannot be edited stays as it was, for the filters to reject.
    """

    def __init__(
        self,
        originals: Originals,
        inpaint: Inpainter | None,
        image_px: int,
        soft_px: float,
        segmenter: Segmenter | None = None,
    ) -> None:
        """Without `inpaint` images are changed as a whole (classic augmentation)."""
        self._originals, self._inpaint = originals, inpaint
        self._px, self._soft_px, self._segmenter = image_px, soft_px, segmenter

    @property
    def remarks(self) -> list[str]:
        """What a commit record should tell."""
        return self._inpaint.remarks if self._inpaint else []

    def generate(self, shots: list[Shot], batch_size: int) -> DrawnBatch:
        """Edit the originals of a batch; what they were comes along, to be compared with."""
        edits = self.edits(shots, batch_size)
        originals, alpha = edits.images_BHWC, edits.regions.alpha_NHW
        if self._inpaint is None:
            images = originals.copy()
            draws = np.stack([draws_of(shot, "classic", NUM_PAINTS) for shot in shots])
            images[edits.rows] = classic(images[edits.rows], draws)
            return DrawnBatch(images, originals)
        visible = blend(originals, np.full_like(originals, GRAY), alpha)
        occluded_B = np.where(edits.regions.usable_N, edits.regions.fractions_N, np.nan)
        images = blend(originals, self._inpaint(edits), alpha)
        return DrawnBatch(images, originals, visible, occluded_B)

    def edits(self, shots: list[Shot], batch_size: int) -> Edits:
        """Originals and regions of a batch."""
        images = np.zeros((batch_size, self._px, self._px, 3), np.uint8)
        points, draws = np.full((batch_size, 5, 2), np.nan), np.zeros((batch_size, NUM_DRAWS))
        kinds, fractions = ["blocks"] * batch_size, [0.0] * batch_size
        for shot in shots:
            images[shot.slot], points[shot.slot] = self._originals.face_of(shot.original)
            draws[shot.slot] = draws_of(shot, "region", NUM_DRAWS)
            if self._inpaint is not None:
                kinds[shot.slot], fractions[shot.slot] = shot.edit, float(shot.occlusion or 0)
        faces = self._segmenter.faces(images, points) if self._segmenter else None
        placed = regions(
            points, kinds, fractions, draws, self._px, soft_px=self._soft_px, face_NHW=faces
        )
        return Edits(shots, images, _only_near(placed, fractions), kinds)


def edit_measures(embedder: Embedder) -> dict[str, Measure]:
    """Scores of how much is left of an original.

    Cosine to it, cosine to what stays visible of it, and the fraction of the face that is hidden;
    NaN where a batch does not say.
    """

    def cosines(others_BHWC: np.ndarray | None, unit_BD: np.ndarray) -> np.ndarray:
        if others_BHWC is None:
            return np.full(len(unit_BD), np.nan)
        return np.asarray((unit_BD * embedder.embed(others_BHWC)).sum(1))

    def hidden(batch: DrawnBatch, unit_BD: np.ndarray) -> np.ndarray:
        return np.full(len(unit_BD), np.nan) if batch.occluded_B is None else batch.occluded_B

    return {
        "original_cosine": lambda batch, unit_BD: cosines(batch.originals_BHWC, unit_BD),
        "visible_cosine": lambda batch, unit_BD: cosines(batch.visible_BHWC, unit_BD),
        "occluded": hidden,
    }


def draws_of(shot: Shot, purpose: str, count: int) -> np.ndarray:
    """Numbers in [0, 1) of a shot, the same on every machine."""
    return np.random.Generator(np.random.Philox(stream_seed(shot.seed, purpose))).random(count)


def _only_near(placed: Regions, fractions: list[float]) -> Regions:
    """Regions that hide the fraction asked for; others are removed."""
    off = np.abs(placed.fractions_N - np.array(fractions)) > LARGEST_MISS
    usable_N = placed.usable_N & ~off
    alpha = placed.alpha_NHW * usable_N[:, None, None]
    return replace(placed, alpha_NHW=alpha, usable_N=usable_N)
