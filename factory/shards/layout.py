"""Names and schemas of a release (RELEASE, bucket layout); the one place that spells them."""

from __future__ import annotations

import pyarrow as pa

PLAN = "plan.json"
ROSTER = "roster.parquet"
EMBEDDINGS = "embeddings.npy"
MANIFEST = "index/manifest.json"
WIDS = "index/wids.json"
SUMS = "SHA256SUMS"
EXTRA_SUMS = "SHA256SUMS.extra"
SUCCESS = "_SUCCESS"
REPORT = "report/index.html"
CARD = "README.md"
CROISSANT = "croissant.json"
UTILITY = "utility"
"""Stem of the metrics that jobs.utility adds."""
COMMITS = "_commits/"
PROOFS = "_proofs/"
QUARANTINE = "quarantine/"

SHOT_AND_SCORES = [
    ("key", pa.string()),
    ("identity", pa.int64()),
    ("image", pa.int32()),
    ("attempt", pa.int32()),
    ("seed", pa.int64()),
    ("sampler", pa.string()),
    ("num_steps", pa.int32()),
    ("guidance", pa.float64()),
    ("batch", pa.int32()),
    ("slot", pa.int32()),
    ("spacing", pa.string()),
    ("guidance_from", pa.float64()),
    ("guidance_to", pa.float64()),
    ("away", pa.int64()),
    ("turn_cos", pa.float64()),
    ("similarity", pa.float64()),
    ("yaw", pa.float64()),
    ("pitch", pa.float64()),
    ("prompt", pa.string()),
    ("original", pa.string()),
    ("edit", pa.string()),
    ("occlusion", pa.float64()),
    ("own_cosine", pa.float64()),
    ("nearest_other", pa.int64()),
    ("nearest_other_cosine", pa.float64()),
    ("nearest_real_cosine", pa.float64()),
    ("sharpness", pa.float64()),
    ("brightness", pa.float64()),
    ("cr_fiqa", pa.float64()),
    ("ser_fiq", pa.float64()),
    ("original_cosine", pa.float64()),
    ("visible_cosine", pa.float64()),
    ("occluded", pa.float64()),
]
METADATA_SCHEMA = pa.schema(
    [
        *SHOT_AND_SCORES,
        ("kind", pa.string()),
        ("sha256", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
    ]
)
REJECTS_SCHEMA = pa.schema([*SHOT_AND_SCORES, ("reason", pa.string())])


def release_prefix(dataset: str, version: str) -> str:
    """Folder of a release below the store."""
    return f"{dataset}/releases/{version}"


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
    return tar_name(unit), metadata_name(unit), rejects_name(unit), lora_name(unit), lora_metadata_name(unit)


def tar_name(unit: int) -> str:
    return f"data/train-{unit:06d}.tar"


def metadata_name(unit: int) -> str:
    return f"metadata/train-{unit:06d}.parquet"


def rejects_name(unit: int) -> str:
    return f"rejects/{unit:06d}.parquet"


def quarantine_name(unit: int) -> str:
    return f"{QUARANTINE}{unit:06d}.jsonl"


def commit_name(unit: int) -> str:
    return f"{COMMITS}{unit:06d}.json"


def metrics_name(stem: str) -> str:
    return f"metrics/{stem}.json"


def proof_name(unit: int, maker: str) -> str:
    """Where a maker that lost the race for a unit notes that it had the same bytes."""
    return f"{PROOFS}{unit:06d}-{maker}.json"
