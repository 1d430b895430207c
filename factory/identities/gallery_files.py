"""Real people in files of unit vectors, which may be larger than memory (identities.gallery)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from factory import checkpoint
from factory.config import Config
from factory.errors import PlanError
from factory.identities.gallery import FixedGallery, MappedGallery
from factory.identities.gate import check_unit
from factory.store.atomic import write_atomically, writing

ROWS = 1 << 16
"""Rows checked at once."""

OpenGalleries = Callable[[Config], Sequence[FixedGallery]]
"""Opens what identities.gallery names, in this process or over the actors of a cluster."""


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


def check_galleries(config: Config, dim: int, recognizer_sha256: str) -> str | None:
    """Digest of all files together, None without any.

    Raises PlanError unless each holds unit vectors [R, dim] of this recognizer, which the .json of
    the same name states.
    """
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
        if _recognizer_of(file) != recognizer_sha256:
            raise PlanError(
                f"identities.gallery: {file.with_suffix('.json')} does not name this recognizer "
                f"({recognizer_sha256[:12]}...) as theirs; embed these people by jobs.embed"
            )
        for start in range(0, len(unit_RD), ROWS):
            check_unit(unit_RD[start : start + ROWS], f"file {file} from row {start} on")
        digest.update(checkpoint.file_sha256(file).encode())
    return digest.hexdigest() if config.identities.gallery else None


def write_gallery(path: str, parts: Iterable[np.ndarray], recognizer_sha256: str) -> int:
    """Write unit vectors [B, D] part by part as one float16 .npy; returns how many.

    The file appears whole or not at all, with a .json that names the recognizer. Raises PlanError
    for a file that exists already.
    """
    file = Path(path)
    if file.exists():
        raise PlanError(f"identities.gallery: {path} exists; name another file, or remove it")
    count, dim = 0, 0
    names_it = json.dumps({"recognizer": recognizer_sha256}, allow_nan=False).encode() + b"\n"
    with writing(file, "identities.gallery") as target:
        target.write(_header(count, dim))
        for part in parts:
            target.write(part.astype("<f2").tobytes())
            count, dim = count + len(part), part.shape[1]
        target.seek(0)
        target.write(_header(count, dim))
        write_atomically(file.with_suffix(".json"), names_it, "identities.gallery")
    return count


def _header(num_rows: int, dim: int) -> bytes:
    """The header of a .npy of float16 [num_rows, dim], always of the same size."""
    shape = f"({num_rows}, {dim})"
    text = f"{{'descr': '<f2', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + text.ljust(117).encode() + b"\n"


def _recognizer_of(file: Path) -> str | None:
    try:
        return str(json.loads(file.with_suffix(".json").read_text())["recognizer"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _mapped(file: Path) -> np.ndarray:
    try:
        return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
    except (ValueError, OSError, EOFError) as error:
        raise PlanError(f"identities.gallery: {file} is not a .npy file ({error})") from None
