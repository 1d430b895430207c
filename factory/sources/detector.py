"""Faces in photographs of any size, by OpenCV's YuNet (Wu, Peng & Yu 2023), the subject first.

YuNet finds faces of about 20 to 400 pixels: in a portrait of 12 megapixels it takes an eye for one.
An image is therefore seen at several scales, and what was found at each is put together.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from factory.checkpoint import file_sha256
from factory.errors import SourceError

STARTER = "starter"
"""Name of the detector in the package."""
STARTER_MODEL = Path(__file__).parent.parent / "starter/detector/yunet_n_640_640.onnx"
DETECT_PX = 224
"""Smallest side at which a detector looks at aligned faces (YuNet's enlarge_to)."""
LARGEST_PX, SMALLEST_PX = 1280, 400
"""Longest side of an image at the first and the last of the scales at which it is seen."""
SMALL_FACE_PX = 40
"""Where the widest face is narrower than this, an image is seen at twice the size too."""
MAX_OVERLAP = 0.3
"""Two boxes with a larger intersection over union are one face."""
INSIDE = 0.6
"""A box with a larger part of it in a larger box is a part of that face."""
FACE_RULE = "largest and central"
"""Which face of several is meant, by `subject_first`; it changes whenever an image could be cut
otherwise."""


def model_file(name: str) -> Path:
    """The file of a detector: that of the package, or a path; raises SourceError without one."""
    path = STARTER_MODEL if name == STARTER else Path(name)
    if not path.is_file():
        raise SourceError(
            f"source.detector: no file {name!r}; want {STARTER}, the YuNet of this package, or the "
            "path of another .onnx of it (face_detection_yunet of the OpenCV zoo)"
        )
    return path


def model_sha256(name: str) -> str:
    """Digest of a detector's weights; raises SourceError for a file that is not there."""
    return file_sha256(model_file(name))


class YuNet:
    """Finds faces, their five points and scores; of several, the largest central one first.

    One detector may be used by several threads, and is opened anew in another process.
    """

    def __init__(self, name: str, min_score: float = 0.6, enlarge_to: int = 0) -> None:
        """`name` is a path or starter. Images with a side below `enlarge_to` are enlarged first.

        Raises SourceError for a file that is not there.
        """
        self._file, self._min_score, self._enlarge_to = model_file(name), min_score, enlarge_to
        self._open()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_detector", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._open()

    def landmarks(self, image_HWC: np.ndarray) -> np.ndarray | None:
        """Five points [5, 2] in pixels (x, y) of an RGB uint8 image, or None without a face."""
        best = self.best(image_HWC)
        return None if best is None else best[4:14].reshape(5, 2)

    def best(self, image_HWC: np.ndarray) -> np.ndarray | None:
        """Box (x, y, width, height), five points and score of the face that is meant, [15]."""
        faces_N15 = self.faces(image_HWC)
        return faces_N15[0] if len(faces_N15) else None

    def faces(self, image_HWC: np.ndarray) -> np.ndarray:
        """Boxes (x, y, width, height), five points and scores of all faces, float64 [N, 15].

        They are in pixels of the RGB uint8 image, in the order of `subject_first`.
        """
        height, width = image_HWC.shape[:2]
        largest = max(LARGEST_PX, self._enlarge_to) / max(height, width)
        scale = min(largest, max(1.0, self._enlarge_to / min(height, width)))
        found_N15 = self._at_scales(image_HWC, scale)
        while scale < 1 and found_N15[:, 2].max(initial=0) * scale < SMALL_FACE_PX:
            scale = min(1.0, 2 * scale)
            found_N15 = np.concatenate([found_N15, self._at(image_HWC, scale)])
        return subject_first(distinct(found_N15), width, height)

    def _at_scales(self, image_HWC: np.ndarray, scale: float) -> np.ndarray:
        """Faces seen at a scale, and at halves of it down to SMALLEST_PX, [N, 15]."""
        side, found = max(image_HWC.shape[:2]), [self._at(image_HWC, scale)]
        while side * scale > SMALLEST_PX:
            scale /= 2
            found.append(self._at(image_HWC, scale))
        return np.concatenate(found)

    def _at(self, image_HWC: np.ndarray, scale: float) -> np.ndarray:
        seen = image_HWC if scale == 1 else _resized(image_HWC, scale)
        height, width = seen.shape[:2]
        with self._lock:  # because the detector keeps the size of its input
            self._detector.setInputSize((width, height))
            _, faces = self._detector.detect(np.ascontiguousarray(seen[:, :, ::-1]))
        if faces is None:
            return np.empty((0, 15))
        faces_N15 = np.asarray(faces, np.float64)
        across, down = image_HWC.shape[1] / width, image_HWC.shape[0] / height
        faces_N15[:, 0:14:2] *= across
        faces_N15[:, 1:14:2] *= down
        return faces_N15

    def _open(self) -> None:
        import cv2

        self._lock = Lock()
        self._detector = cv2.FaceDetectorYN.create(str(self._file), "", (320, 320), self._min_score)


def distinct(faces_N15: np.ndarray) -> np.ndarray:
    """The faces without those that were found twice, or that are a part of another one.

    Of boxes with an intersection over union above MAX_OVERLAP, the one with the best score stays
    (greedy non-maximum suppression). Of those, a box goes of which more than INSIDE lies in a box
    at least twice as large: an eye of a face.
    """
    stays: list[np.ndarray] = []
    for face in faces_N15[np.argsort(-faces_N15[:, 14], kind="stable")]:
        if all(_overlap(face, other) <= MAX_OVERLAP for other in stays):
            stays.append(face)
    whole = [face for face in stays if not any(_is_part(face, other) for other in stays)]
    return np.array(whole).reshape(-1, 15)


def subject_first(faces_N15: np.ndarray, width: int, height: int) -> np.ndarray:
    """The faces of an image in the order of their weights, the one that is meant first.

    The weight is s A exp(-2 d^2 / R^2), of score s, area A of the box, distance d of its middle
    from the image's, and half of the image's diagonal, R. A face in a corner weighs exp(-2) = .14
    of one in the middle: it is taken where it is more than 2.7 times as wide.
    """
    middle_N2 = faces_N15[:, :2] + faces_N15[:, 2:4] / 2
    squared_N = ((middle_N2 - [width / 2, height / 2]) ** 2).sum(1)
    area_N = faces_N15[:, 2] * faces_N15[:, 3]
    central_N = np.exp(-2 * squared_N / ((width**2 + height**2) / 4))
    order = np.argsort(-faces_N15[:, 14] * area_N * central_N, kind="stable")
    return np.asarray(faces_N15[order])


def _intersection(one: np.ndarray, other: np.ndarray) -> float:
    start = np.maximum(one[:2], other[:2])
    stop = np.minimum(one[:2] + one[2:4], other[:2] + other[2:4])
    return float(np.maximum(stop - start, 0).prod())


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    common = _intersection(one, other)
    return common / (one[2:4].prod() + other[2:4].prod() - common)


def _is_part(small: np.ndarray, large: np.ndarray) -> bool:
    area = small[2:4].prod()
    return bool(2 * area <= large[2:4].prod() and _intersection(small, large) > INSIDE * area)


def _resized(image_HWC: np.ndarray, scale: float) -> np.ndarray:
    import cv2

    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image_HWC, None, fx=scale, fy=scale, interpolation=kind))
