"""Training examples of an editor: faces with a region to redraw, and what should come out there.

Some get a painted occluder, the others are learned as they are: their region is redrawn as the
face, hair or background that it was.

Shapes: N faces of a source, B a batch, px the side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from factory.config import InpaintingTrainingConfig, SourceConfig
from factory.config.editing import SPARING
from factory.editing.occluders import NUM_PAINTS, draw_over
from factory.editing.regions import NUM_DRAWS, regions
from factory.editing.segmenters import Segmenter, segmenter_sha256
from factory.sources.alignment import mirrored_points, points_of
from factory.sources.detector import DETECT_PX, FACE_RULE, YuNet, model_sha256
from factory.training.faces import FaceRows, Faces
from factory.training.rows import Rows

AS_IS = "as_is"
"""The kind of a region that is redrawn as it was."""
LEAST_FRACTION = 0.05
"""Smallest fraction of a face that a region hides, unless it spares the face."""
SEGMENTER_BATCH = 16
SPARED_FRACTION = 0.2
"""Fraction of regions that spare the face, where a kind can."""


@dataclass(frozen=True)
class Examples:
    """A batch: what should come out (uint8 [B, px, px, 3]), where (alpha), and of which kind."""

    images_BHWC: np.ndarray
    alpha_BHW: np.ndarray
    kinds: list[str]
    painted_B: np.ndarray
    """Rows whose images are not those of the source."""


class ExampleMaker:
    """Draws regions and occluders for faces of a source."""

    def __init__(
        self,
        faces: Faces,
        recipe: InpaintingTrainingConfig,
        source: SourceConfig,
        segmenter: Segmenter | None = None,
    ) -> None:
        """`segmenter` finds where the faces are, once for all examples; None: ovals."""
        self._recipe, self._images = recipe, faces.images_NHWC
        self._points_of = _points(faces, recipe, source)
        self._masks: Rows | None = None
        if segmenter is not None:
            self._masks = _masks(faces, recipe, source, segmenter, self._points_of).rows()
        self._kinds = list(dict.fromkeys(recipe.kinds))

    @property
    def arrays(self) -> list[np.ndarray | Rows]:
        """What `batch` reads, by face."""
        return [self._images] if self._masks is None else [self._images, self._masks]

    def batch(
        self, chosen: np.ndarray, mirrored_B: np.ndarray, rng: np.random.Generator, progress: float
    ) -> Examples:
        """Examples of the faces `chosen`; `progress` of the training is from 0 to 1."""
        recipe, count = self._recipe, len(chosen)
        images, points = self._images[chosen], self._points_of(chosen)  # copies
        images[mirrored_B] = images[mirrored_B, :, ::-1]
        points[mirrored_B] = mirrored_points(points[mirrored_B], images.shape[1])
        kinds = [self._kinds[index] for index in rng.integers(len(self._kinds), size=count)]
        largest = recipe.max_occluded_fraction * min(1.0, 0.4 + 1.2 * progress)
        highest = max(largest, LEAST_FRACTION)
        hidden = LEAST_FRACTION + (highest - LEAST_FRACTION) * rng.random(count)
        spared = np.array([k in SPARING for k in kinds]) & (rng.random(count) < SPARED_FRACTION)
        hidden[spared | np.array([k == "background" for k in kinds])] = 0
        draws = rng.random((count, NUM_DRAWS))
        masks = None
        if self._masks is not None:
            masks = self._masks[chosen].astype(np.float32) / 255
            masks[mirrored_B] = masks[mirrored_B, :, ::-1]
        placed = regions(
            points,
            kinds,
            hidden.tolist(),
            draws,
            images.shape[1],
            soft_px=recipe.soft_px,
            face_NHW=masks,
        )
        painted_B = (rng.random(count) < recipe.drawn) & placed.usable_N
        painted_B &= np.array([kind != "background" for kind in kinds])
        paints = rng.random((count, NUM_PAINTS))
        if painted_B.any():
            named = [kind for kind, painted in zip(kinds, painted_B, strict=True) if painted]
            images[painted_B] = draw_over(
                images[painted_B], placed.rows(painted_B), named, paints[painted_B]
            )
        learned_as = [
            kind if painted or kind == "background" else AS_IS
            for kind, painted in zip(kinds, painted_B, strict=True)
        ]
        return Examples(images, placed.alpha_NHW, learned_as, painted_B)


def _points(
    faces: Faces, recipe: InpaintingTrainingConfig, source: SourceConfig
) -> Callable[[np.ndarray], np.ndarray]:
    """A function of rows: the five points of their faces, [B, 5, 2]."""
    detector = detector_of(recipe.points, source)
    if detector is None:
        return lambda rows: points_of(faces.images_NHWC[rows], None)
    made_by = [str(detector_sha256(recipe.points, source)), str(DETECT_PX), FACE_RULE]

    def find(part: slice) -> np.ndarray:
        return points_of(faces.images_NHWC[part], detector)

    return FaceRows(faces, find, "points", made_by).rows().__getitem__


def _masks(
    faces: Faces,
    recipe: InpaintingTrainingConfig,
    source: SourceConfig,
    segmenter: Segmenter,
    points_of_rows: Callable[[np.ndarray], np.ndarray],
) -> FaceRows:
    """Where the faces are, rows uint8 [px, px]."""

    def make(part: slice) -> np.ndarray:
        rows = np.arange(part.start, min(part.stop, len(faces)))
        starts = range(0, len(rows), SEGMENTER_BATCH)
        batches = [rows[start : start + SEGMENTER_BATCH] for start in starts]
        parts = [segmenter.faces(faces.images_NHWC[b], points_of_rows(b)) for b in batches]
        return np.asarray(np.rint(np.concatenate(parts) * 255).astype(np.uint8))

    digests = (segmenter_sha256(recipe), detector_sha256(recipe.points, source))
    made_by = [*map(str, digests), recipe.segmenter, recipe.grounding_text]
    return FaceRows(faces, make, "masks", made_by)


def detector_of(points: str, source: SourceConfig) -> YuNet | None:
    """The detector that finds points again in aligned faces, where `points` says so.

    It is inpainting_training.points or editing.points.
    """
    return None if points == "template" else YuNet(str(source.detector), enlarge_to=DETECT_PX)


def detector_sha256(points: str, source: SourceConfig) -> str | None:
    """The digest of the detector's weights; None where there is none."""
    return None if points == "template" else model_sha256(str(source.detector))
