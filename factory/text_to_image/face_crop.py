"""Crops of faces for a recognizer, through which gradients flow to the image (METHODS 3).

A detector finds the face in a copy without gradients; the crop itself is differentiable.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch.nn import functional as F

from factory.images import to_uint8
from factory.sources.alignment import TEMPLATE_52, similarity_transform
from factory.sources.detector import DETECT_PX, YuNet


def open_detector(path: str) -> YuNet:
    """The detector for images that a text-to-image model draws."""
    return YuNet(path, enlarge_to=DETECT_PX)


class FaceCrop:
    """Cuts the face from an image, or gives None where there is none."""

    def __init__(
        self, kind: Literal["landmarks", "box", "whole"], detector: YuNet | None, face_px: int
    ) -> None:
        assert detector or kind == "whole", "needs source.detector (preflight)"
        self._kind, self._detector, self._face_px = kind, detector, face_px

    def __call__(self, image_CHW: torch.Tensor) -> torch.Tensor | None:
        """The face [3, face_px, face_px] of an image, both in [-1, 1]."""
        detection = None
        if self._detector is not None and self._kind != "whole":
            detection = self._detector.best(to_uint8(image_CHW[None].detach())[0])
            if detection is None:
                return None
        image_CHW = image_CHW.clamp(-1, 1)
        if self._kind == "landmarks":
            assert detection is not None
            return aligned(image_CHW, detection[4:14].reshape(5, 2), self._face_px)
        if self._kind == "box":
            assert detection is not None
            image_CHW = boxed(image_CHW, detection[:4])
        return F.interpolate(
            image_CHW[None], (self._face_px,) * 2, mode="bilinear", antialias=True
        )[0]


def aligned(image_CHW: torch.Tensor, points_52: np.ndarray, face_px: int) -> torch.Tensor:
    """The similarity warp of `sources.alignment.align`, differentiable: [3, face_px, face_px].

    A face that is more than twice too large is first shrunk by averaging, because bilinear
    sampling alone would skip pixels.
    """
    matrix = similarity_transform(points_52, TEMPLATE_52 * (face_px / 112))
    shrink = int(1 / np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if shrink > 1:
        image_CHW = F.avg_pool2d(image_CHW[None], shrink)[0]
        points_52 = (points_52 + 0.5) / shrink - 0.5
        matrix = similarity_transform(points_52, TEMPLATE_52 * (face_px / 112))
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]  # from the crop to the image
    axis = np.arange(face_px)
    xy = np.stack([*np.meshgrid(axis, axis), np.ones((face_px, face_px))], -1) @ back.T
    size = np.array([image_CHW.shape[2], image_CHW.shape[1]])
    grid = torch.from_numpy((2 * xy + 1) / size - 1).to(image_CHW.device, image_CHW.dtype)
    return F.grid_sample(image_CHW[None], grid[None], align_corners=False)[0]


def boxed(image_CHW: torch.Tensor, box_4: np.ndarray) -> torch.Tensor:
    """The part of an image in a box (x, y, width, height), cut at the image's edge."""
    _, height, width = image_CHW.shape
    left, top = max(0, int(box_4[0])), max(0, int(box_4[1]))
    right = min(width, int(np.ceil(box_4[0] + box_4[2])))
    bottom = min(height, int(np.ceil(box_4[1] + box_4[3])))
    return image_CHW[:, top : max(bottom, top + 1), left : max(right, left + 1)]
