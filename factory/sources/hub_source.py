"""Faces of a dataset on the Hugging Face hub, hf://owner/name[@revision], read by `datasets`.

Its files are fetched at one commit into the hub's cache (HF_HOME), none of them code; with
HF_HUB_OFFLINE=1 only what is there already is used. `datasets` turns them into Arrow files below
$XDG_CACHE_HOME/face-factory/datasets, which all processes map.
"""

from __future__ import annotations

import hashlib
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from factory.config import SourceConfig
from factory.config.addresses import check_hub_address, hub_and_revision, on_hub
from factory.errors import ConfigError, SourceError
from factory.sources.base import CorruptImageError
from factory.sources.columns import Columns, kept_columns
from factory.sources.entries import UnreadImageError
from factory.sources.image_table import TableSource, choose, columns_of, people
from factory.sources.left_out import NO_LABEL, Tally
from factory.store.atomic import refusal
from factory.store.cache import cache_root

if TYPE_CHECKING:
    from factory.sources.readers import FaceDecoder

CARD = "README.md"
DATA = (
    *("*.parquet", "*.arrow", "*.tar", "*.zip", "*.csv", "*.tsv", "*.json", "*.jsonl"),
    *(f"*.{form}" for s in ("jpg", "jpeg", "png", "webp", "bmp", "tif") for form in (s, s.upper())),
)
"""Files that are fetched beside the card: tables, archives and images; no code, no pickles."""
FORMAT = 1
"""Raised when the columns of an index change."""


class HubSource(TableSource):
    """A FaceSource over all splits of a dataset on the hub, at one commit."""

    def __init__(self, config: SourceConfig, decoder: FaceDecoder) -> None:
        address = config.path or ""
        self._folder = snapshot(address)
        self._splits = _splits(address, self._folder)
        asked = (FORMAT, address, commit_of(config), config.parquet_image, config.parquet_label)
        digest = hashlib.sha256(repr(asked).encode()).hexdigest()
        folder = cache_root() / "indexes" / f"hub-{digest[:32]}"
        columns = kept_columns(folder, lambda: _build(self._splits, config))
        super().__init__(config, decoder, columns)
        self._image = str(columns.facts["image"])
        self._remarks = (f"source.path: {address} is read at commit {commit_of(config)}",)

    def encoded(self, index: int) -> bytes:
        """The bytes of one image, of its table or of a file that was fetched with it."""
        split = self._splits[int(self.columns["split"][index])][1]
        found = split.data.column(self._image)[int(self.columns["row"][index])].as_py()
        image = found if isinstance(found, dict) else {"bytes": found}
        if image["bytes"] is not None:
            return bytes(image["bytes"])
        path = Path(image.get("path") or "")
        inside = any(path.is_relative_to(root) for root in (self._folder, _arrow_files()))
        if not inside or ".." in path.parts:
            raise CorruptImageError(f"{self.keys[index]}: lies outside of the dataset")
        try:
            return path.read_bytes()
        except OSError as error:
            raise UnreadImageError(
                f"{self.keys[index]}: cannot be read ({error.strerror})"
            ) from None


@cache
def snapshot(address: str) -> Path:
    """The folder of this machine with the files of a dataset at one commit.

    Raises ConfigError without the library and for an address that is none, SourceError where the
    dataset cannot be had. A process that asks again gets the same commit.
    """
    check_hub_address("source.path", address)
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.constants import is_offline_mode
    except ImportError:
        raise ConfigError(MISSING.format(what=f"source.path: {address}")) from None
    name, revision = hub_and_revision(address)
    try:
        found = snapshot_download(
            name,
            repo_type="dataset",
            revision=revision,
            allow_patterns=[CARD, *DATA],
            local_files_only=is_offline_mode(),
        )
    except Exception as error:  # because it raises what its HTTP library does, too
        if refusal(error):
            raise
        if is_offline_mode():
            raise SourceError(
                f"source.path: {address} is not in this machine's cache of the hub, and "
                "HF_HUB_OFFLINE is set; fetch it once without, `hf download --repo-type dataset "
                f"{name}`"
            ) from None
        raise SourceError(
            f"source.path: {address} cannot be had ({type(error).__name__}); check the name, the "
            "revision, and `hf auth login` for one that is private"
        ) from None
    return Path(found)


MISSING = "{what} needs the libraries of the hub; run: pip install 'face-factory[hub]'"


def commit_of(config: SourceConfig) -> str:
    """The commit at which a dataset of the hub is read; empty for any other source."""
    return snapshot(config.path or "").name if on_hub(config.path or "") else ""


def license_on_card(config: SourceConfig) -> str:
    """The license that the card of a dataset of the hub states; empty where it states none."""
    stated = _header(snapshot(config.path or "")).get("license", "")
    return " AND ".join(map(str, stated)) if isinstance(stated, list) else str(stated or "")


def _header(folder: Path) -> dict[str, Any]:
    """The YAML header of a dataset's card; empty where it has none."""
    import yaml

    card = folder / CARD
    text = card.read_text("utf-8", "replace") if card.is_file() else ""
    header = text.removeprefix("---\n").partition("\n---")[0] if text.startswith("---\n") else ""
    try:
        found = yaml.safe_load(header)
    except yaml.YAMLError:
        found = None
    return found if isinstance(found, dict) else {}


def _splits(address: str, folder: Path) -> list[tuple[str, Any]]:
    """Each split by name; raises SourceError for what `datasets` does not read."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise ConfigError(MISSING.format(what=f"source.path: {address}")) from None
    _refuse_outside(address, _header(folder).get("configs"))
    try:
        found = load_dataset(str(folder), cache_dir=str(_arrow_files()))
    except Exception as error:  # because builders raise nearly anything
        if refusal(error):
            raise
        cause = error.__cause__ or error
        first = (str(cause).splitlines() or [""])[0].replace(str(folder), address)
        raise SourceError(
            f"source.path: {address} is not read by datasets ({type(cause).__name__}: {first}); "
            "want one with a single configuration of tables, archives or images"
        ) from None
    return sorted((str(name), split) for name, split in found.items())


def _refuse_outside(address: str, configs: Any) -> None:
    """Raise SourceError for a card whose files lie elsewhere than in its dataset."""
    if isinstance(configs, dict | list):
        for part in configs.values() if isinstance(configs, dict) else configs:
            _refuse_outside(address, part)
    elif isinstance(configs, str) and (
        "://" in configs or configs.startswith(("/", "~")) or ".." in configs.split("/")
    ):
        raise SourceError(
            f"source.path: the card of {address} names files outside of it ({configs!r}); want a "
            "dataset that brings its own"
        )


def _build(splits: list[tuple[str, Any]], config: SourceConfig) -> Columns:
    """The index of all images of some splits; raises SourceError."""
    tally, choice = Tally(), None
    keys: list[str] = []
    names: list[str] = []
    places: list[tuple[int, int]] = []
    for number, (split, dataset) in enumerate(splits):
        own = choose(
            config, dataset.features.arrow_schema, partial(_first, dataset), f"split {split}"
        )
        if choice is not None and own != choice:
            raise SourceError(
                f"source.path: split {split} of {config.path} has other columns than {splits[0][0]}"
                "; want the same in all"
            )
        choice = own
        who = people(dataset.data.column(own.label), own.classes).to_pylist()
        named = dataset.data.column(own.key).to_pylist() if own.key else [None] * len(who)
        for row, (name, key) in enumerate(zip(who, named, strict=True)):
            key = key or f"{split}/{row:07d}"
            if name is None:
                tally.add(NO_LABEL, key)
                continue
            keys.append(key)
            names.append(name)
            places.append((number, row))
    table = np.array(places, np.int32).reshape(-1, 2)
    arrays = {"split": table[:, 0], "row": table[:, 1]}
    assert choice is not None, "datasets without a split are refused by it"
    columns = columns_of(arrays, keys, names, tally.all(), commit_of(config), str(config.path))
    columns.facts["image"] = choice.image
    return columns


def _first(dataset: Any, column: str) -> bytes | None:
    """The first image of a column."""
    found = dataset.data.column(column)
    if pa.types.is_struct(found.type):
        found = pc.struct_field(found, "bytes")
    return next((bytes(one.as_py()) for one in found if one.is_valid), None)


def _arrow_files() -> Path:
    """Where `datasets` keeps what it made of datasets."""
    return cache_root() / "datasets"
