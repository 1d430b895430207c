"""Named tensors and their story: `weights.safetensors` beside `checkpoint.json` in one folder.

The JSON holds kind, config, step, metrics, lineage (the sha256 of the weights this one was trained
with) and the sha256 of the weights; loading refuses weights that do not match it. What a training
needs to go on lies beside them, see progress.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from factory.errors import CheckpointError
from factory.store import open_url
from factory.store.cache import fetched

STARTER = Path(__file__).parent / "starter"
WEIGHTS, STORY = "weights.safetensors", "checkpoint.json"


@dataclass(frozen=True)
class Checkpoint:
    """Weights on the CPU in float32, with what their JSON says."""

    kind: str
    tensors: dict[str, torch.Tensor]
    config: dict[str, Any]
    step: int
    metrics: dict[str, Any]
    lineage: dict[str, str]
    sha256: str


def folder(name: str) -> Path:
    """The folder a config names: a path, starter:NAME for weights in the package, or s3://... for a
    folder in a bucket, which each machine fetches once."""
    if name.startswith("s3://"):
        return _from_bucket(name)
    return STARTER / name.removeprefix("starter:") if name.startswith("starter:") else Path(name)


@lru_cache
def _from_bucket(url: str) -> Path:
    """The bucket's endpoint and credentials are those of the AWS chain (AWS_ENDPOINT_URL)."""
    store, story = open_url(url), _metadata_in_bucket(url)
    digests = {STORY: hashlib.sha256(story).hexdigest(), WEIGHTS: json.loads(story)["sha256"]}
    return fetched(store, digests)


def digest_in_bucket(url: str) -> str:
    """sha256 of the weights at an address, by the checkpoint.json beside them."""
    return str(json.loads(_metadata_in_bucket(url))["sha256"])


def _metadata_in_bucket(url: str) -> bytes:
    store = open_url(url)
    try:
        story = store.get(STORY)
        if not store.exists(WEIGHTS) or not isinstance(json.loads(story)["sha256"], str):
            raise KeyError(WEIGHTS)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        raise CheckpointError(f"{url}: holds no checkpoint; want {WEIGHTS} and {STORY}") from None
    return story


def save(path: Path, checkpoint: Checkpoint, *, bf16: bool = False) -> str:
    """Write a checkpoint folder and return the sha256 of its weights.

    `bf16` halves the file: matrices are rounded, vectors (norms, biases) stay in float32.
    """
    from safetensors.torch import save as to_bytes

    tensors = {
        name: (t.bfloat16() if bf16 and t.is_floating_point() and t.ndim > 1 else t).contiguous()
        for name, t in checkpoint.tensors.items()
    }
    data = to_bytes(tensors)
    sha256 = hashlib.sha256(data).hexdigest()
    story = {
        "kind": checkpoint.kind,
        "sha256": sha256,
        "step": checkpoint.step,
        "config": checkpoint.config,
        "metrics": checkpoint.metrics,
        "lineage": checkpoint.lineage,
    }
    path.mkdir(parents=True, exist_ok=True)
    replace(path / WEIGHTS, data)
    replace(path / STORY, (json.dumps(story, indent=2) + "\n").encode())
    return sha256


def load(name: str, kind: str, key: str) -> Checkpoint:
    """Read and verify a checkpoint folder. `key` is the dotted config key that named it.

    Raises CheckpointError: missing, another kind, or weights that do not match their sha256.
    """
    from safetensors.torch import load as from_bytes

    story = read_metadata(name, kind, key)
    data = (folder(name) / WEIGHTS).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != story["sha256"]:
        raise CheckpointError(
            f"{key}: weights in {folder(name)} have sha256 {found[:12]}, checkpoint.json says "
            f"{story['sha256'][:12]}; restore the file or train again"
        )
    tensors = {n: t.float() if t.is_floating_point() else t for n, t in from_bytes(data).items()}
    return Checkpoint(
        kind=kind,
        tensors=tensors,
        config=story["config"],
        step=story["step"],
        metrics=story["metrics"],
        lineage=story["lineage"],
        sha256=found,
    )


def read_metadata(name: str, kind: str, key: str) -> dict[str, Any]:
    """checkpoint.json of a folder, without its weights; raises CheckpointError."""
    where = folder(name)
    if not (where / STORY).is_file() or not (where / WEIGHTS).is_file():
        raise CheckpointError(
            f"{key}: no checkpoint in {str(where)!r}; want weights.safetensors and "
            f"checkpoint.json, as `python -m jobs.train_{kind}` writes them"
        )
    try:
        story = json.loads((where / STORY).read_text())
        complete = all(
            k in story for k in ("kind", "sha256", "step", "config", "metrics", "lineage")
        )
    except (ValueError, TypeError):
        complete = False
    if not complete:
        raise CheckpointError(f"{key}: {where / 'checkpoint.json'} is not a checkpoint's JSON")
    if story["kind"] != kind:
        raise CheckpointError(f"{key}: {where} holds a {story['kind']}; want a {kind}")
    return dict(story)


def pack(names: dict[str, str], out: Path) -> dict[str, int]:
    """Copy the checkpoints `names` (role -> folder) to out/role in bf16; returns bytes by role.

    Rounding changes every sha256, so lineages are rewritten to the packed weights. A judge is a
    recognizer by kind; roles must come after those they were trained with.
    """
    packed: dict[str, str] = {}
    sizes = {}
    for role, name in names.items():
        kind = "recognizer" if role == "judge" else role
        loaded = load(name, kind, f"{role}.checkpoint")
        lineage = {parent: packed.get(digest, digest) for parent, digest in loaded.lineage.items()}
        target = out / role
        packed[loaded.sha256] = save(
            target, dataclasses.replace(loaded, lineage=lineage), bf16=True
        )
        sizes[role] = (target / WEIGHTS).stat().st_size
    return sizes


def file_sha256(path: Path) -> str:
    """sha256 of a file, streamed."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)
