"""Checkpoints: named tensors and their metadata, `weights.safetensors` and `checkpoint.json`.

The JSON holds kind, config, step, metrics, lineage (the sha256 of the weights this one was trained
with) and the sha256 of the weights; loading refuses weights that do not match it. What a training
needs to resume lies in the same folder, see training/run_state.py.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from factory.config.addresses import check_address, in_bucket
from factory.errors import CheckpointError
from factory.store import open_url
from factory.store.cache import fetched
from factory.store.json_text import json_text
from factory.store.local import write_atomically

STARTER = Path(__file__).parent / "starter"
WEIGHTS, METADATA = "weights.safetensors", "checkpoint.json"


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
    provenance: list[dict[str, Any]] = field(default_factory=list)
    """What it and its ancestors learned from, itself first, see provenance/lineage.py; empty where
    that was not kept."""


def folder(name: str) -> Path:
    """The folder on this machine that a config names.

    A name is a path, starter:NAME for weights in the package, or s3://... for a folder in a bucket,
    which each machine fetches once.
    """
    check_address("checkpoint", name)
    if in_bucket(name):
        return _from_bucket(name)
    return STARTER / name.removeprefix("starter:") if name.startswith("starter:") else Path(name)


@lru_cache
def _from_bucket(url: str) -> Path:
    """The local copy of a bucket's folder; endpoint and credentials are those of the AWS chain."""
    store, metadata = open_url(url), _metadata_in_bucket(url)
    weights_sha256 = json.loads(metadata)["sha256"]
    digests = {METADATA: hashlib.sha256(metadata).hexdigest(), WEIGHTS: weights_sha256}
    return fetched(store, digests)


def digest_in_bucket(url: str) -> str:
    """sha256 of the weights at an address, by the checkpoint.json next to them."""
    return str(json.loads(_metadata_in_bucket(url))["sha256"])


def _metadata_in_bucket(url: str) -> bytes:
    store = open_url(url)
    try:
        metadata = store.get(METADATA)
        if not store.exists(WEIGHTS) or not isinstance(json.loads(metadata)["sha256"], str):
            raise KeyError(WEIGHTS)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        raise CheckpointError(
            f"{url}: holds no checkpoint; want {WEIGHTS} and {METADATA}"
        ) from None
    return metadata


def save(path: Path, checkpoint: Checkpoint, *, bf16: bool = False) -> str:
    """Write a checkpoint folder and return the sha256 of its weights.

    `bf16` halves the file: matrices are rounded, vectors (norms, biases) stay in float32. Raises
    CheckpointError for an address, to which trainings alone write.
    """
    if path.parts[:1] == ("s3:",):
        raise CheckpointError(f"training.out: got {path}; want a folder for what is no training")
    from safetensors.torch import save as to_bytes

    tensors = {
        name: (t.bfloat16() if bf16 and t.is_floating_point() and t.ndim > 1 else t).contiguous()
        for name, t in checkpoint.tensors.items()
    }
    data = to_bytes(tensors)
    sha256 = hashlib.sha256(data).hexdigest()
    metadata = {
        "kind": checkpoint.kind,
        "sha256": sha256,
        "step": checkpoint.step,
        "config": checkpoint.config,
        "metrics": checkpoint.metrics,
        "lineage": checkpoint.lineage,
        "provenance": _with_own_digest(checkpoint.provenance, sha256),
    }
    write_atomically(path / WEIGHTS, data)
    write_atomically(path / METADATA, (json_text(metadata, indent=2) + "\n").encode())
    return sha256


def load(name: str, kind: str, key: str) -> Checkpoint:
    """Read and verify a checkpoint folder. `key` is the dotted config key that named it.

    Raises CheckpointError: missing, another kind, or weights that do not match their sha256.
    """
    from safetensors.torch import load_file

    metadata = read_metadata(name, kind, key)
    sha256 = file_sha256(folder(name) / WEIGHTS)
    if sha256 != metadata["sha256"]:
        raise CheckpointError(
            f"{key}: weights in {folder(name)} have sha256 {sha256[:12]}, checkpoint.json says "
            f"{metadata['sha256'][:12]}; restore the file or train again"
        )
    mapped = load_file(folder(name) / WEIGHTS)  # of which only what is used is read into memory
    tensors = {n: t.float() if t.is_floating_point() else t for n, t in mapped.items()}
    return Checkpoint(
        kind=kind,
        tensors=tensors,
        config=metadata["config"],
        step=metadata["step"],
        metrics=metadata["metrics"],
        lineage=metadata["lineage"],
        sha256=sha256,
        provenance=metadata.get("provenance", []),
    )


def any_metadata(name: str) -> dict[str, Any] | None:
    """checkpoint.json of a folder whatever kind of network it holds; None where it is none.

    Of a bucket nothing else is fetched.
    """
    try:
        text = (
            _metadata_in_bucket(name) if in_bucket(name) else (folder(name) / METADATA).read_text()
        )
        metadata = json.loads(text)
        return dict(metadata) if {"kind", "sha256", "lineage"} <= set(metadata) else None
    except (OSError, ValueError, TypeError, CheckpointError):
        return None


def read_metadata(name: str, kind: str, key: str) -> dict[str, Any]:
    """checkpoint.json of a folder, without its weights; raises CheckpointError."""
    path = folder(name)
    if not (path / METADATA).is_file() or not (path / WEIGHTS).is_file():
        job = "train_inpainting" if kind == "editor" else f"train_{kind}"
        raise CheckpointError(
            f"{key}: no checkpoint in {str(path)!r}; want weights.safetensors and "
            f"checkpoint.json, as `python -m jobs.{job}` writes them"
        )
    try:
        metadata = json.loads((path / METADATA).read_text())
        complete = all(
            k in metadata for k in ("kind", "sha256", "step", "config", "metrics", "lineage")
        )
    except (ValueError, TypeError):
        complete = False
    if not complete:
        raise CheckpointError(f"{key}: {path / 'checkpoint.json'} is not a checkpoint's JSON")
    if metadata["kind"] != kind:
        raise CheckpointError(f"{key}: {path} holds a {metadata['kind']}; want a {kind}")
    return dict(metadata)


def refuse_other(
    trained: str,
    lineage: Mapping[str, Any],
    weights: Mapping[str, str],
    alike: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Raise CheckpointError unless a network of kind `trained` was trained with others' weights.

    `weights` are sha256 by kind, `alike` those of further networks that the ones at hand stand for
    (`stands_for`).
    """
    for kind, actual in weights.items():
        if lineage.get(kind) not in (actual, *alike.get(kind, ())):
            raise CheckpointError(
                f"{kind}.checkpoint: has sha256 {actual[:12]}, the {trained} was trained with "
                f"{str(lineage.get(kind))[:12]}; use the {kind} it was trained with"
            )


def stands_for(metadata: Mapping[str, Any]) -> list[str]:
    """sha256 of networks in whose place this one works, to the bit, by its checkpoint.json.

    A recognizer that went through the prototype stage embeds and knows real people as its backbone
    did; an autoencoder whose encoder was frozen has the latents of the one that it began with.
    """
    backbone = metadata["lineage"].get("backbone")
    return [*([str(backbone)] if backbone else []), *metadata["config"].get("latents_of", ())]


def pack(names: dict[str, str], out: Path) -> dict[str, int]:
    """Copy the checkpoints `names` (role -> folder) to out/role in bf16; returns bytes by role.

    Rounding changes every sha256, so lineages and provenance are rewritten to the packed weights. A
    judge is a checkpoint of kind recognizer; roles must come after those they were trained with.
    """
    packed: dict[str, str] = {}
    sizes = {}
    for role, name in names.items():
        kind = "recognizer" if role == "judge" else role
        loaded = load(name, kind, f"{role}.checkpoint")
        lineage = {parent: packed.get(digest, digest) for parent, digest in loaded.lineage.items()}
        told = [_with_digests(record, packed) for record in loaded.provenance]
        target = out / role
        packed[loaded.sha256] = save(
            target, dataclasses.replace(loaded, lineage=lineage, provenance=told), bf16=True
        )
        sizes[role] = (target / WEIGHTS).stat().st_size
    return sizes


def _with_own_digest(records: list[dict[str, Any]], sha256: str) -> list[dict[str, Any]]:
    """Provenance whose first record is of the weights with this digest."""
    return [records[0] | {"sha256": sha256}, *records[1:]] if records else []


def _with_digests(record: dict[str, Any], packed: dict[str, str]) -> dict[str, Any]:
    """A record of provenance in which packed weights have their new digests."""
    trained_with = {r: packed.get(digest, digest) for r, digest in record["trained_with"].items()}
    sha256 = packed.get(record["sha256"], record["sha256"])
    return record | {"sha256": sha256, "trained_with": trained_with}


def file_sha256(path: Path) -> str:
    """sha256 of a file, streamed."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
