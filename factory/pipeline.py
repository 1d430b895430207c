"""From nothing to a measured release: each stage is run once and kept by fingerprint.

Where the store is a bucket of the AWS chain (with its endpoint in AWS_ENDPOINT_URL, if any), later
stages read weights from it, and each node fetches them once: no folder need be shared.

A stage's fingerprint covers its job, its config, the faces it reads and the artefacts it names;
where things lie and who works does not count. What a stage made is recorded in the store when it is
whole, weights are kept there too, so another machine goes on from them. A stage that fails leaves
the others' artefacts as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from factory import checkpoint
from factory.config import Config, PipelineConfig, StageConfig, load
from factory.config.pipeline import names_in
from factory.errors import CheckpointError, IntegrityError
from factory.shards import layout
from factory.sources import open_source
from factory.store import Store, open_store
from factory.store.local import write_atomically

Runner = Callable[[Config, str], None]
"""Runs a job on a config; the text is the address of the release that it measures, or empty."""
KIND = {f"train_{kind}": kind for kind in ("recognizer", "autoencoder", "generator")}
MEASURED = {"utility": "utility", "evaluate": "similarity"}
"""Stem of the metrics that tell whether a stage has been run."""
WEIGHTS = ("weights.safetensors", "checkpoint.json")
NOT_COUNTED = ("fleet", "store", "cluster", "prices")
MACHINERY = (
    *(("training", key) for key in ("out", "cache", "save_every_s", "log_every", "verify_every")),
    *(("compute", key) for key in ("num_ranks", "max_restarts", "num_threads")),
    ("compute", "activation_checkpointing"),
    ("feed", "num_workers"),
    ("audit", "vectors"),
    ("utility", "out"),
)
"""Where things lie and who works."""
SMALL_BYTES = 256 << 20
RECORDS = "pipelines"
"""Folder of the records and weights of all pipelines in the store."""


@dataclass(frozen=True)
class Artefact:
    """What a stage made: a folder or address that later stages name, and the digest of it."""

    place: str
    digest: str


def run(
    pipeline: PipelineConfig, runners: Mapping[str, Runner], say: Callable[[str], None] = print
) -> dict[str, Artefact]:
    """Run every stage that is not made yet; artefacts by stage."""
    records = open_store(pipeline.store).below(f"{RECORDS}/{pipeline.name}")
    made: dict[str, Artefact] = {}
    for stage in pipeline.stages:
        config, release = settled(stage, pipeline, made)
        fingerprint = fingerprint_of(stage, made, config)
        artefact = standing(stage, config, release, records, fingerprint)
        if artefact:
            say(f"{stage.name}: made before, in {artefact.place}")
        else:
            say(f"{stage.name}: {stage.job} {stage.config}")
            runners[stage.job](config, release)
            artefact = look(stage, config, release)
            if artefact is None:
                raise IntegrityError(f"{stage.name}: {stage.job} ended and left nothing")
            keep(stage, artefact, records, fingerprint)
        made[stage.name] = artefact
    return made


def settled(
    stage: StageConfig, pipeline: PipelineConfig, made: Mapping[str, Artefact]
) -> tuple[Config, str]:
    """(config of a stage, release that it measures), with places for names."""
    places = {name: place_for_all(name, artefact, pipeline) for name, artefact in made.items()}
    config = load(stage.config, [_filled(change, places) for change in stage.set])
    release = _filled(stage.release, places) if stage.job in MEASURED else ""
    return replace(config, store=pipeline.store), release


def place_for_all(name: str, artefact: Artefact, pipeline: PipelineConfig) -> str:
    """Where any node finds what a stage made: weights in the bucket where that can be told by its
    address alone, else where they lie."""
    stage = next(stage for stage in pipeline.stages if stage.name == name)
    store = pipeline.store
    if stage.job in KIND and store.url.startswith("s3://") and store.endpoint_url is None:
        kept = _kept(stage, artefact.digest, "").rstrip("/")
        return f"{store.url.rstrip('/')}/{RECORDS}/{pipeline.name}/{kept}"
    return artefact.place


def fingerprint_of(stage: StageConfig, made: Mapping[str, Artefact], config: Config) -> str:
    """sha256 of all that decides what a stage makes. Artefacts stand in it by their digests, files
    by what they hold; `config` is the stage's own, with places for names."""
    digests = {name: artefact.digest for name, artefact in made.items()}
    named = load(stage.config, [_filled(change, digests) for change in stage.set])
    settings = _counted(named)
    for section, key in MACHINERY:
        settings[section].pop(key)
    body = {
        "job": stage.job,
        "config": {name: part for name, part in settings.items() if name not in NOT_COUNTED},
        "faces": open_source(config.source).fingerprint,
        "release": _filled(stage.release, digests) if stage.job in MEASURED else "",
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


def _counted(value: Any, field: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Settings with the contents of files in place of their paths; `field` is what a field says of
    itself (config/field.py)."""
    if is_dataclass(value):
        return {
            item.name: _counted(getattr(value, item.name), item.metadata) for item in fields(value)
        }
    if isinstance(value, list | tuple):
        return [_counted(part, field) for part in value]
    if field.get("or_name") == "checkpoint" and str(value).startswith("s3://"):
        return checkpoint.digest_in_bucket(value)
    if field.get("path") and isinstance(value, str) and Path(value).exists():
        return _contents(Path(value))
    return value


def _contents(path: Path) -> str:
    """What tells a file or folder from another: a checkpoint's digest, the bytes of what is small,
    else names and sizes."""
    if (path / "checkpoint.json").is_file():
        return str(json.loads((path / "checkpoint.json").read_text()).get("sha256"))
    if path.is_file() and path.stat().st_size <= SMALL_BYTES:
        return checkpoint.file_sha256(path)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    listing = [f"{f.relative_to(path)} {f.stat().st_size}" for f in files if f.is_file()]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()


def standing(
    stage: StageConfig, config: Config, release: str, records: Store, fingerprint: str
) -> Artefact | None:
    """What the stage made before by the same fingerprint, fetched from the store where it is not
    here; None where it must be run."""
    name = f"{stage.name}.json"
    if not records.exists(name):
        return None
    record = json.loads(records.get(name))
    if record["fingerprint"] != fingerprint:
        return None
    artefact = look(stage, config, release)
    if artefact and artefact.digest == record["digest"]:
        return artefact
    if stage.job in KIND:
        return _fetch(stage, config, records, record)
    return None


def look(stage: StageConfig, config: Config, release: str) -> Artefact | None:
    """What there is now of a stage's artefact."""
    if stage.job in KIND:
        out, kind = config.training.out, KIND[stage.job]
        try:
            return Artefact(out, checkpoint.read_metadata(out, kind, "training.out")["sha256"])
        except CheckpointError:
            return None
    if stage.job in MEASURED:
        store, name = (
            open_store(replace(config.store, url=release)),
            layout.metrics_name(MEASURED[stage.job]),
        )
    else:
        prefix = layout.release_prefix(config.release.dataset, config.release.version)
        store, name = open_store(config.store).below(prefix), layout.SUMS
        if not store.exists(layout.SUCCESS):
            return None
    return Artefact(store.url, store.sha256(name)) if store.exists(name) else None


def keep(stage: StageConfig, artefact: Artefact, records: Store, fingerprint: str) -> None:
    """Put weights into the store, then the record that they are whole."""
    if stage.job in KIND:
        for name in WEIGHTS:
            records.put(
                _kept(stage, artefact.digest, name), Path(artefact.place, name).read_bytes()
            )
    record: dict[str, Any] = {"fingerprint": fingerprint, "digest": artefact.digest}
    records.put(f"{stage.name}.json", (json.dumps(record, indent=1) + "\n").encode())


def _fetch(
    stage: StageConfig, config: Config, records: Store, record: dict[str, Any]
) -> Artefact | None:
    """Weights from the store; raises CheckpointError where others lie in their place."""
    names = {name: _kept(stage, record["digest"], name) for name in WEIGHTS}
    if not all(records.exists(kept) for kept in names.values()):
        return None
    out = Path(config.training.out)
    if (out / "checkpoint.json").exists() or (out / "resume").exists():
        raise CheckpointError(
            f"{stage.name}: {out} holds another training than the one the pipeline made before; "
            "give the stage another training.out, or move that folder"
        )
    contents = {name: records.get(kept) for name, kept in names.items()}
    if hashlib.sha256(contents[WEIGHTS[0]]).hexdigest() != record["digest"]:
        raise IntegrityError(f"{records.url}/{names[WEIGHTS[0]]}: does not have its sha256")
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(out / name, content)
    return look(stage, config, "")


def _kept(stage: StageConfig, digest: str, name: str) -> str:
    return f"{stage.name}/{digest[:16]}/{name}"


def _filled(text: str, places: Mapping[str, str]) -> str:
    for name in names_in(text):
        text = text.replace("{" + name + "}", places[name])
    return text
