"""Faces that exist: every reader is a `FaceSource`, and `open_source` picks it by config."""

from factory.sources.base import (
    CorruptImageError,
    FaceSet,
    FaceSource,
    SourceFace,
    Subset,
    read_faces,
)
from factory.sources.readers import open_source, training_faces

__all__ = [
    "CorruptImageError",
    "FaceSet",
    "FaceSource",
    "SourceFace",
    "Subset",
    "open_source",
    "read_faces",
    "training_faces",
]
