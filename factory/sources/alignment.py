"""Five-point alignment to the ArcFace template (METHODS 8; Deng et al. 2019, 112x112 points).

Point order everywhere: left eye, right eye, nose tip, left and right mouth corner, as seen in
the image.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from factory.errors import SourceError

TEMPLATE_52 = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""Where the five points lie in a 112x112 aligned image, pixels (x, y)."""
DETECT_PX = 224
"""Smallest side at which a detector looks at aligned faces (YuNet's enlarge_to)."""
FIVE_OF = {
    5: ([0], [1], [2], [3], [4]),
    68: ([*range(36, 42)], [*range(42, 48)], [30], [48], [54]),
    468: ([33, 133], [362, 263], [1], [61], [291]),
}
"""Which points of a layout make the five, as means: iBUG's 68, the 468 of MediaPipe's mesh."""
LAYOUTS = {5: 20, 68: 146, 468: 966}
"""Most numbers in a row of a layout: ten extra ones, and ten more points of a mesh with irises."""


def similarity_transform(points_N2: np.ndarray, target_N2: np.ndarray) -> np.ndarray:
    """The 2x3 matrix of the least-squares similarity from points to target (Umeyama 1991)."""
    mean, target_mean = points_N2.mean(0), target_N2.mean(0)
    centered, target_centered = points_N2 - mean, target_N2 - target_mean
    u, singular, vt = np.linalg.svd(target_centered.T @ centered)
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])  # no reflection
    rotation = u @ np.diag(sign) @ vt
    variance = (centered**2).sum()
    if variance == 0:
        raise SourceError("landmarks: all five points coincide; want five different points")
    scale = (singular * sign).sum() / variance
    matrix = scale * rotation
    return np.column_stack([matrix, target_mean - matrix @ mean])


def align(
    image_HWC: np.ndarray, landmarks_52: np.ndarray, image_px: int, zoom: float = 1.0
) -> np.ndarray:
    """Warp an RGB uint8 image so that its five points fall on the template: [px, px, 3].

    A `zoom` below 1 shrinks the template about its middle; pixels outside repeat the image's edge.
    """
    import cv2

    template_52 = TEMPLATE_52 if zoom == 1 else 56 + zoom * (TEMPLATE_52 - 56)
    matrix = similarity_transform(landmarks_52, template_52 * (image_px / 112))
    edge = cv2.BORDER_CONSTANT if zoom == 1 else cv2.BORDER_REPLICATE
    warped = cv2.warpAffine(
        image_HWC, matrix, (image_px, image_px), flags=cv2.INTER_LINEAR, borderMode=edge
    )
    return np.asarray(warped)


def scaled(image_HWC: np.ndarray, image_px: int) -> np.ndarray:
    """A square RGB uint8 image at another size, [px, px, 3]."""
    import cv2

    kind = cv2.INTER_AREA if image_px < len(image_HWC) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image_HWC, (image_px, image_px), interpolation=kind))


def points_of(images_NHWC: np.ndarray, detector: YuNet | None) -> np.ndarray:
    """Five points [N, 5, 2] of aligned faces; NaN where a detector finds none."""
    template_52 = TEMPLATE_52 * (images_NHWC.shape[1] / 112)
    if detector is None:
        return np.repeat(template_52[None], len(images_NHWC), 0)
    nowhere = np.full((5, 2), np.nan)
    detections = (detector.landmarks(image) for image in images_NHWC)
    return np.stack([nowhere if points is None else points for points in detections])


def mirrored_points(points_N52: np.ndarray, image_px: int) -> np.ndarray:
    """Five points [N, 5, 2] as they lie in the mirrored images, left and right exchanged."""
    swapped = points_N52[:, [1, 0, 2, 4, 3]]
    return np.stack([image_px - 1 - swapped[..., 0], swapped[..., 1]], -1)


class YuNet:
    """Detects the most confident face and its five points, by OpenCV's YuNet (Wu et al. 2023)."""

    def __init__(self, model_path: str, min_score: float = 0.6, enlarge_to: int = 0) -> None:
        """Images smaller than `enlarge_to` pixels are enlarged first.

        YuNet finds small faces with little confidence.
        """
        import cv2

        if not Path(model_path).is_file():
            raise SourceError(
                f"source.detector: no file {model_path!r}; want YuNet's .onnx "
                "(face_detection_yunet of the OpenCV zoo)"
            )
        self._enlarge_to = enlarge_to
        self._detector = cv2.FaceDetectorYN.create(model_path, "", (320, 320), min_score)

    def landmarks(self, image_HWC: np.ndarray) -> np.ndarray | None:
        """Five points [5, 2] in pixels (x, y) of an RGB uint8 image, or None without a face."""
        best = self.best(image_HWC)
        return None if best is None else best[4:14].reshape(5, 2)

    def best(self, image_HWC: np.ndarray) -> np.ndarray | None:
        """Box (x, y, width, height), five points and score of the most confident face, [15]."""
        scale = max(1.0, self._enlarge_to / min(image_HWC.shape[:2]))
        if scale > 1:
            image_HWC = _enlarged(image_HWC, scale)
        height, width = image_HWC.shape[:2]
        self._detector.setInputSize((width, height))
        _, faces = self._detector.detect(np.ascontiguousarray(image_HWC[:, :, ::-1]))
        if faces is None or len(faces) == 0:
            return None
        best = np.asarray(faces[int(np.argmax(faces[:, 14]))], np.float64)
        best[:14] /= scale
        return best


def _enlarged(image_HWC: np.ndarray, scale: float) -> np.ndarray:
    import cv2

    return np.asarray(cv2.resize(image_HWC, None, fx=scale, fy=scale))


def read_landmarks(path: str) -> dict[str, np.ndarray]:
    """Five points by file name, of CSV rows `file, x1, y1, x2, y2, ...` after one header line.

    Rows have 5 points, 68 (iBUG), 468 or 478 (MediaPipe's meshes); a few columns after them, such
    as a score, are ignored.
    """
    if not Path(path).is_file():
        raise SourceError(f"source.landmarks: no file {path!r}; want a CSV of points, a face a row")
    table: dict[str, np.ndarray] = {}
    with open(path, newline="", encoding="utf-8") as handle:
        rows = csv.reader(handle)
        next(rows, None)
        for line, row in enumerate(rows, start=2):
            numbers = len(row) - 1
            count = next((n for n, most in LAYOUTS.items() if 2 * n <= numbers <= most), None)
            if count is None:
                raise SourceError(
                    f"source.landmarks: {path} line {line} has {numbers} numbers; want x and y of "
                    "5, 68, 468 or 478 points after the file name"
                )
            try:
                points_P2 = np.array([float(v) for v in row[1 : 1 + 2 * count]]).reshape(count, 2)
            except ValueError:
                raise SourceError(
                    f"source.landmarks: {path} line {line} is not a file name and numbers"
                ) from None
            table[row[0]] = np.stack([points_P2[group].mean(0) for group in FIVE_OF[count]])
    return table
