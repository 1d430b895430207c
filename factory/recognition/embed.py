"""Trained recognizers as embedders: images in, unit vectors out."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from factory import checkpoint
from factory.errors import StoreError
from factory.images import to_network
from factory.recognition.backbone import IResNet
from factory.recognition.quality import QualityHead, ser_fiq
from factory.store.shared_rows import SHARED_FROM_BYTES, shared_rows

RESIZE = "bilinear, antialiased"
"""How images of another size become those that a recognizer was trained with; no pixel is rounded
in between."""
PASSES = 100
"""Dropout passes of SER-FIQ, as in its paper."""


class Embedder(Protocol):
    """Anything that embeds aligned faces."""

    sha256: str
    dim: int
    image_px: int
    """Side of the aligned faces that it was made for."""

    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        """RGB uint8 [N, H, W, 3] -> float32 unit vectors [N, dim]."""
        ...

    def embed_with_mirror(self, images_NHWC: np.ndarray) -> np.ndarray:
        """Unit vectors of image and mirror image summed, as protocols do (METHODS 7)."""
        ...


def with_mirror(embedder: Embedder, images_NHWC: np.ndarray) -> np.ndarray:
    """Unit vectors of image and mirror image summed, by two calls of `embed`."""
    both = embedder.embed(images_NHWC) + embedder.embed(images_NHWC[:, :, ::-1])
    return np.asarray(both / np.linalg.norm(both, axis=1, keepdims=True))


class Recognizer:
    """Backbone and prototypes of a checkpoint, frozen, in float32."""

    def __init__(self, loaded: checkpoint.Checkpoint, device: torch.device) -> None:
        shape = loaded.config
        self.dim = int(shape["embedding_dim"])
        self.image_px = int(shape["image_px"])
        self.sha256 = loaded.sha256
        self.metrics: dict[str, Any] = loaded.metrics
        self.device = device
        self.real_names: list[str] = list(shape["real_names"])
        self.unit_real = _unit_rows(loaded, "prototypes.real").numpy()
        self.unit_virtual = _unit_rows(loaded, "prototypes.virtual").numpy()
        self.backbone: IResNet | OnnxBackbone
        if shape["backbone"] == "onnx":
            model = loaded.tensors["onnx"].numpy().tobytes()
            mean, std = shape["input_mean_std"]
            self.backbone = OnnxBackbone(model, mean, std, device)
        else:
            self.backbone = IResNet(shape["backbone"], self.dim, self.image_px, shape["dropout"])
            weights = {n: t for n, t in loaded.tensors.items() if n.startswith("backbone.")}
            self.backbone.load_state_dict(
                {n.removeprefix("backbone."): t for n, t in weights.items()}
            )
            self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.backbone.eval().requires_grad_(False).to(device)
        self._head: QualityHead | None = None
        if shape.get("quality_head"):
            head = {n: loaded.tensors[f"quality.{n}"] for n in ("linear.weight", "linear.bias")}
            self._head = QualityHead(self.dim).to(device).requires_grad_(False)
            self._head.load_state_dict(head)

    @classmethod
    def load(
        cls, name: str, device: torch.device, key: str = "recognizer.checkpoint"
    ) -> Recognizer:
        """From a checkpoint folder or starter:NAME; raises CheckpointError naming `key`."""
        return cls(checkpoint.load(name, "recognizer", key), device)

    def embed(self, images_NHWC: np.ndarray | torch.Tensor, batch_size: int = 64) -> np.ndarray:
        """Unit vectors of RGB uint8 images [N, px, px, 3], which may be on a device already."""
        parts = [self._embed(part) for part in _batches(images_NHWC, batch_size)]
        return torch.cat(parts).cpu().numpy()

    @torch.inference_mode()
    def features(self, images_NHWC: np.ndarray, batch_size: int = 64) -> torch.Tensor:
        """Embeddings before they are normalized, [N, dim], float32, on the recognizer's device."""
        parts = [self.backbone(self._seen(part)) for part in _batches(images_NHWC, batch_size)]
        return torch.cat(parts).float()

    def embed_with_mirror(self, images_NHWC: np.ndarray) -> np.ndarray:
        return with_mirror(self, images_NHWC)

    @property
    def has_gradients(self) -> bool:
        """Whether losses can go through it (not through an imported ONNX)."""
        return not isinstance(self.backbone, OnnxBackbone)

    def unit_features(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Differentiable unit embeddings of images in [-1, 1] (identity losses)."""
        return F.normalize(self.backbone(x_BCHW))

    @torch.inference_mode()
    def cr_fiqa(self, images_NHWC: np.ndarray | torch.Tensor) -> np.ndarray:
        """Quality [N] of RGB uint8 images by the head that was trained with the backbone."""
        assert self._head is not None, "needs recognizer.quality_weight (preflight)"
        x_BCHW = self._seen(images_NHWC)
        quality_B: torch.Tensor = self._head(self.backbone(x_BCHW).float())
        return quality_B.cpu().numpy()

    @torch.inference_mode()
    def ser_fiq(self, images_NHWC: np.ndarray | torch.Tensor) -> np.ndarray:
        """Agreement [N] in [0, 1] of PASSES dropout embeddings of RGB uint8 images.

        The dropout masks are fixed, so that a score does not depend on the other images.
        """
        assert isinstance(self.backbone, IResNet), "needs a recognizer with dropout (preflight)"
        assert self.backbone.dropout.p, "needs recognizer.dropout (preflight)"
        x_BCHW = self._seen(images_NHWC)
        unit_BMD = F.normalize(self.backbone.dropout_passes(x_BCHW, PASSES), dim=2)
        return ser_fiq(unit_BMD).cpu().numpy()

    @torch.inference_mode()
    def _embed(self, images_BHWC: np.ndarray | torch.Tensor) -> torch.Tensor:
        return self.unit_features(self._seen(images_BHWC))

    def _seen(self, images_BHWC: np.ndarray | torch.Tensor) -> torch.Tensor:
        """RGB uint8 images as the backbone sees them: resized (RESIZE) where they are larger."""
        if isinstance(images_BHWC, np.ndarray):
            images_BHWC = torch.from_numpy(np.ascontiguousarray(images_BHWC))
        x_BCHW, size = to_network(images_BHWC.to(self.device)), (self.image_px, self.image_px)
        if x_BCHW.shape[2:] != size:
            x_BCHW = F.interpolate(x_BCHW, size, mode="bilinear", antialias=True)
        return x_BCHW


def providers(device: torch.device) -> list[Any]:
    """Where onnxruntime runs a model."""
    if device.type != "cuda":
        return ["CPUExecutionProvider"]
    return [("CUDAExecutionProvider", {"device_id": device.index or 0}), "CPUExecutionProvider"]


class OnnxBackbone(nn.Module):
    """An insightface model as a backbone: images in [-1, 1] to embeddings, without gradients."""

    def __init__(self, model: bytes, mean: float, std: float, device: torch.device) -> None:
        super().__init__()
        import onnxruntime

        self._session = onnxruntime.InferenceSession(model, providers=providers(device))
        self._input = self._session.get_inputs()[0]
        self._mean, self._std = mean, std

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        x = ((x_BCHW * 127.5 + 127.5 - self._mean) / self._std).float().cpu().numpy()
        fixed = self._input.shape[0]
        size = fixed if isinstance(fixed, int) else len(x)
        parts = [self._run(x[start : start + size], size) for start in range(0, len(x), size)]
        return torch.from_numpy(np.concatenate(parts)).to(x_BCHW.device)

    def _run(self, x: np.ndarray, size: int) -> np.ndarray:
        padded = np.concatenate([x, np.repeat(x[:1], size - len(x), 0)])
        inputs = {self._input.name: np.ascontiguousarray(padded)}
        return np.asarray(self._session.run(None, inputs)[0][: len(x)], np.float32)


def _unit_rows(loaded: checkpoint.Checkpoint, name: str) -> torch.Tensor:
    """Unit prototypes of a checkpoint; none while a training is still going on.

    Where they are many, the processes of a machine map one copy.
    """
    rows_ND = loaded.tensors.get(name, torch.empty(0, int(loaded.config["embedding_dim"])))
    if rows_ND.nbytes >= SHARED_FROM_BYTES and loaded.sha256:
        with suppress(StoreError):  # a copy of its own does as well
            shape, file = (len(rows_ND), rows_ND.shape[1]), f"{loaded.sha256}.{name}.f32"
            return shared_rows(file, lambda a, b: F.normalize(rows_ND[a:b]), shape)
    return F.normalize(rows_ND)


def _batches(
    images_NHWC: np.ndarray | torch.Tensor, batch_size: int
) -> Iterable[np.ndarray | torch.Tensor]:
    for start in range(0, len(images_NHWC), batch_size):
        yield images_NHWC[start : start + batch_size]
