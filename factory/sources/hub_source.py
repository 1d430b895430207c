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
from factory.sources.columns import FILE, Columns, kept_columns
from factory.sources.entries import UnreadImageError
from factory.sources.image_table import TableSource, choose, columns_of, people
from factory.sources.left_out import (
    NO_LABEL,
    OTHER_FILE,
    OTHER_SHARD,
    SYSTEM_FILE,
    UNKNOWN_FORMAT,
    Tally,
)
from factory.sources.listing import is_other_file, is_system_part, suffix_of
from factory.store.atomic import refusal
from factory.store.cache import cache_root

if TYPE_CHECKING:
    from factory.sources.readers import FaceDecoder

CARD, SETTINGS = "README.md", ".huggingface.yaml"
"""Where `datasets` reads which files are a dataset's; the second wins where both say it."""
TABLES = frozenset(".parquet .arrow .tar .zip .gz .zst .7z .rar".split())
"""Suffixes of files that hold many images."""
DATA = (
    *("*.parquet", "*.arrow", "*.tar", "*.zip", "*.csv", "*.tsv", "*.json", "*.jsonl"),
    *(f"*.{form}" for s in ("jpg", "jpeg", "png", "webp", "bmp", "tif") for form in (s, s.upper())),
)
"""Files that are fetched beside the card: tables, archives and images; no code, no pickles."""
FORMAT = 2
"""Raised when the columns of an index change."""


class HubSource(TableSource):
    """A FaceSource over all splits of a dataset on the hub, at one commit."""

    def __init__(self, config: SourceConfig, decoder: FaceDecoder) -> None:
        address = config.path or ""
        self._folder = snapshot(address)
        self._splits, used = _splits(address, self._folder)
        folder = _index(config, is_listed=True)
        is_listed = not _is_offline() or (folder / FILE).is_file()
        folder = folder if is_listed else _index(config, is_listed=False)
        columns = kept_columns(folder, lambda: _build(self._splits, config, used, is_listed))
        super().__init__(config, decoder, columns)
        self._image = str(columns.facts["image"])
        self._remarks = (f"source.path: {address} is read at commit {commit_of(config)}",)
        if not is_listed:
            self._remarks += (
                f"source.path: HF_HUB_OFFLINE is set, so files of {address} that were never "
                "fetched are not counted",
            )

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


def _index(config: SourceConfig, is_listed: bool) -> Path:
    """The folder of an index, whose tally is of all files of the hub where those are listed."""
    columns = (config.parquet_image, config.parquet_label)
    asked = (FORMAT, config.path, commit_of(config), *columns, is_listed)
    return cache_root() / "indexes" / f"hub-{hashlib.sha256(repr(asked).encode()).hexdigest()[:32]}"


def _is_offline() -> bool:
    from huggingface_hub.constants import is_offline_mode

    return bool(is_offline_mode())


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
    """What a dataset's card and its SETTINGS say, as `datasets` takes it; empty without any."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    block = REGEX_YAML_BLOCK.search(_text(folder / CARD))
    header = _mapping(block.group(2) if block else "")
    return header | _mapping(_text(folder / SETTINGS))


def _text(path: Path) -> str:
    """A file's text as huggingface_hub has it, which keeps the ends of lines."""
    return path.read_bytes().decode("utf-8-sig", "replace") if path.is_file() else ""


def _mapping(text: str) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:  # which `datasets` refuses to load
        found = None
    return found if isinstance(found, dict) else {}


def _splits(address: str, folder: Path) -> tuple[list[tuple[str, Any]], set[str]]:
    """Each split by name, and the files of the dataset that they are read from.

    Raises SourceError for what `datasets` does not read, and for files outside of the dataset.
    """
    try:
        from datasets import load_dataset_builder
    except ImportError:
        raise ConfigError(MISSING.format(what=f"source.path: {address}")) from None
    _refuse_outside(address, _header(folder).get("configs"))
    try:
        builder = load_dataset_builder(str(folder), cache_dir=str(_arrow_files()))
        used = _own_files(address, folder, builder.config.data_files)
        builder.download_and_prepare()
        found = builder.as_dataset()
    except SourceError:
        raise
    except Exception as error:  # because builders raise nearly anything
        if refusal(error):
            raise
        cause = error.__cause__ or error
        first = (str(cause).splitlines() or [""])[0].replace(str(folder), address)
        raise SourceError(
            f"source.path: {address} is not read by datasets ({type(cause).__name__}: {first}); "
            "want one with a single configuration of tables, archives or images"
        ) from None
    return sorted((str(name), split) for name, split in found.items()), used


def _refuse_outside(address: str, configs: Any, names_files: bool = False) -> None:
    """Raise SourceError for a card whose files lie elsewhere than in its dataset."""
    if isinstance(configs, dict):
        for key, part in configs.items():
            _refuse_outside(address, part, names_files or key in ("data_files", "data_dir"))
    elif isinstance(configs, list):
        for part in configs:
            _refuse_outside(address, part, names_files)
    elif isinstance(configs, str) and (
        "://" in configs
        or (names_files and ":" in configs)
        or configs.startswith(("/", "~"))
        or ".." in configs.split("/")
    ):
        raise _outside(address, configs)


def _own_files(address: str, folder: Path, files: Any) -> set[str]:
    """The files that `datasets` chose by name; raises SourceError for one outside of a dataset."""
    roots = (folder, folder.resolve())
    own = set()
    for file in (str(file) for split in (files or {}).values() for file in split):
        path = Path(file)
        root = next((root for root in roots if path.is_relative_to(root)), None)
        if root is None or ".." in path.parts:
            raise _outside(address, file)
        own.add(path.relative_to(root).as_posix())
    return own


def _outside(address: str, file: str) -> SourceError:
    return SourceError(
        f"source.path: the card of {address} names files outside of it ({file!r}); want a dataset "
        "that brings its own"
    )


def _count_unread(address: str, used: set[str], is_listed: bool, tally: Tally) -> None:
    """Count the files of a dataset that `datasets` did not choose, or that were not fetched."""
    folder = snapshot(address)
    if is_listed:
        names = _files_on_hub(address, folder.name)
    else:
        names = [f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()]
    for name in sorted(set(names) - used - {CARD}):
        if any(map(is_system_part, name.split("/"))):
            tally.add(SYSTEM_FILE, name)
        elif suffix_of(name) in TABLES:
            tally.add(OTHER_SHARD, name)
        else:
            tally.add(OTHER_FILE if is_other_file(name) else UNKNOWN_FORMAT, name)


def _files_on_hub(address: str, commit: str) -> list[str]:
    """All files of a dataset at a commit; raises SourceError."""
    from huggingface_hub import HfApi

    name, _ = hub_and_revision(address)
    try:
        return list(HfApi().list_repo_files(name, repo_type="dataset", revision=commit))
    except Exception as error:  # because it raises what its HTTP library does, too
        raise SourceError(
            f"source.path: the files of {address} cannot be listed ({type(error).__name__}); try "
            "again, or set HF_HUB_OFFLINE=1 to read what was fetched"
        ) from None


def _build(
    splits: list[tuple[str, Any]], config: SourceConfig, used: set[str], is_listed: bool
) -> Columns:
    """The index of all images of some splits; raises SourceError."""
    tally, choice = Tally(), None
    _count_unread(str(config.path), used, is_listed, tally)
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
