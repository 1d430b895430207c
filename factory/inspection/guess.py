"""What kind of dataset lies at an address, and whether its faces are aligned, from a first look."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from factory.config.addresses import in_bucket
from factory.errors import SourceError
from factory.sources.base import CorruptImageError, FaceSource

STARTER, FOLDER, WEBDATASET, RECORDIO = "starter", "folder", "webdataset", "recordio"
LMDB, CVLFACE, PARQUET = "lmdb", "cvlface", "parquet"
HUB = "hf://"
LABELS = (".cls", ".json", ".id")
"""Members that a WebDataset has beside its images."""
PACKED = (".gz", ".tgz", ".xz", ".bz2", ".zst", ".zip", ".7z", ".rar")
MEMBERS = 64
"""Members of a tar that are looked at."""
LARGEST_ALIGNED_PX = 256
"""Images that all are squares of one size up to this are taken for aligned faces."""
PROBES = 64
"""Images whose sizes are looked at, evenly spaced."""


def guess_kind(address: str) -> str:
    """The source.kind of what lies at a path or address.

    Raises SourceError where nothing is, and for packed files that are not read as they are.
    """
    if address == STARTER and not Path(address).exists():
        return STARTER
    if address.startswith(HUB):
        return PARQUET
    if in_bucket(address):
        return WEBDATASET
    path = Path(address)
    if path.is_dir():
        return _kind_of_folder(path)
    if not path.is_file():
        raise SourceError(f"{address!r}: no such file or folder; check the path")
    return _kind_of_file(path)


def _kind_of_file(path: Path) -> str:
    name = path.name.lower()
    kinds = {".rec": RECORDIO, ".parquet": PARQUET, ".mdb": LMDB, ".lmdb": LMDB, ".tsv": CVLFACE}
    if path.suffix.lower() in kinds:
        return kinds[path.suffix.lower()]
    if name.endswith(".bin"):
        raise SourceError(f"{path}: a .bin holds pairs; give it by --pairs, beside a dataset")
    if name.endswith(PACKED):
        raise SourceError(f"{path}: is compressed; unpack it, then inspect the folder or .tar")
    if name.endswith(".tar"):
        return WEBDATASET if _has_labels(path) else FOLDER
    raise SourceError(
        f"{path}: no dataset; want a folder, .tar, .rec, .parquet, .mdb, train.tsv, a release, or "
        "give source.kind="
    )


def _kind_of_folder(path: Path) -> str:
    if (path / "SHA256SUMS").is_file():
        return WEBDATASET
    names = sorted(name.name for name in islice(path.iterdir(), 4096))
    if "train.tsv" in names:  # which may have a train.rec beside it
        return CVLFACE
    if any(name.endswith(".rec") for name in names):
        return RECORDIO
    if "data.mdb" in names:
        return LMDB
    if _first(path, "*.parquet") and not _first(path, "*.tar"):
        return PARQUET
    tar = _first(path, "*.tar")
    return WEBDATASET if tar and _has_labels(tar) else FOLDER


def source_path(address: str, kind: str) -> str | None:
    """What source.path is for that reader: the .rec in a folder, the folder of a data.mdb."""
    if kind == STARTER:
        return None
    path = Path(address)
    if kind == LMDB and path.name == "data.mdb":
        return str(path.parent)
    if kind == RECORDIO and path.is_dir():
        records = sorted(path.glob("*.rec"))
        named = [record for record in records if record.name == "train.rec"] or records
        if len(named) != 1:
            found = ", ".join(record.name for record in records) or "none"
            raise SourceError(f"{address}: holds {found} as .rec; name the file that is meant")
        return str(named[0])
    return address


def guess_aligned_px(source: FaceSource) -> int | None:
    """Side of the images, where all of them are squares of one small size; else None."""
    sizes = {size for size in _sizes(source)}
    if len(sizes) != 1:
        return None
    width, height = sizes.pop()
    return width if width == height <= LARGEST_ALIGNED_PX else None


def image_header(data: bytes | memoryview) -> tuple[str, str, int, int]:
    """Format, color mode, width and height of an encoded image; raises OSError for another one."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as image:
        return image.format or "unknown", image.mode, image.width, image.height


def _sizes(source: FaceSource) -> Iterator[tuple[int, int]]:
    indices = np.unique(np.linspace(0, len(source) - 1, PROBES).astype(int))
    for index in indices:
        try:
            yield image_header(source.encoded(int(index)))[2:]
        except (CorruptImageError, OSError, ValueError, SyntaxError):
            continue


def _has_labels(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:") as tar:
            return any(member.name.lower().endswith(LABELS) for member in islice(tar, MEMBERS))
    except tarfile.TarError as error:
        raise SourceError(f"{path}: is not a readable plain tar ({error})") from None


def _first(path: Path, pattern: str) -> Path | None:
    """The first file that matches, there or one folder deeper."""
    return next(iter(sorted([*path.glob(pattern), *path.glob(f"*/{pattern}")])), None)
