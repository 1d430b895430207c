"""What decides how a source's images become faces of one size, by contents and never by path."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from factory.checkpoint import file_sha256
from factory.config import SourceConfig, as_dict
from factory.config.field import STARTER
from factory.errors import SourceError
from factory.sources.cvlface_tables import points_file
from factory.sources.decoding import BACKGROUND
from factory.sources.detector import FACE_RULE, model_sha256

ALIGNED = ("starter", "rendered", "recordio")
"""Kinds of sources whose faces are aligned, so that nothing looks for any in them."""


@dataclass(frozen=True)
class AlignmentFacts:
    """How faces are aligned and which images are decoded; their side is image_px, kept apart."""

    landmarks: str | None
    """sha256 of the table of points."""
    detector: str | None
    """sha256 of the network that finds points where no table has them."""
    resize: bool
    """Whether square images without points are scaled."""
    zoom: float
    """Size of a face in an image that is aligned; 1 where nothing can be."""
    max_pixels: int
    """Images with more are left out."""
    background: int = BACKGROUND
    """Grey level behind what is transparent; as of plans that do not say."""
    min_face_score: float | None = None
    """Least confidence of the detector; None without one."""
    face_rule: str | None = None
    """Which face of several is meant, and how they are found; None without a detector."""

    @property
    def aligns(self) -> bool:
        """Whether an image of another size than the faces' can be used at all."""
        return bool(self.landmarks or self.detector or self.resize)

    @property
    def aligns_by_default(self) -> bool:
        """Whether nothing does but the detector in the package, which every config has."""
        asked = self.landmarks or self.resize
        return bool(self.detector) and not asked and self.detector == model_sha256(STARTER)


def alignment_facts(config: SourceConfig) -> AlignmentFacts:
    """How a source is aligned; raises SourceError for a table or a network that is not there.

    A field that has no effect, such as the zoom of faces that are never aligned, has its default.
    """
    if config.kind in ("recordio", "rendered"):  # whose faces are aligned, or refused
        return AlignmentFacts(None, None, False, 1.0, config.max_pixels, config.background)
    own = points_file(config) if config.kind == "cvlface" else None
    table, detector = str(own) if own else config.landmarks, detector_of_source(config)
    landmarks = _table_sha256(table)
    facts = AlignmentFacts(
        landmarks=landmarks,
        detector=model_sha256(detector) if detector else None,
        resize=config.resize,
        zoom=config.zoom if landmarks or detector else 1.0,
        max_pixels=config.max_pixels,
        background=config.background,
    )
    if detector is None:
        return facts
    return replace(facts, min_face_score=config.min_face_score, face_rule=FACE_RULE)


def detector_of_source(config: SourceConfig) -> str | None:
    """The detector by which faces of a source may be aligned; None where none ever looks."""
    return None if config.kind in ALIGNED else config.detector


def pixel_facts(config: SourceConfig, fingerprint: str) -> dict[str, Any]:
    """All that decides the pixels of a source's faces, as plain values.

    `fingerprint` is that of the source's images, or of those of them that are used.
    """
    facts = as_dict(alignment_facts(config))
    if facts["background"] == BACKGROUND:  # as before it was a setting: what was begun goes on
        del facts["background"]
    if facts["detector"] is None:  # as before these were known, so that what was begun goes on
        del facts["min_face_score"], facts["face_rule"]
    return {"fingerprint": fingerprint, "image_px": config.image_px, "alignment": facts}


def _table_sha256(path: str | None) -> str | None:
    if path is None:
        return None
    if not Path(path).is_file():
        raise SourceError(
            f"source.landmarks: no file {path!r}; want the one that the faces are aligned by"
        )
    return file_sha256(Path(path))
