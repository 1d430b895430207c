"""Further networks, besides recognizers, that sets of images are compared by (METHODS 7).

They are the FID's Inception as an .onnx and CLIP's image encoder, in whose features sets are
compared, and CR-FIQA's head. All are on disk; nothing is fetched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from factory.checkpoint import file_sha256, read_metadata
from factory.config import FeaturesConfig
from factory.errors import CheckpointError
from factory.evaluation.embeddings import Space
from factory.recognition.embed import Recognizer
from factory.sources import open_source

BATCH = 32
CLIP_WEIGHTS = "model.safetensors"
QUALITY = "quality"
"""Name of the space of CR-FIQA's scores, [N, 1]."""


def check_networks(config: FeaturesConfig, image_px: int) -> None:
    """Raise CheckpointError or SourceError unless the files that a config names can be used.

    The quality head sees a resized copy of images that are larger than its own.
    """
    for source in config.reference_sets:
        open_source(source)
    if config.quality:
        shape = read_metadata(config.quality, "recognizer", "features.quality")["config"]
        if not shape.get("quality_head"):
            raise CheckpointError(
                f"features.quality: {config.quality} has no quality head; train it with "
                "recognizer.quality_weight=10"
            )
        if shape["image_px"] > image_px:
            raise CheckpointError(
                f"features.quality: sees images of {shape['image_px']} px; "
                f"source.image_px is {image_px}; want at least as many"
            )
    _check_files(config)


def _check_files(config: FeaturesConfig) -> None:
    if config.inception and not Path(config.inception).is_file():
        raise CheckpointError(
            f"features.inception: no such file {config.inception!r}; want an .onnx that is on disk"
        )
    if config.clip and not (Path(config.clip) / CLIP_WEIGHTS).is_file():
        raise CheckpointError(
            f"features.clip: {config.clip!r} has no {CLIP_WEIGHTS}; want the folder of a CLIP model"
        )


def open_networks(config: FeaturesConfig, device: torch.device) -> dict[str, Space]:
    """The networks a config names; raises CheckpointError for one that cannot be opened."""
    _check_files(config)
    networks: dict[str, Space] = {}
    if config.inception:
        networks["inception"] = OnnxFeatures(config.inception)
    if config.clip:
        networks["clip"] = ClipFeatures(config.clip, device)
    return networks


def open_quality(config: FeaturesConfig, device: torch.device) -> dict[str, Space]:
    """The CR-FIQA head a config names, by QUALITY; empty without one."""
    return {QUALITY: QualitySpace(config.quality, device)} if config.quality else {}


class QualitySpace:
    """CR-FIQA as a space of one dimension: scores are computed and cached as vectors are."""

    has_unit_length = False

    def __init__(self, name: str, device: torch.device) -> None:
        self._recognizer = Recognizer.load(name, device, "features.quality")
        self.sha256 = f"cr_fiqa {self._recognizer.sha256}"

    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        starts = range(0, len(images_NHWC), BATCH)
        parts = [self._recognizer.cr_fiqa(images_NHWC[i : i + BATCH]) for i in starts]
        return np.concatenate(parts).astype(np.float32)[:, None]


class OnnxFeatures:
    """An .onnx from float32 RGB [N, 3, S, S] in [-1, 1] to features [N, D]; S is its own."""

    has_unit_length = False

    def __init__(self, path: str) -> None:
        key = "features.inception"
        try:
            import onnxruntime
        except ImportError:
            raise CheckpointError(
                f"{key}: needs onnxruntime; pip install 'face-factory[eval]'"
            ) from None
        self.sha256 = file_sha256(Path(path))
        try:
            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # because onnxruntime's own are no public classes
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"{key}: {path} is not a readable .onnx ({reason})") from None
        (self._input,) = self._session.get_inputs()[:1]
        shape = self._input.shape
        if len(shape) != 4 or shape[1] != 3 or not isinstance(shape[2], int):
            raise CheckpointError(f"{key}: {path} takes {shape}; want [N, 3, S, S]")
        self._px = shape[2]

    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(images_NHWC), BATCH):
            x_BHWC = _resized(images_NHWC[start : start + BATCH], self._px, cv2.INTER_LINEAR)
            x_BCHW = (x_BHWC / 127.5 - 1).transpose(0, 3, 1, 2)
            output = self._session.run(None, {self._input.name: x_BCHW.astype(np.float32)})[0]
            parts.append(output.reshape(len(x_BHWC), -1))
        return np.concatenate(parts).astype(np.float32)


class ClipFeatures:
    """CLIP's projected image embedding, of unit length for CMMD (Jayasumana et al. 2024)."""

    has_unit_length = True
    MEAN = (0.48145466, 0.4578275, 0.40821073)
    STD = (0.26862954, 0.26130258, 0.27577711)

    def __init__(self, folder: str, device: torch.device) -> None:
        from transformers import CLIPVisionModelWithProjection

        try:
            model: Any = CLIPVisionModelWithProjection.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise CheckpointError(f"features.clip: {folder} is no CLIP model ({reason})") from None
        parts = (file_sha256(Path(folder) / name) for name in ("config.json", CLIP_WEIGHTS))
        self.sha256 = " ".join(parts)
        self._model = model.eval().requires_grad_(False).to(device)
        self._px, self._device = int(model.config.image_size), device

    @torch.inference_mode()
    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        mean, std = np.array(self.MEAN, np.float32), np.array(self.STD, np.float32)
        parts = []
        for start in range(0, len(images_NHWC), BATCH):
            x_BHWC = _resized(images_NHWC[start : start + BATCH], self._px, cv2.INTER_CUBIC) / 255
            x_BCHW = torch.from_numpy(((x_BHWC.clip(0, 1) - mean) / std).transpose(0, 3, 1, 2))
            features_BD = self._model(x_BCHW.contiguous().to(self._device)).image_embeds
            parts.append(torch.nn.functional.normalize(features_BD.float()).cpu().numpy())
        return np.concatenate(parts)


def _resized(images_NHWC: np.ndarray, px: int, interpolation: int) -> np.ndarray:
    """float32 [N, px, px, 3], values 0 to 255 (cubic ones may overshoot)."""
    return np.stack(
        [
            cv2.resize(image.astype(np.float32), (px, px), interpolation=interpolation)
            for image in images_NHWC
        ]
    )
