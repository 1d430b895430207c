"""Any network of face image quality assessment (FIQA) that is an .onnx: an image in, a number out.

It is run by onnxruntime from its bytes, so that it reads no other file, and never unpickled.

Shapes: B images, S side of what the network takes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from factory.checkpoint import file_sha256
from factory.config import QualityConfig
from factory.errors import CheckpointError
from factory.images import to_network
from factory.recognition.embed import providers

KEY = "quality.model"
MAX_BYTES = 1 << 31
"""Largest .onnx, which is that of a protobuf message."""
BATCH = 32


class OnnxQuality:
    """Quality [B] of RGB uint8 images by a network, more for better ones.

    It must take one input [N, 3, S, S], and one of its outputs must give a number for each image.
    Raises CheckpointError for any other.
    """

    def __init__(self, config: QualityConfig, device: torch.device) -> None:
        assert config.model, f"needs {KEY}"
        self._config, path = config, Path(config.model)
        self.sha256 = model_sha256(config)
        self._session = _session(path, device)
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        square = len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3]
        if len(inputs) != 1 or not square or not isinstance(shape[2], int):
            raise CheckpointError(f"{KEY}: {path} takes {shape}; want one input [N, 3, S, S]")
        self._input, self._px = inputs[0].name, int(shape[2])
        self._batch = shape[0] if isinstance(shape[0], int) else None
        self._output = self._find_output(path)

    def scores(self, images_BHWC: np.ndarray | torch.Tensor) -> np.ndarray:
        """Quality, float32 [B], of images that are resized to what the network takes.

        A network of any number of images sees all of them at once where they are at most BATCH.
        """
        x_BCHW = self._seen(images_BHWC)
        step = self._batch or BATCH
        parts = [np.empty(0, np.float32)]
        for start in range(0, len(x_BCHW), step):
            part = x_BCHW[start : start + step]
            missing = step - len(part) if self._batch else 0
            padded = np.concatenate([part, np.repeat(part[:1], missing, 0)]) if missing else part
            output = self._session.run([self._output], {self._input: padded})[0]
            parts.append(np.asarray(output, np.float32).reshape(-1)[: len(part)])
        return np.concatenate(parts)

    def _seen(self, images_BHWC: np.ndarray | torch.Tensor) -> np.ndarray:
        """float32 [B, 3, S, S] in the colors and the range that the network takes."""
        if isinstance(images_BHWC, np.ndarray):
            images_BHWC = torch.from_numpy(np.ascontiguousarray(images_BHWC))
        x_BCHW, size = to_network(images_BHWC.cpu()), (self._px, self._px)
        if x_BCHW.shape[2:] != size:
            x_BCHW = F.interpolate(x_BCHW, size, mode="bilinear", antialias=True)
        if self._config.channels == "bgr":
            x_BCHW = x_BCHW.flip(1)
        if self._config.pixels != "signed":
            x_BCHW = (x_BCHW + 1) * (0.5 if self._config.pixels == "unit" else 127.5)
        return np.ascontiguousarray(x_BCHW.numpy(), np.float32)

    def _find_output(self, path: Path) -> str:
        """The name of the one output with a number for each image, by a trial."""
        names = [str(output.name) for output in self._session.get_outputs()]
        count = self._batch or 2
        x_BCHW = np.zeros((count, 3, self._px, self._px), np.float32)
        try:
            outputs = self._session.run(names, {self._input: x_BCHW})
        except Exception as error:  # because onnxruntime's own are no public classes
            raise CheckpointError(f"{KEY}: {path} cannot be run ({_first_line(error)})") from None
        shapes = {name: np.shape(out) for name, out in zip(names, outputs, strict=True)}
        fitting = [n for n, s in shapes.items() if s[:1] == (count,) and np.prod(s) == count]
        if len(fitting) != 1:
            told = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
            raise CheckpointError(
                f"{KEY}: {path} gives {told} for {count} images; want one output with a number for "
                "each image"
            )
        return str(fitting[0])


def model_sha256(config: QualityConfig) -> str:
    """The digest of the network that a config names; raises CheckpointError where there is none."""
    path = Path(config.model or "")
    if not path.is_file() or path.suffix != ".onnx":
        raise CheckpointError(f"{KEY}: got {config.model!r}; want an .onnx that is on disk")
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointError(f"{KEY}: {path} is larger than {MAX_BYTES >> 30} GiB; want a network")
    return file_sha256(path)


def _session(path: Path, device: torch.device) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise CheckpointError(
            f"{KEY}: needs onnxruntime; pip install 'face-factory[eval]'"
        ) from None
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), providers=providers(device))
    except Exception as error:  # because onnxruntime's own are no public classes
        raise CheckpointError(
            f"{KEY}: {path} is not a readable .onnx ({_first_line(error)}); want one file without "
            "others beside it"
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
