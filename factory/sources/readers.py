"""Picks the reader of a source, and makes its images faces of one size.

Folders are listed by folder.py, tars and the starter pack by tars.py; releases and other WebDataset
tars are read by release_source.py, RecordIO by record_source.py, parquet by parquet_source.py,
datasets of the hub by hub_source.py; people by number are rendered by rendered_source.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from factory.config import SourceConfig
from factory.config.addresses import in_bucket, on_hub
from factory.errors import SourceError
from factory.sources.alignment import align, scaled
from factory.sources.alignment_facts import detector_of_source
from factory.sources.base import (
    CorruptImageError,
    FaceSet,
    FaceSource,
    SourceFace,
    UnalignedError,
    read_faces,
    subset,
)
from factory.sources.cvlface import CvlfaceSource
from factory.sources.decoding import decode_image
from factory.sources.detector import YuNet
from factory.sources.folder import list_folder
from factory.sources.hub_source import HubSource
from factory.sources.indexed import IndexedSource
from factory.sources.landmark_tables import read_landmarks
from factory.sources.lmdb_source import LmdbSource
from factory.sources.parquet_source import ParquetSource
from factory.sources.record_source import RecordSource
from factory.sources.release_source import ReleaseSource
from factory.sources.rendered_source import RenderedSource
from factory.sources.tars import list_tar

STARTER_PACK = Path(__file__).parent.parent / "starter" / "pack.tar"
OUTSIDE = 0.05
"""How far a point of a table may lie outside an image, as a fraction of its longer side."""


class FaceDecoder:
    """Decodes the images of a source and aligns those of another size than its faces."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config
        self._landmarks = read_landmarks(config.landmarks) if config.landmarks else None
        detector = detector_of_source(config)
        self._detector = YuNet(detector, config.min_face_score) if detector else None
        self._with_several: set[str] = set()

    @property
    def remarks(self) -> tuple[str, ...]:
        """How its table was read, and in how many images so far there was a choice of faces."""
        told = self._landmarks.remarks if self._landmarks else ()
        if not self._with_several:
            return told
        return (
            *told,
            f"source.detector: {len(self._with_several)} images hold several faces; the largest "
            "central one of each is taken",
        )

    def face(
        self,
        data: bytes | memoryview,
        key: str,
        names: Sequence[str],
        label: int,
        fractions_52: np.ndarray | None = None,
    ) -> SourceFace:
        """The face of an encoded image; `names` are those it may have in the table of points.

        `fractions_52` are its points where no table has them, in widths and heights of the image.
        Raises CorruptImageError, and SourceError for another size that nothing aligns.
        """
        image = decode_image(data, key, self._config.max_pixels, self._config.background)
        height, width = image.shape[:2]
        landmarks = self._landmarks.points(names, width, height) if self._landmarks else None
        if landmarks is None and fractions_52 is not None:
            landmarks = fractions_52 * (width, height)
        if image.shape[:2] != (self._config.image_px,) * 2:
            image = self._align(image, landmarks, key)
            landmarks = None
        return SourceFace(image, label, key, landmarks)

    def _align(self, image: np.ndarray, landmarks: np.ndarray | None, key: str) -> np.ndarray:
        px, (height, width) = self._config.image_px, image.shape[:2]
        if landmarks is None and self._config.resize and height == width:
            return scaled(image, px)
        if landmarks is None and self._detector is None:
            raise UnalignedError(
                f"source.image_px: an image is {width}x{height}, not {px}x{px}, without landmarks; "
                "set source.landmarks, or source.detector=starter for photographs in folders, or "
                "source.resize=true for aligned faces of another size"
            )
        if landmarks is None:
            landmarks = self._detected(image, key)
        else:
            _check_inside(landmarks, width, height, key)
        return align(image, landmarks, px, self._config.zoom)

    def _detected(self, image: np.ndarray, key: str) -> np.ndarray:
        """Five points of the face that is meant; raises CorruptImageError without one."""
        assert self._detector is not None
        faces_N15 = self._detector.faces(image)
        if not len(faces_N15):
            is_square = image.shape[0] == image.shape[1]
            hint = "; aligned faces of another size want source.resize=true" if is_square else ""
            raise CorruptImageError(f"{key}: no face found{hint}")
        if len(faces_N15) > 1:
            self._with_several.add(key)
        return np.asarray(faces_N15[0, 4:14].reshape(5, 2))


def _check_inside(landmarks_52: np.ndarray, width: int, height: int, key: str) -> None:
    """Raise CorruptImageError for points of a table that are none, or lie outside an image.

    A detector's points of a face at the edge may lie outside by OUTSIDE of the side.
    """
    if not np.isfinite(landmarks_52).all() or np.ptp(landmarks_52, axis=0).max() == 0:
        raise CorruptImageError(f"{key}: its landmarks are not five points")
    size, margin = np.array([width, height]), OUTSIDE * max(width, height)
    if (landmarks_52 < -margin).any() or (landmarks_52 > size + margin).any():
        raise CorruptImageError(f"{key}: its landmarks lie outside its {width}x{height} pixels")


READERS: dict[str, Callable[[SourceConfig, FaceDecoder], FaceSource]] = {
    "webdataset": ReleaseSource,
    "lmdb": LmdbSource,
    "cvlface": CvlfaceSource,
    "parquet": ParquetSource,
}
"""Readers by source.kind of what lies on this machine and is opened by its path."""


def open_source(config: SourceConfig) -> FaceSource:
    """The source that a config names, or its first source.num_identities.

    Raises SourceError when it is missing or holds no image.
    """
    source = _complete(config)
    if config.num_identities is None:
        return source
    return subset(source, 0, min(config.num_identities, len(source.names)))


def _complete(config: SourceConfig) -> FaceSource:
    if config.kind == "rendered":
        return RenderedSource(config)
    if config.kind == "starter":
        listing = list_tar(STARTER_PACK, "starter pack")
        return IndexedSource(listing, config, FaceDecoder(config))
    if in_bucket(config.path or "") and config.kind == "webdataset":
        return ReleaseSource(config, FaceDecoder(config))
    if on_hub(config.path or ""):
        return HubSource(config, FaceDecoder(config))
    path = Path(config.path or "")
    if not path.exists():
        raise SourceError(f"source.path: no such file or folder {str(path)!r}; check the path")
    if config.kind == "recordio":  # whose faces nothing aligns
        return RecordSource(config)
    if config.kind in READERS:
        return READERS[config.kind](config, FaceDecoder(config))
    listing = list_tar(path) if path.is_file() else list_folder(path)
    return IndexedSource(listing, config, FaceDecoder(config))


def training_faces(config: SourceConfig) -> tuple[FaceSet, FaceSet]:
    """(training, held-out) faces of a config, in memory; the second may be empty."""
    faces = read_faces(open_source(config), config.max_corrupt_fraction)
    if config.heldout is None:
        return faces.split(config.num_heldout(len(faces.names)))
    return faces, read_faces(open_source(config.other), config.max_corrupt_fraction)
