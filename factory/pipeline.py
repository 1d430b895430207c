"""From nothing to a measured release: each stage is run once and recorded by fingerprint.

Where the store is a bucket of the AWS chain (with its endpoint in AWS_ENDPOINT_URL, if any), later
stages read weights from it, and each node fetches them once: no folder need be shared.

A stage's fingerprint covers its job, its config, the faces it reads and the artifacts it names;
where things lie and who works does not count. What a stage made is recorded in the store when it is
whole, weights are kept there too, so another machine goes on from them. A stage that fails leaves
the others' artifacts as they are.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from factory import checkpoint
from factory.config import Config, PipelineConfig, StageConfig, load
from factory.config.field import STARTER
from factory.config.pipeline import names_in
from factory.errors import CheckpointError, IntegrityError, PlanError
from factory.planning.budget import minutes
from factory.planning.step_decisions import DecideSteps
from factory.records import Log
from factory.shards import layout
from factory.sources import open_source
from factory.store import Store, open_store
from factory.store.json_text import json_text
from factory.training.shared_out import store_of

Runner = Callable[[Config, str], None]
"""Runs a job on a config; the text is the address of the release that it measures, or empty."""
KIND = {f"train_{kind}": kind for kind in ("recognizer", "autoencoder", "generator")}
KIND["import_recognizer"] = "recognizer"
MEASURED = {"utility": "utility", "evaluate": "similarity"}
"""Stem of the metrics that tell whether a stage has been run."""
WEIGHTS = ("weights.safetensors", "checkpoint.json")
NOT_COUNTED = ("acceptance", "fleet", "store", "estimate")
"""Sections that decide nothing about what a stage makes."""
MACHINERY = (
    *(("training", key) for key in ("out", "cache", "faces_in_memory_bytes")),
    *(("training", key) for key in ("save_every_s", "log_every", "eval_every")),
    *(("compute", key) for key in ("num_ranks", "min_ranks", "max_restarts", "num_threads")),
    ("compute", "activation_checkpointing"),
    ("batches", "num_workers"),
    ("audit", "embeddings_dir"),
    ("filters", "min_kept_fraction"),
    ("utility", "out"),
)
"""Fields that say where things lie and who works, which decides nothing either."""
SMALL_BYTES = 256 << 20
"""Largest archive of images that counts by its bytes."""
RECORDS = "pipelines"
"""Folder of the records and weights of all pipelines in the store."""


@dataclass(frozen=True)
class Artifact:
    """What a stage made: a folder or address that later stages name, and its digest."""

    location: str
    digest: str


def run(
    pipeline: PipelineConfig,
    runners: Mapping[str, Runner],
    log: Log = print,
    *,
    decide_steps: DecideSteps | None = None,
) -> dict[str, Artifact]:
    """Run every stage that is not made yet; artifacts by stage.

    `decide_steps` gives the trainings their steps (planning/step_decisions.py); None: their recipes
    do.
    """
    records = open_store(pipeline.store).below(f"{RECORDS}/{pipeline.name}")
    artifacts: dict[str, Artifact] = {}
    for stage in pipeline.stages:
        config, release = resolve(stage, pipeline, artifacts)
        if decide_steps and stage.job in KIND:
            before = fingerprint_of(stage, artifacts, config)
            stage = decide_steps(stage, config, before, records)
            config, release = resolve(stage, pipeline, artifacts)
        fingerprint = fingerprint_of(stage, artifacts, config)
        artifact = made_before(stage, config, release, records, fingerprint)
        if artifact:
            log(f"{stage.name}: made before, in {artifact.location}")
        else:
            log(f"{stage.name}: {stage.job} {stage.config or ''}".rstrip())
            if stage.job == "release":
                _record_asked(stage, config, pipeline, records)
            began = time.monotonic()
            runners[stage.job](config, release)
            artifact = find(stage, config, release)
            if artifact is None:
                raise IntegrityError(f"{stage.name}: {stage.job} ended and left nothing")
            log(f"{stage.name}: took {minutes(time.monotonic() - began)}")
            record(stage, artifact, records, fingerprint)
        artifacts[stage.name] = artifact
    return artifacts


def check_releases(pipeline: PipelineConfig) -> None:
    """Raise PlanError where a release was begun after other trainings than those asked for now.

    They come before it, and would be made for nothing. One that an older pipeline finished, and
    other settings of the release alone, are left to the release's own checks.
    """
    records = open_store(pipeline.store).below(f"{RECORDS}/{pipeline.name}")
    for stage in pipeline.stages:
        if stage.job != "release":
            continue
        config = replace(load(stage.config, stage.set), store=pipeline.store)
        store, name = layout.release_store(config), _asked_name(stage, config)
        if not store.exists(layout.PLAN):
            continue
        if records.exists(name):
            is_own = records.get(name).decode().strip() == asked_of(stage, pipeline)
        else:
            is_own = records.exists(f"{stage.name}.json")
        if not is_own:
            raise PlanError(
                f"release.version: {store.url} was begun after other trainings or of other faces; "
                "want another release.version=..., or what it was begun with"
            )


def asked_of(stage: StageConfig, pipeline: PipelineConfig) -> str:
    """sha256 of the settings and faces of all stages before one, known before any is run."""
    before = pipeline.stages[: pipeline.stages.index(stage)]
    named = {one.name: Artifact("", f"{{{one.name}}}") for one in before}
    parts = [fingerprint_of(one, named, load(one.config, one.set)) for one in before]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _asked_name(stage: StageConfig, config: Config) -> str:
    """Record of what a release was begun after."""
    return f"{stage.name}.{config.release.dataset}.{config.release.version}.asked"


def _record_asked(
    stage: StageConfig, config: Config, pipeline: PipelineConfig, records: Store
) -> None:
    """Keep what a release that is not begun yet will be begun after."""
    if not layout.release_store(config).exists(layout.PLAN):
        asked = asked_of(stage, pipeline)
        records.put(_asked_name(stage, config), f"{asked}\n".encode())


def resolve(
    stage: StageConfig, pipeline: PipelineConfig, artifacts: Mapping[str, Artifact]
) -> tuple[Config, str]:
    """Config of a stage, and the release that it measures, with locations for names."""
    locations = {name: shared_location(name, made, pipeline) for name, made in artifacts.items()}
    config = load(stage.config, [_fill(change, locations) for change in stage.set])
    release = _fill(stage.release, locations) if stage.job in MEASURED else ""
    return replace(config, store=pipeline.store), release


def shared_location(name: str, artifact: Artifact, pipeline: PipelineConfig) -> str:
    """Where any node finds what a stage made.

    That is the weights' address in the bucket where it can be read by its address alone, else where
    the artifact lies.
    """
    stage = next(stage for stage in pipeline.stages if stage.name == name)
    store = pipeline.store
    if stage.job in KIND and store.url.startswith("s3://") and store.endpoint_url is None:
        folder = _weights_name(stage, artifact.digest, "").rstrip("/")
        return f"{store.url.rstrip('/')}/{RECORDS}/{pipeline.name}/{folder}"
    return artifact.location


def fingerprint_of(stage: StageConfig, artifacts: Mapping[str, Artifact], config: Config) -> str:
    """sha256 of all that decides what a stage makes.

    Artifacts stand in it by their digests, files by their contents; `config` is the stage's own,
    with locations for names.
    """
    digests = {name: artifact.digest for name, artifact in artifacts.items()}
    named = load(stage.config, [_fill(change, digests) for change in stage.set])
    body = {
        "job": stage.job,
        "config": _settings(named),
        "faces": open_source(config.source).fingerprint,
        "release": _fill(stage.release, digests) if stage.job in MEASURED else "",
    }
    return hashlib.sha256(json_text(body, sort_keys=True, default=str).encode()).hexdigest()


def _settings(config: Config) -> dict[str, Any]:
    """The sections and fields of a config that decide what a stage makes, see _counted."""
    return {
        section.name: {
            item.name: _counted(getattr(part, item.name), item.metadata)
            for item in fields(part)
            if (section.name, item.name) not in MACHINERY
        }
        for section in fields(config)
        if section.name not in NOT_COUNTED
        for part in [getattr(config, section.name)]
    }


def _counted(value: Any, field: Mapping[str, Any] = MappingProxyType({})) -> Any:
    """Settings with the contents of files in place of their paths.

    `field` is the metadata of the config's field that holds the value (config/field.py).
    """
    if is_dataclass(value):
        return {
            item.name: _counted(getattr(value, item.name), item.metadata) for item in fields(value)
        }
    if isinstance(value, list | tuple):
        return [_counted(part, field) for part in value]
    if field.get("or_name") == "checkpoint" and str(value).startswith("s3://"):
        return checkpoint.digest_in_bucket(value)
    if field.get("or_name") == "detector" and value == STARTER:
        return value
    if field.get("path") and isinstance(value, str) and Path(value).exists():
        return _images(Path(value)) if field.get("images") else _contents(Path(value))
    return value


def _contents(path: Path) -> str:
    """A digest that tells a file or folder from another: a checkpoint's own, else of all bytes.

    Two networks of one shape, or two tables, have files of the same sizes.
    """
    if (path / "checkpoint.json").is_file():
        return str(json.loads((path / "checkpoint.json").read_text()).get("sha256"))
    if path.is_file():
        return checkpoint.file_sha256(path)
    listing = [f"{f.relative_to(path)} {checkpoint.file_sha256(f)}" for f in _files(path)]
    return hashlib.sha256(os.fsencode("\n".join(listing))).hexdigest()


def _images(path: Path) -> str:
    """A digest of images: of their names and sizes, as the fingerprint of a source is.

    It is that of the bytes of a small archive.
    """
    if path.is_file() and path.stat().st_size <= SMALL_BYTES:
        return checkpoint.file_sha256(path)
    listing = [f"{f.relative_to(path)} {f.stat().st_size}" for f in _files(path)]
    return hashlib.sha256(os.fsencode("\n".join(listing))).hexdigest()


def _files(path: Path) -> list[Path]:
    return [f for f in (sorted(path.rglob("*")) if path.is_dir() else [path]) if f.is_file()]


def made_before(
    stage: StageConfig, config: Config, release: str, records: Store, fingerprint: str
) -> Artifact | None:
    """The artifact that the stage made by the same fingerprint; None where it must be run.

    Weights that are not on this machine are fetched from the store.
    """
    name = f"{stage.name}.json"
    if not records.exists(name):
        return None
    recorded = json.loads(records.get(name))
    if recorded["fingerprint"] != fingerprint:
        return None
    artifact = find(stage, config, release)
    if artifact and artifact.digest == recorded["digest"]:
        return artifact
    if stage.job in KIND:
        return _fetch(stage, config, records, recorded["digest"])
    return None


def find(stage: StageConfig, config: Config, release: str) -> Artifact | None:
    """The stage's artifact as it is now, if there is one."""
    if stage.job in KIND:
        out, kind = config.training.out, KIND[stage.job]
        try:
            return Artifact(out, checkpoint.read_metadata(out, kind, "training.out")["sha256"])
        except CheckpointError:
            return None
    if stage.job in MEASURED:
        store = open_store(replace(config.store, url=release))
        name = layout.metrics_name(MEASURED[stage.job])
    else:
        store, name = layout.release_store(config), layout.SUMS
        if not store.exists(layout.SUCCESS):
            return None
    return Artifact(store.url, store.sha256(name)) if store.exists(name) else None


def record(stage: StageConfig, artifact: Artifact, records: Store, fingerprint: str) -> None:
    """Put weights into the store, then the record that they are whole."""
    if stage.job in KIND:
        for name in WEIGHTS:
            content = (checkpoint.folder(artifact.location) / name).read_bytes()
            records.put(_weights_name(stage, artifact.digest, name), content)
    body = {"fingerprint": fingerprint, "digest": artifact.digest}
    records.put(f"{stage.name}.json", (json_text(body, indent=1) + "\n").encode())


def _fetch(stage: StageConfig, config: Config, records: Store, digest: str) -> Artifact | None:
    """Weights from the store; raises CheckpointError where others lie in their place."""
    names = {name: _weights_name(stage, digest, name) for name in WEIGHTS}
    if not all(records.exists(name) for name in names.values()):
        return None
    out = store_of(config)
    if out.exists("checkpoint.json") or out.list("resume/"):
        raise CheckpointError(
            f"{stage.name}: {out.url} holds another training than the one the pipeline made "
            "before; give the stage another training.out, or move that folder"
        )
    contents = {name: records.get(stored) for name, stored in names.items()}
    if hashlib.sha256(contents[WEIGHTS[0]]).hexdigest() != digest:
        raise IntegrityError(f"{records.url}/{names[WEIGHTS[0]]}: does not have its sha256")
    for name, content in contents.items():
        out.put(name, content)
    return find(stage, config, "")


def _weights_name(stage: StageConfig, digest: str, name: str) -> str:
    """A file of a stage's weights, below the pipeline's records."""
    return f"{stage.name}/{digest[:16]}/{name}"


def _fill(text: str, values: Mapping[str, str]) -> str:
    """The text with values for the names of stages in braces."""
    for name in names_in(text):
        text = text.replace("{" + name + "}", values[name])
    return text
