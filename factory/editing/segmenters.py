"""Segmenters: where the face is in an image, by a network.

The fraction of the face that a region hides is counted in this mask, and the paper's training form
takes it for the object. The default needs no network (an oval around five points, regions.py).
Networks are read from a local path; nothing is downloaded.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional as F

from factory.checkpoint import file_sha256
from factory.config.editing import InpaintingTrainingConfig, RegionsConfig
from factory.errors import CheckpointError

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
AROUND_POINTS = 0.9
"""Margin of the box around five points, in its own size: a face reaches so much further."""
TOKENIZER = ("tokenizer*.json", "special_tokens_map.json", "vocab.txt")
"""Files of a GroundingDINO that decide how its text is read."""
LEAST_BOX = 0.3
"""Smallest score of a GroundingDINO box."""


class Segmenter(Protocol):
    """Finds where faces are."""

    def faces(self, images_NHWC: np.ndarray, points_N52: np.ndarray) -> np.ndarray:
        """Soft masks float32 [N, H, W] in [0, 1] of faces in RGB uint8 images.

        Points are in pixels, NaN where there are none.
        """
        ...


class OnnxSegmenter:
    """Any ONNX network from square images to logits.

    Inputs are RGB float32 [N, 3, s, s] with ImageNet's mean and deviation; N and s may be fixed.
    Outputs are one logit a pixel [N, 1, h, w], or two or more classes, of which all but the first
    are the face.
    """

    def __init__(self, path: str, key: str = "editing") -> None:
        import onnxruntime

        try:
            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # because onnxruntime's errors share no public class
            raise CheckpointError(
                f"{key}.segmenter_path: {path} is not a network that onnxruntime reads "
                f"({type(error).__name__})"
            ) from None
        first = self._session.get_inputs()[0]
        self._key, self._input = key, first.name
        self._count, _, self._side, _ = (
            size if isinstance(size, int) and size > 0 else None for size in first.shape
        )

    def faces(self, images_NHWC: np.ndarray, points_N52: np.ndarray) -> np.ndarray:
        side = images_NHWC.shape[1]
        x_NCHW = _normalized(images_NHWC, self._side or side).numpy()
        size = self._count or len(x_NCHW)
        parts = [x_NCHW[start : start + size] for start in range(0, len(x_NCHW), size)]
        logits = np.concatenate([self._session.run(None, {self._input: p})[0] for p in parts])
        if logits.ndim != 4 or len(logits) != len(images_NHWC):
            raise CheckpointError(
                f"{self._key}.segmenter_path: gave {list(logits.shape)}; want one mask an image, "
                "[N, classes, H, W]"
            )
        output = torch.from_numpy(logits)
        mask = output.sigmoid() if output.shape[1] == 1 else 1 - output.softmax(1)[:, :1]
        return _at_size(mask, side)


class SamSegmenter:
    """Segment Anything (Kirillov et al. 2023), prompted with a box.

    The box is that of GroundingDINO (Liu et al. 2023) where one is given, else the one around the
    five points.
    """

    def __init__(
        self,
        folder: str,
        boxes: GroundingDino | None,
        device: torch.device,
        key: str = "editing",
    ) -> None:
        from transformers import SamModel

        self._model = _pretrained(SamModel, folder, f"{key}.segmenter_path").eval().to(device)
        self._boxes, self._device = boxes, device
        self._px = int(self._model.config.vision_config.image_size)

    @torch.no_grad()
    def faces(self, images_NHWC: np.ndarray, points_N52: np.ndarray) -> np.ndarray:
        side = images_NHWC.shape[1]
        boxes_N4 = boxes_about(points_N52, side)
        if self._boxes is not None:
            boxes_N4 = self._boxes.boxes(images_NHWC, boxes_N4)
        pixels = _normalized(images_NHWC, self._px).to(self._device)
        boxes = torch.from_numpy(boxes_N4 * (self._px / side)).float()[:, None]
        output = self._model(
            pixel_values=pixels, input_boxes=boxes.to(self._device), multimask_output=False
        )
        return _at_size(output.pred_masks[:, 0].sigmoid(), side)


class GroundingDino:
    """GroundingDINO: boxes of what a text names."""

    def __init__(self, folder: str, text: str, device: torch.device, key: str = "editing") -> None:
        from transformers import AutoTokenizer, GroundingDinoForObjectDetection

        self._model = _pretrained(GroundingDinoForObjectDetection, folder, f"{key}.grounding")
        self._model.eval().to(device)
        tokenizer = _pretrained(AutoTokenizer, folder, f"{key}.grounding")
        self._tokens = tokenizer([text], return_tensors="pt").to(device)
        self._device = device

    @torch.no_grad()
    def boxes(self, images_NHWC: np.ndarray, default_N4: np.ndarray) -> np.ndarray:
        """The best box of each image (left, top, right, bottom in pixels), or its default."""
        boxes_N4, side = default_N4.copy(), images_NHWC.shape[1]
        for row, image in enumerate(images_NHWC):
            pixels = _normalized(image[None], max(side, 224)).to(self._device)
            output = self._model(pixel_values=pixels, **self._tokens)
            scores = output.logits[0].sigmoid().max(1).values
            best = int(scores.argmax())
            if float(scores[best]) >= LEAST_BOX:
                x, y, width, height = output.pred_boxes[0, best].tolist()
                edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
                boxes_N4[row] = np.clip(edges, 0, 1) * side
        return boxes_N4


def boxes_about(points_N52: np.ndarray, side: int) -> np.ndarray:
    """Boxes [N, 4] around the five points of faces; the whole image where there are none."""
    low, high = points_N52.min(1), points_N52.max(1)
    margin = AROUND_POINTS * (high - low)
    boxes_N4 = np.concatenate([low - margin, high + margin], 1).clip(0, side)
    boxes_N4[~np.isfinite(points_N52).all((1, 2))] = (0, 0, side, side)
    return boxes_N4


def open_segmenter(config: RegionsConfig, device: torch.device) -> Segmenter | None:
    """The network that editing.segmenter or inpainting_training.segmenter names.

    None for landmarks, whose oval regions.py draws.
    """
    if config.segmenter == "landmarks":
        return None
    path, key = str(config.segmenter_path), _section(config)
    if config.segmenter == "onnx":
        return OnnxSegmenter(path, key)
    boxes = None
    if config.grounding:
        boxes = GroundingDino(config.grounding, config.grounding_text, device, key)
    return SamSegmenter(path, boxes, device, key)


def segmenter_sha256(config: RegionsConfig) -> str | None:
    """Digest of the segmenter's weights; raises CheckpointError for a path that holds none."""
    if config.segmenter == "landmarks":
        return None
    path, key = Path(str(config.segmenter_path)), _section(config)
    if config.segmenter == "onnx":
        if not path.is_file():
            raise CheckpointError(f"{key}.segmenter_path: no file {path}; want an .onnx")
        return file_sha256(path)
    files = _weights(path, "sam", f"{key}.segmenter_path")
    if config.grounding:
        grounding = Path(config.grounding)
        files += _weights(grounding, "grounding-dino", f"{key}.grounding")
        files += [file for name in TOKENIZER for file in sorted(grounding.glob(name))]
    return hashlib.sha256("".join(file_sha256(file) for file in files).encode()).hexdigest()


def _section(config: RegionsConfig) -> str:
    return "inpainting_training" if isinstance(config, InpaintingTrainingConfig) else "editing"


def _weights(folder: Path, model_type: str, key: str) -> list[Path]:
    """The files of a transformers model that decide its output."""
    files = sorted(folder.glob("*.safetensors"))
    try:
        stored_type = json.loads((folder / "config.json").read_text())["model_type"]
    except (OSError, ValueError, KeyError, TypeError):
        stored_type = None
    if not files or stored_type != model_type:
        raise CheckpointError(
            f"{key}: {folder} holds no {model_type} with .safetensors; want its folder, as "
            "transformers saves it"
        )
    return [folder / "config.json", *files]


def _pretrained(model: Any, folder: str, key: str) -> Any:
    try:
        return model.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except Exception as error:  # because transformers and safetensors share no class
        raise CheckpointError(
            f"{key}: {folder} holds no {model.__name__} ({type(error).__name__}); want its folder, "
            "as transformers saves it, with .safetensors"
        ) from None


def _normalized(images_NHWC: np.ndarray, px: int) -> torch.Tensor:
    """Images as [N, 3, px, px] with ImageNet's mean and deviation."""
    normal = (images_NHWC.astype(np.float32) / 255 - IMAGENET_MEAN) / IMAGENET_STD
    images = torch.from_numpy(np.ascontiguousarray(normal.transpose(0, 3, 1, 2)))
    return F.interpolate(images, (px, px), mode="bilinear", antialias=True)


def _at_size(mask_N1HW: torch.Tensor, side: int) -> np.ndarray:
    mask = F.interpolate(mask_N1HW.float().cpu(), (side, side), mode="bilinear")
    return np.asarray(mask[:, 0].clamp(0, 1))
