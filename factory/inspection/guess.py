"""What kind of dataset lies at an address, and whether its faces are aligned, from a first look."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np

from factory.config import SourceConfig
from factory.config.addresses import check_hub_address, check_path, in_bucket
from factory.errors import SourceError
from factory.sources.base import CorruptImageError, FaceSource
from factory.sources.cvlface_tables import TABLE
from factory.sources.decoding import image_header
from factory.sources.listing import is_system_part
from factory.sources.record_source import records_of
from factory.sources.tar_scan import is_system_file
from factory.sources.tar_set import PLAN, SUCCESS, SUMS

STARTER, RENDERED = "starter", "rendered"
FOLDER, WEBDATASET, RECORDIO = "folder", "webdataset", "recordio"
LMDB, CVLFACE, PARQUET = "lmdb", "cvlface", "parquet"
KINDS: tuple[str, ...] = get_args(get_type_hints(SourceConfig)["kind"])
SHAPES = {
    STARTER: "that word",
    RENDERED: "that word",
    FOLDER: "a folder, or .tar, with one folder a person",
    WEBDATASET: "a release, .tar with labels, a folder of these or s3://bucket/prefix",
    RECORDIO: "a .rec",
    LMDB: "a .lmdb, .mdb or its folder",
    CVLFACE: "train.tsv or its folder",
    PARQUET: "a .parquet, a folder of these or hf://owner/name",
}
"""What each kind of source is called where it lies."""
HUB = "hf:"
"""What begins an address of the hub, right or wrong."""
INDEX = "index"
"""The folder of a release's manifest."""
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

    Raises SourceError where nothing is and for packed files, which are not read as they are, and
    ConfigError for an address that is none.
    """
    path = Path(address)
    if address in (STARTER, RENDERED) and not path.exists():
        return address
    if address.startswith(HUB) and not path.exists():
        check_hub_address("SOURCE", address)
        return PARQUET
    if in_bucket(address):
        return WEBDATASET
    if path.is_dir():
        return _kind_of_folder(path)
    if not path.is_file():
        check_path("SOURCE", address)
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
    shapes = "; ".join(f"{kind}: {SHAPES[kind]}" for kind in KINDS)
    raise SourceError(f"{path}: no dataset; want one of {shapes}; or give source.kind=")


def _kind_of_folder(path: Path) -> str:
    if _is_release(path):
        return WEBDATASET
    names = [name.name for name in islice(path.iterdir(), 4096) if not is_system_part(name.name)]
    if TABLE in names:  # which may have a train.rec beside it
        return CVLFACE
    if any(name.endswith(".rec") for name in names):
        return RECORDIO
    if "data.mdb" in names:
        return LMDB
    if _first(path, "*.parquet") and not _first(path, "*.tar"):
        return PARQUET
    tar = _first(path, "*.tar")
    return WEBDATASET if tar and _has_labels(tar) else FOLDER


def _is_release(path: Path) -> bool:
    """Whether a folder is a release; SHA256SUMS alone lies in exports of one too."""
    has_sums = (path / SUMS).is_file()
    return (path / SUCCESS).is_file() or (
        has_sums and ((path / PLAN).is_file() or (path / INDEX).is_dir())
    )


def source_path(address: str, kind: str) -> str | None:
    """What source.path is for that reader: the .rec in a folder, the folder of a data.mdb.

    Raises SourceError for a folder with several .rec.
    """
    if kind in (STARTER, RENDERED):
        return None
    path = Path(address)
    if kind == LMDB and path.name == "data.mdb":
        return str(path.parent)
    if kind == RECORDIO and path.is_dir():
        return str(records_of(path))
    return address


def guess_aligned_px(source: FaceSource) -> int | None:
    """Side of the images, where all of them are squares of one small size; else None."""
    sizes = {size for size in _sizes(source)}
    if len(sizes) != 1:
        return None
    width, height = sizes.pop()
    return width if width == height <= LARGEST_ALIGNED_PX else None


def _sizes(source: FaceSource) -> Iterator[tuple[int, int]]:
    indices = np.unique(np.linspace(0, len(source) - 1, PROBES).astype(int))
    for index in indices.tolist():
        try:
            width, height = image_header(source.encoded(index), str(source.keys[index]))[2:]
        except (CorruptImageError, OSError):
            continue
        if width * height <= SourceConfig().max_pixels:  # no larger one is decoded
            yield width, height


def _has_labels(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:") as tar:
            names = (member.name.lower() for member in tar)
            members = islice((name for name in names if not is_system_file(name)), MEMBERS)
            return any(name.endswith(LABELS) for name in members)
    except tarfile.TarError as error:
        raise SourceError(f"{path}: is not a readable plain tar ({error})") from None


def _first(path: Path, pattern: str) -> Path | None:
    """The first file that matches and is not the system's, there or one folder deeper."""
    found = sorted([*path.glob(pattern), *path.glob(f"*/{pattern}")])
    own = (one for one in found if not any(map(is_system_part, one.relative_to(path).parts)))
    return next(own, None)
