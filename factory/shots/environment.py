"""What the bytes of a release depend on besides its settings: our code, libraries, the CPU."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

from factory.shots.request import Environment

ROOMS_THAT_DECIDE_BYTES = (
    "__init__.py",
    "config/rendering.py",
    "diffusion",
    "editing",
    "identities",
    "images.py",
    "quality",
    "recognition",
    "rendering",
    "seeds.py",
    "shards",
    "shots",
    "sources",
    "store/parquet.py",
    "synthesis",
    "text_to_image",
    "training/distributed.py",
)
"""What of this package a release's bytes depend on. The others move bytes, check them, measure them
or show them: a mistake that is repaired there refuses no resume."""

CPU_FACTS = ("machine", "cpu_capability", "cpu_bf16", "cpu_amx")
"""What of the stack only tells which kernels are likely; the canary tells what they make."""


def environment() -> Environment:
    """The environment of this process."""
    return Environment(sources_sha256(), stack_fingerprint())


def sources_sha256(root: Path = Path(__file__).parent.parent) -> str:
    """sha256 over the Python files of the rooms that decide bytes: other ones may make others."""
    digest = hashlib.sha256()
    for room in ROOMS_THAT_DECIDE_BYTES:
        for file in sorted((root / room).rglob("*.py")) or [root / room]:
            name = file.relative_to(root).as_posix()
            digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def stack_fingerprint() -> dict[str, str]:
    """Versions and instruction set on which the bytes depend."""
    import cv2
    import diffusers
    import faiss
    import numpy
    import PIL
    import pyarrow
    import torch

    return {
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_bf16": str(torch.cpu._is_avx512_bf16_supported()),  # these decide oneDNN's kernels
        "cpu_amx": str(torch.cpu._is_amx_tile_supported()),
        "faiss": faiss.__version__,
        "opencv": cv2.__version__,
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "numpy": numpy.__version__,
        "pillow": PIL.__version__,
        "pyarrow": pyarrow.__version__,
    }
