"""Real people in files of unit vectors, which may be larger than memory (identities.gallery)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from factory import checkpoint
from factory.config import Config
from factory.errors import PlanError
from factory.identities.gallery import FixedGallery, MappedGallery
from factory.identities.separability import check_unit

ROWS = 1 << 16
"""Rows checked at once."""

OpenGalleries = Callable[[Config], Sequence[FixedGallery]]
"""Opens what identities.gallery names: here, or over the actors of a cluster."""


def open_here(config: Config) -> list[FixedGallery]:
    """The files of identities.gallery, searched by this process."""
    return [MappedGallery(str(file)) for file in gallery_files(config)]


def gallery_files(config: Config) -> list[Path]:
    """The .npy files that identities.gallery names; raises PlanError when there are none."""
    if not config.identities.gallery:
        return []
    path = Path(config.identities.gallery)
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise PlanError(
            f"identities.gallery: no .npy at {str(path)!r}; write one with jobs.embed, or set null"
        )
    return files


def check_galleries(config: Config, dim: int) -> str | None:
    """Digest of all files together; raises PlanError unless each holds unit vectors [R, dim]."""
    digest = hashlib.sha256()
    for file in gallery_files(config):
        unit_RD = _mapped(file)
        if unit_RD.ndim != 2 or unit_RD.dtype not in (np.float32, np.float16):
            raise PlanError(
                f"identities.gallery: {file} holds {unit_RD.dtype} of shape {unit_RD.shape}; want "
                "float32 or float16 [R, D]"
            )
        if unit_RD.shape[1] != dim:
            raise PlanError(
                f"identities.gallery: {file} has vectors of {unit_RD.shape[1]}, the recognizer "
                f"embeds in {dim}; embed these people again by jobs.embed"
            )
        for start in range(0, len(unit_RD), ROWS):
            check_unit(unit_RD[start : start + ROWS], f"file {file} from row {start} on")
        digest.update(checkpoint.file_sha256(file).encode())
    return digest.hexdigest() if config.identities.gallery else None


def write_gallery(path: str, parts: Iterable[np.ndarray]) -> int:
    """Write unit vectors [B, D] as one float16 .npy, whole or not at all; returns how many.

    Raises PlanError for a file that is there already.
    """
    file = Path(path)
    if file.exists():
        raise PlanError(f"identities.gallery: {path} exists; name another file, or remove it")
    unit_RD = np.concatenate([part.astype(np.float16) for part in parts])
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    file.parent.mkdir(parents=True, exist_ok=True)
    with unfinished.open("wb") as target:
        np.save(target, unit_RD, allow_pickle=False)
    unfinished.replace(file)
    return len(unit_RD)


def _mapped(file: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise PlanError(f"identities.gallery: {file} is not a .npy file ({error})") from None
