"""Faces that exist: every reader is a `FaceSource`, and `open_source` picks it by config."""

from factory.sources.base import (
    CorruptImageError,
    FaceSet,
    FaceSource,
    SourceFace,
    Subset,
    is_remote,
    read_ahead,
    read_faces,
    subset,
)
from factory.sources.readers import open_source, training_faces

__all__ = [
    "CorruptImageError",
    "FaceSet",
    "FaceSource",
    "SourceFace",
    "Subset",
    "is_remote",
    "open_source",
    "read_ahead",
    "read_faces",
    "subset",
    "training_faces",
]
