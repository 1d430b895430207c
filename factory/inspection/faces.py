"""One image at a time: decoded once, its face found, aligned, and what can be said of it measured.

A large image is aligned by the face that is meant of those a detector finds. One that has the
aligned size already is taken as it is, and the detector only tells how far its five points lie from
the template.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from factory.config import SourceConfig
from factory.errors import SourceError
from factory.quality.pixels import sharpness_and_brightness
from factory.sources.alignment import TEMPLATE_52, align, scaled, similarity_transform
from factory.sources.base import FaceSource
from factory.sources.cvlface_tables import points_file
from factory.sources.decoding import decode_image, image_header
from factory.sources.detector import DETECT_PX, YuNet
from factory.sources.pose import pitch_degrees, yaw_degrees

FACE_PX = 112
"""Side of the aligned faces that are compared."""
UNKNOWN = -1
STARTER, CVLFACE = "starter", "cvlface"


@dataclass(frozen=True)
class Look:
    """What one image is: its header, the faces in it, and the aligned one."""

    form: str
    mode: str
    width: int
    height: int
    num_faces: int
    """Faces found; UNKNOWN where no detector looked."""
    score: float
    """Confidence of the detector in the face that is meant, 0 to 1; NaN for none."""
    seen_52: np.ndarray | None
    """Its five points in the image, pixels."""
    points_52: np.ndarray | None
    """Its five points in the aligned face, pixels of FACE_PX."""
    residual_px: float
    """How badly the face fits the template, by `moved_px` or `misfit_px`; NaN without points."""
    face_HWC: np.ndarray | None
    """The aligned face, RGB uint8 [FACE_PX, FACE_PX, 3]; None where there is none to align."""
    picture_HWC: np.ndarray
    """The face, or where there is none all of the image, at FACE_PX."""
    num_bytes: int

    @property
    def eye_px(self) -> float:
        """Distance of the eyes in the image, pixels; NaN for none."""
        if self.seen_52 is None:
            return float("nan")
        return float(np.linalg.norm(self.seen_52[1] - self.seen_52[0]))

    @property
    def angles(self) -> tuple[float, float, float]:
        """Yaw, pitch and roll in degrees, by the five points; NaN for none."""
        if self.points_52 is None:
            return (float("nan"),) * 3
        across = (self.points_52 if self.seen_52 is None else self.seen_52)[:2]
        roll = float(np.degrees(np.arctan2(*(across[1] - across[0])[::-1])))
        return yaw_degrees(self.points_52), pitch_degrees(self.points_52), roll

    @property
    def tone(self) -> tuple[float, float, float]:
        """Brightness and contrast (mean and deviation of luma), sharpness, on a scale of 255.

        Sharpness is the variance of the Laplacian of the picture at FACE_PX.
        """
        [sharp], [bright] = sharpness_and_brightness(np.array(self.picture_HWC[None]))
        luma_HW = self.picture_HWC @ np.array([0.299, 0.587, 0.114])
        return bright, float(luma_HW.std()), sharp

    @property
    def is_gray(self) -> bool:
        """Whether its channels hardly differ."""
        spread = self.picture_HWC.max(2).astype(int) - self.picture_HWC.min(2)
        return bool(spread.mean() < 2)


def moved_px(points_52: np.ndarray) -> float:
    """How far aligning an aligned face by its points again would move it, root mean square.

    The distance is of the template's five points, pixels at 112. It is 0 for any head that was
    aligned by these points, also one seen from the side, which never fits the template itself.
    """
    if np.ptp(points_52, axis=0).max() == 0:
        return float("inf")
    matrix = similarity_transform(points_52, TEMPLATE_52)
    moved_52 = TEMPLATE_52 @ matrix[:, :2].T + matrix[:, 2]
    return misfit_px(moved_52)


def misfit_px(points_52: np.ndarray) -> float:
    """Root mean square distance of five points from the template, pixels at 112."""
    return float(np.sqrt(((points_52 - TEMPLATE_52) ** 2).sum(1).mean()))


class Looker:
    """Looks at the images of a source; those of a table of points are aligned by it."""

    def __init__(
        self,
        source: FaceSource,
        config: SourceConfig,
        aligned_px: int | None,
        detector: YuNet | None,
    ) -> None:
        """`aligned_px` is the side of images that are aligned already, None for none."""
        self._source, self._config = source, config
        self._aligned_px, self._detector = aligned_px, detector
        own = points_file(config) if config.kind == CVLFACE else None
        self._has_table = bool(config.landmarks or own)

    @classmethod
    def opened(cls, source: FaceSource, config: SourceConfig, aligned_px: int | None) -> Looker:
        """With the detector of the config, or that of the package."""
        enlarge_to = DETECT_PX if aligned_px else 0
        detector = YuNet(config.detector or STARTER, config.min_face_score, enlarge_to)
        return cls(source, config, aligned_px, detector)

    def look(self, index: int) -> tuple[Look, bytes]:
        """What an image is, and its bytes; raises CorruptImageError."""
        data, key = bytes(self._source.encoded(index)), str(self._source.keys[index])
        image = decode_image(data, key, self._config.max_pixels, self._config.background)
        form, mode, _, _ = image_header(data, key)
        height, width = image.shape[:2]
        is_aligned = self._aligned_px is not None and (height, width) == (self._aligned_px,) * 2
        faces = self._faces(image)
        best = faces[0] if faces is not None and len(faces) else None
        points = None if best is None else best[4:14].reshape(5, 2)
        face, placed = self._placed(index, image, points, is_aligned)
        look = Look(
            form,
            mode,
            width,
            height,
            UNKNOWN if faces is None else len(faces),
            float("nan") if best is None else float(best[14]),
            points,
            placed,
            float("nan") if placed is None else (moved_px if is_aligned else misfit_px)(placed),
            face,
            face if face is not None else squeezed(image),
            len(data),
        )
        return look, data

    def _faces(self, image: np.ndarray) -> np.ndarray | None:
        return None if self._detector is None else self._detector.faces(image)

    def _placed(
        self, index: int, image: np.ndarray, points: np.ndarray | None, is_aligned: bool
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The aligned face, and where its points are in it."""
        if is_aligned:
            scale = FACE_PX / len(image)
            face = image if scale == 1 else scaled(image, FACE_PX)
            return face, None if points is None else points * scale
        if self._has_table:
            try:
                return scaled(self._source[index].image_HWC, FACE_PX), None
            except SourceError:  # which also says that the table lacks an image
                return None, None
        if points is None or np.ptp(points, axis=0).max() == 0:
            return None, None
        matrix = similarity_transform(points, TEMPLATE_52 * (FACE_PX / 112))
        return align(image, points, FACE_PX), points @ matrix[:, :2].T + matrix[:, 2]


def squeezed(image: np.ndarray) -> np.ndarray:
    """All of an image in a square of FACE_PX, its sides in proportion on gray."""
    import cv2

    height, width = image.shape[:2]
    factor = FACE_PX / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    square = np.full((FACE_PX, FACE_PX, 3), 128, np.uint8)
    top, left = (FACE_PX - size[1]) // 2, (FACE_PX - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square
