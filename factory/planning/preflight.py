"""What can be wrong, found before an actor is started: data, weights, dimensions, space."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory import checkpoint
from factory.config import Config
from factory.editing.training_examples import detector_sha256
from factory.errors import CheckpointError, ConfigError, PlanError
from factory.identities.gallery_files import check_galleries
from factory.identities.groups import open_classifier, read_labels
from factory.identities.roster import inquiry_source
from factory.recognition.external import describe_embedder
from factory.shards import layout
from factory.shards.manifest import committed_units, read_plan
from factory.shards.plan_files import earlier_plans
from factory.shots import plan as planning
from factory.shots.edits import edit_knobs
from factory.shots.prompts import prompt_knobs
from factory.sources import FaceSource, open_source
from factory.sources.pose import learned_range
from factory.sources.webdataset import release_of
from factory.store import Store, open_store
from factory.synthesis.editor_loading import check_editor
from factory.synthesis.lora_sets import cropping, open_loras

TOKENS = "similarity_tokens"
BYTES_PER_PIXEL = 1.0
"""Generous size of a stored pixel: JPEG, labels and metadata."""


@dataclass(frozen=True)
class Inputs:
    """What a release is made of, checked: the request of its plan, and the open source."""

    request: dict[str, Any]
    source: FaceSource
    max_cosine: float


def preflight(config: Config) -> Inputs:
    """Check a release's config against the world; raises FactoryError with one clear line."""
    weights, stories = check_weights(config)
    source = open_source(config.source)
    if config.booth.loras:
        _check_people(config, source)
    elif config.editing.editor:
        _check_originals(config)
    else:
        _check_generator(config, stories["generator"]["config"])
    max_cosine = _max_cosine(config, stories["recognizer"])
    _check_pool(config, stories["recognizer"])
    check_quality(config, stories["recognizer"]["config"])
    images = config.identities.num_virtual * config.plan.images_per_identity
    images += config.plan.fill_to * len(source.names)
    if config.editing.editor:
        images = config.editing.ratio * len(source)
    _check_space(config, images)
    described = {
        "kind": config.source.kind,
        "fingerprint": source.fingerprint,
        "num_images": len(source),
        "num_identities": len(source.names),
        "image_px": config.source.image_px,
        "release": release_of(config.source),
    }
    request = planning.request(config, weights, described, max_cosine)
    standing = _standing(config)
    if standing and config.plan.micro_batch is None:  # it was tried out when the plan was written
        request["plan"]["micro_batch"] = standing.request["plan"]["micro_batch"]
    request["identities"]["gallery"] = check_galleries(config, _dim(stories), weights["recognizer"])
    request["identities"]["attributes"] = _attributes(config, source)
    request["identities"]["extends"] = _extended(config, weights)
    if config.identities.inquiry:  # the plan names what the faces are, not where they lie
        request["identities"]["inquiry"] = inquiry_source(config).fingerprint
    if config.booth.loras:
        request["booth"] = prompt_knobs(config.booth, list(source.names)) | cropping(config)
    elif not config.editing.editor and (pose := stories["generator"]["config"].get("pose")):
        request["pose"] = {"bins": pose["bins"]}
    if config.editing.editor:
        more = {"detector": detector_sha256(config.editing.points, config.source)}
        if config.editing.editor == "controlnet":
            more["negative_prompt"] = config.booth.negative_prompt
        request["editing"] = edit_knobs(config.editing) | more
    return Inputs(request, source, max_cosine)


def _check_people(config: Config, source: FaceSource) -> None:
    """Raise PlanError unless everybody in the source has a LoRA."""
    people = open_loras(config).unit_of
    without = [str(name) for name in source.names if name not in people]
    if without:
        raise PlanError(
            f"booth.loras: {config.booth.loras} has no LoRA of {without[0]!r} ({len(without)} of "
            f"{len(source.names)} people of the source); train it on this source"
        )


def _check_originals(config: Config) -> None:
    """Raise ConfigError for real people in the source whom nobody has allowed to draw."""
    origin = release_of(config.source)
    if (origin is None or origin["holds_real_identities"]) and not config.release.allow_real:
        raise ConfigError(
            "release.allow_real: got false with editing.editor while the source is not a release "
            "of people who do not exist; images of real people need release.allow_real=true"
        )


def _check_generator(config: Config, generator: dict[str, Any]) -> None:
    steps, known = config.sampler.num_steps, int(generator["num_timesteps"])
    if steps > known:
        raise ConfigError(f"sampler.num_steps: got {steps}; want at most the generator's {known}")
    if generator["prediction"] == "epsilon" and config.sampler.spacing == "trailing":
        raise ConfigError(
            "sampler.spacing: got 'trailing' for a generator that estimates epsilon, whose error "
            "its first step multiplies a thousandfold; want 'logsnr'"
        )
    _check_similarity(config, int(generator["shape"].get(TOKENS, 0)))
    _check_pose(config, generator.get("pose"))


def _check_similarity(config: Config, tokens: int) -> None:
    if bool(config.sampler.similarity) != bool(tokens):
        wanted = "values such as [0.0]" if tokens else "none"
        raise ConfigError(
            f"sampler.similarity: got {list(config.sampler.similarity)} for a generator with "
            f"{tokens} similarity tokens; want {wanted}, or another generator.checkpoint"
        )


def _check_pose(config: Config, learned: dict[str, Any] | None) -> None:
    """Raise ConfigError for a pose that the generator cannot draw."""
    for axis, name in enumerate(("yaw", "pitch")):
        asked = getattr(config.sampler, name)
        if asked and learned is None:
            raise ConfigError(
                f"sampler.{name}: got {list(asked)} for a generator that is shown no points; want "
                "none, or a generator trained with generator.pose=true"
            )
        if asked and learned is not None:
            low, high = learned_range(learned["bins"], axis)
            outside = [value for value in asked if not low <= value <= high]
            if outside:
                raise ConfigError(
                    f"sampler.{name}: got {outside[0]:g} degrees; the generator learned from "
                    f"{low:g} to {high:g}"
                )


def _attributes(config: Config, source: FaceSource) -> str | None:
    """Digest of the file that tells groups, checked to name people of the source."""
    file = config.identities.attributes
    if not file:
        return None
    if file.endswith(".onnx") and Path(file).is_file():
        open_classifier(Path(file))
        return checkpoint.file_sha256(Path(file))
    labels = read_labels(config.identities, source)
    return hashlib.sha256(planning.canonical(labels)).hexdigest()


def _extended(config: Config, weights: dict[str, str]) -> dict[str, str] | None:
    """The version that this one extends and its plan, checked to be in the same space."""
    dataset = open_store(config.store).below(config.release.dataset)
    earlier = earlier_plans(dataset, config.identities.extends)
    if not earlier:
        return None
    if earlier[0].request["weights"]["recognizer"] != weights["recognizer"]:
        raise PlanError(
            f"identities.extends: {config.identities.extends!r} was made with another recognizer, "
            "so its people cannot be compared; use that recognizer.checkpoint"
        )
    return {"version": str(config.identities.extends), "plan_hash": earlier[0].hash}


def _check_space(config: Config, num_images: int) -> None:
    """Raise StoreError unless the images of the units that are missing fit."""
    store = open_store(config.store)
    store.preflight(0, 0)
    plan = _standing(config)
    if plan:
        done = committed_units(_release(config))
        num_images = sum(unit.num_shots for unit in plan.units if unit.index not in done)
    planned_bytes = int(num_images * config.source.image_px**2 * BYTES_PER_PIXEL)
    if num_images:
        store.preflight(planned_bytes, config.store.min_free_bytes)


def _release(config: Config) -> Store:
    prefix = layout.release_prefix(config.release.dataset, config.release.version)
    return open_store(config.store).below(prefix)


def _standing(config: Config) -> planning.Plan | None:
    """The plan of a release that was begun."""
    return read_plan(_release(config))


def check_weights(config: Config) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """(sha256, checkpoint.json) of every network a release uses, after checking that they fit."""
    from factory.evaluation.features import check_networks

    name = config.recognizer.checkpoint
    stories = {"recognizer": checkpoint.read_metadata(name, "recognizer", "recognizer.checkpoint")}
    _check_digest("recognizer", name, stories["recognizer"]["sha256"])
    _check_side("recognizer", config, stories["recognizer"])
    weights: dict[str, str] = {}
    if config.booth.loras:
        learned = open_loras(config)
        weights = {"base": learned.plan.request["weights"]["base"], "loras": learned.sha256}
    elif config.editing.editor:
        weights = check_editor(config, stories)
        for kind in ("editor", "controlnet", "autoencoder"):
            if kind in stories:
                named = config.autoencoder if kind == "autoencoder" else config.editing
                _check_digest(kind, str(named.checkpoint), stories.pop(kind)["sha256"])
    else:
        _add_generator(config, stories)
    check_networks(config.features, config.source.image_px)
    if config.judge.checkpoint:
        judge = describe_embedder(config.judge.checkpoint, "judge.checkpoint")
        if "config" in judge:
            _check_digest("judge", config.judge.checkpoint, judge["sha256"])
            _check_side("judge", config, judge)
        if judge["sha256"] == stories["recognizer"]["sha256"]:
            raise CheckpointError(
                "judge.checkpoint: has the weights of the recognizer that conditions; want another "
                "recognizer, or judge.checkpoint=null"
            )
    return weights | {kind: story["sha256"] for kind, story in stories.items()}, stories


def _add_generator(config: Config, stories: dict[str, dict[str, Any]]) -> None:
    """The generator's story and that of its autoencoder, after checking that they fit."""
    named = {"generator": config.generator.checkpoint}
    generator = checkpoint.read_metadata(named["generator"], "generator", "generator.checkpoint")
    stories["generator"] = generator
    if generator["config"]["space"] == "latents":
        named["autoencoder"] = config.autoencoder.checkpoint
        stories["autoencoder"] = checkpoint.read_metadata(
            named["autoencoder"], "autoencoder", "autoencoder.checkpoint"
        )
    for kind, name in named.items():
        _check_digest(kind, name, stories[kind]["sha256"])
    for kind in ("recognizer", "autoencoder"):
        wanted = generator["lineage"].get(kind)
        if kind in stories and wanted != stories[kind]["sha256"]:
            raise CheckpointError(
                f"{kind}.checkpoint: has sha256 {stories[kind]['sha256'][:12]}, the generator was "
                f"trained with {str(wanted)[:12]}; use the {kind} it was trained with"
            )
    dim = _dim(stories)
    wanted_dim = generator["config"]["shape"]["embedding_dim"]
    if dim != wanted_dim:
        raise CheckpointError(
            f"recognizer.checkpoint: embeds in {dim} values; the generator takes {wanted_dim}"
        )


def _dim(stories: dict[str, dict[str, Any]]) -> int:
    return int(stories["recognizer"]["config"]["embedding_dim"])


def _check_digest(kind: str, name: str, sha256: str) -> None:
    file = checkpoint.folder(name) / "weights.safetensors"
    found = checkpoint.file_sha256(file)
    if found != sha256:
        raise CheckpointError(
            f"{kind}.checkpoint: {file} has sha256 {found[:12]}, its checkpoint.json says "
            f"{sha256[:12]}; restore the file or train again"
        )


def _check_side(key: str, config: Config, story: dict[str, Any]) -> None:
    known, asked = story["config"]["image_px"], config.source.image_px
    if known != asked:
        raise CheckpointError(
            f"{key}.checkpoint: sees images of {known} px; source.image_px is {asked}"
        )


def _max_cosine(config: Config, recognizer: dict[str, Any]) -> float:
    if config.identities.max_cosine is not None:
        return config.identities.max_cosine
    heldout = recognizer["metrics"].get("heldout")
    if not heldout:
        raise PlanError(
            "identities.max_cosine: auto needs the recognizer's cosine at FMR 1e-3, but it was "
            "trained without held-out people; set identities.max_cosine"
        )
    return round(float(heldout["cosine_at_fmr_1e-3"]), 6)


def _check_pool(config: Config, recognizer: dict[str, Any]) -> None:
    available = recognizer["config"].get("num_virtual", 0)
    wanted = config.identities.num_virtual
    if config.identities.proposal == "prototypes" and available < wanted:
        raise PlanError(
            f"identities.num_virtual: got {wanted}; the recognizer has {available} virtual "
            "prototypes, train it with more (recognizer.num_virtual) or use identities.proposal=pca"
        )


def check_quality(config: Config, recognizer: dict[str, Any]) -> None:
    """Raise ConfigError where a filter wants a quality that this recognizer cannot tell."""
    if config.filters.min_cr_fiqa is not None and not recognizer.get("quality_head"):
        raise ConfigError(
            f"filters.min_cr_fiqa: got {config.filters.min_cr_fiqa}; the recognizer has no quality "
            "head, train it with recognizer.quality_weight=10"
        )
    if config.filters.min_ser_fiq is not None and not recognizer["dropout"]:
        raise ConfigError(
            f"filters.min_ser_fiq: got {config.filters.min_ser_fiq}; the recognizer was trained "
            "without dropout, so every score would be 1; train it with recognizer.dropout=0.4"
        )
