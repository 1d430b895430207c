"""What decides how a source's images become faces of one size, by contents and never by path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.checkpoint import file_sha256
from factory.config import SourceConfig, as_dict
from factory.errors import SourceError
from factory.sources.cvlface_tables import points_file
from factory.sources.decoding import BACKGROUND


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

    @property
    def aligns(self) -> bool:
        """Whether an image of another size than the faces' can be used at all."""
        return bool(self.landmarks or self.detector or self.resize)


def alignment_facts(config: SourceConfig) -> AlignmentFacts:
    """How a source is aligned; raises SourceError for a table or a network that is not there.

    A field that has no effect, such as the zoom of faces that are never aligned, has its default.
    """
    if config.kind == "recordio":  # whose faces are aligned, or refused
        return AlignmentFacts(None, None, False, 1.0, config.max_pixels, config.background)
    own = points_file(config) if config.kind == "cvlface" else None
    landmarks = _sha256("source.landmarks", str(own) if own else config.landmarks)
    detector = _sha256("source.detector", config.detector)
    zoom = config.zoom if landmarks or detector else 1.0
    return AlignmentFacts(
        landmarks, detector, config.resize, zoom, config.max_pixels, config.background
    )


def pixel_facts(config: SourceConfig, fingerprint: str) -> dict[str, Any]:
    """All that decides the pixels of a source's faces, as plain values.

    `fingerprint` is that of the source's images, or of those of them that are used.
    """
    facts = as_dict(alignment_facts(config))
    if facts["background"] == BACKGROUND:  # as before it was a setting: what was begun goes on
        del facts["background"]
    return {"fingerprint": fingerprint, "image_px": config.image_px, "alignment": facts}


def _sha256(key: str, path: str | None) -> str | None:
    if path is None:
        return None
    if not Path(path).is_file():
        raise SourceError(f"{key}: no file {path!r}; want the one that the faces are aligned by")
    return file_sha256(Path(path))
