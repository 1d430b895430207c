"""Names and schemas of a release (PROTOCOL, bucket layout); the one place that spells them."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from typing import TYPE_CHECKING

import pyarrow as pa

from factory.config import Config
from factory.provenance import lineage
from factory.records import Scores, Shot, Truth
from factory.store import Store, open_store
from factory.store.references import split

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PLAN = "plan.json"
ROSTER = "roster.parquet"
EMBEDDINGS = "embeddings.npy"
LINEAGE = lineage.FILE
"""All faces and networks that a release descends from, with their licenses."""
MANIFEST = "index/manifest.json"
WIDS = "index/wids.json"
SUMS = "SHA256SUMS"
EXTRA_SUMS = "SHA256SUMS.extra"
SIGNATURE = "SHA256SUMS.sig"
"""Whose release it is, where somebody has signed it; in no list of digests."""
CREDENTIALS = "SHA256SUMS.c2pa"
"""The same as a C2PA manifest."""
SUCCESS = "_SUCCESS"
DRIVER = "_driver.json"
"""Who makes the release now; gone once it is made."""
PAUSE = "_paused.json"
"""Since when nothing is begun in it, and why."""
REPORT = "report/index.html"
CARD = "README.md"
CROISSANT = "croissant.json"
SPDX = "spdx.json"
LICENSE = "LICENSE"
NOTICE = "NOTICE"
ABOUT = (CARD, CROISSANT, SPDX, LICENSE, NOTICE)
"""What is written for readers beside the data, again whenever a release is measured."""
UTILITY = "utility"
"""Stem of the metrics that jobs.utility adds."""
ATTACK = "attack"
"""Stem of the metrics that jobs.attack adds."""
OLDER_METRICS = {"recognizer_training": "learned_from"}
"""Stems that an older factory wrote metrics under, by the present ones."""
COMMITS = "_commits/"
PROOFS = "_proofs/"
DIFFERENCES = "_differences/"
QUARANTINE = "quarantine/"
VECTORS = "vectors/"
"""Vectors of kept faces: beside a release until it is published, or part of it."""

PAIRS = "pairs/"
"""Pairs, gallery and probes of a release that is a test set."""
PAIRS_INDEX = "pairs/index.json"
BENCHMARK = "benchmark"
"""The `kind` in the manifest of such a release."""

COLUMN_TYPES = {
    "str": pa.string(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "tuple[Point, ...]": pa.list_(pa.list_(pa.float32(), 2)),
}
NARROW = {"image", "attempt", "num_steps", "batch", "slot"}
"""Whole numbers that fit into 32 bits."""


def _columns(kind: type[DataclassInstance]) -> list[tuple[str, pa.DataType]]:
    """A column for every field of a record, None where a value may be None."""
    return [
        (item.name, pa.int32() if item.name in NARROW else COLUMN_TYPES[_plain(str(item.type))])
        for item in fields(kind)
    ]


def _plain(annotation: str) -> str:
    return annotation.removesuffix(" | None")


SHOT_AND_SCORES = [*_columns(Shot), *_columns(Scores)]
METADATA_SCHEMA = pa.schema(
    [
        *SHOT_AND_SCORES,
        ("kind", pa.string()),
        ("sha256", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
    ]
)
TRUTH_FIELDS = tuple(field.name for field in fields(Truth))
RENDERED_SCHEMA = pa.schema(
    [
        *METADATA_SCHEMA,
        *(pa.field(*c) for c in _columns(Truth) if c[0] not in METADATA_SCHEMA.names),
    ]
)
"""Of rendered images, whose yaw and pitch stand in the columns that a shot's have."""
REJECTS_SCHEMA = pa.schema([*SHOT_AND_SCORES, ("reason", pa.string())])


def metadata_schema(tells_truth: bool) -> pa.Schema:
    """Columns of metadata/: `tells_truth` of images that are rendered."""
    return RENDERED_SCHEMA if tells_truth else METADATA_SCHEMA


def release_prefix(dataset: str, version: str) -> str:
    """Folder of a release below the store."""
    return f"{dataset}/{release_path(version)}"


def release_path(version: str) -> str:
    """Folder of a release below its dataset."""
    return f"releases/{version}"


KEPT_RECORDS = "kept"
"""Marks records of a measurement that audit.keep_records asked to keep."""


def measurements_url(release_url: str) -> str:
    """Where records of a release at this address lie while it is measured: beside releases/."""
    return _beside(release_url, "evaluation")


PRIVATE_PEOPLE = "people.npz"
"""What makers need of real people, while a release is made: below `private_url`."""


SPARED_PEOPLE = "spared.npy"
"""Vectors of the real people by the judge, with filters.spare_real_people: beside those."""


def private_url(release_url: str) -> str:
    """Where what must not be published of a release lies while it is made: beside releases/."""
    return _beside(release_url, "private")


def private_store(release: Store) -> Store:
    """The store at `private_url`, of the release in a store."""
    return release.at(private_url(release.url))


def _beside(release_url: str, folder: str) -> str:
    """The address of a folder for the version of a release, beside releases/."""
    if "://" not in release_url:
        release_url = os.path.abspath(release_url)
    parent, _, version = release_url.rstrip("/").rpartition("/")
    return f"{parent.removesuffix('/releases')}/{folder}/{version}"


def release_store(config: Config) -> Store:
    """The store of the release that a config names."""
    prefix = release_prefix(config.release.dataset, config.release.version)
    return open_store(config.store).below(prefix)


def loras_prefix(dataset: str, name: str) -> str:
    """Folder of a set of LoRAs below the store."""
    return f"{dataset}/loras/{name}"


def lora_name(unit: int) -> str:
    return f"loras/{unit:06d}.safetensors"


def lora_metadata_name(unit: int) -> str:
    return f"loras/{unit:06d}.json"


def priors_name(digest: str) -> str:
    """Prior images of a base, below the dataset."""
    return f"priors/{digest[:16]}.npy"


def files_of(unit: int) -> tuple[str, ...]:
    """Every name that a unit's files may have: of a shard, and of a LoRA."""
    return (
        tar_name(unit),
        metadata_name(unit),
        rejects_name(unit),
        vectors_name(unit),
        lora_name(unit),
        lora_metadata_name(unit),
    )


def unit_of(name: str) -> int | None:
    """The unit whose file has this name, its commit record and quarantine included, or None.

    The name may be a path of SHA256SUMS that refers to another version.
    """
    name = split(name)[1]
    number = re.search(r"(\d{6,})", name)
    if number is None:
        return None
    unit = int(number[1])
    names = (*files_of(unit), commit_name(unit), quarantine_name(unit))
    return unit if name in names else None


def tar_name(unit: int) -> str:
    return f"data/train-{unit:06d}.tar"


def metadata_name(unit: int) -> str:
    return f"metadata/train-{unit:06d}.parquet"


def rejects_name(unit: int) -> str:
    return f"rejects/{unit:06d}.parquet"


def vectors_name(unit: int) -> str:
    return f"{VECTORS}{unit:06d}.safetensors"


def quarantine_name(unit: int) -> str:
    return f"{QUARANTINE}{unit:06d}.jsonl"


def pairs_name(name: str, suffix: str) -> str:
    """A set of pairs, or a list of keys, of a release that is a test set."""
    return f"{PAIRS}{name}.{suffix}"


def commit_name(unit: int) -> str:
    return f"{COMMITS}{unit:06d}.json"


def metrics_name(stem: str) -> str:
    return f"metrics/{stem}.json"


def proof_name(unit: int, maker: str) -> str:
    """Where a maker that lost the race for a unit notes that it had the same bytes."""
    return f"{PROOFS}{unit:06d}-{maker}.json"


def difference_name(unit: int, maker: str) -> str:
    """Where a maker that lost the race for a unit on a GPU notes that it had other bytes."""
    return f"{DIFFERENCES}{unit:06d}-{maker}.json"
