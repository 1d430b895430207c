"""What the bytes of a release depend on beside its settings: our sources, libraries, the CPU."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path


def sources_hash() -> str:
    """sha256 over the package's Python files: another factory may make other bytes."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(
            file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0"
        )
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
