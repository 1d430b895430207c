"""Five-point alignment to the ArcFace template (METHODS 8; Deng et al. 2019, 112x112 points).

Point order everywhere: left eye, right eye, nose tip, left and right mouth corner, as seen in
the image.
"""

from __future__ import annotations

import numpy as np

from factory.errors import SourceError
from factory.sources.detector import YuNet

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
