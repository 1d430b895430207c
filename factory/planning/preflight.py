"""What can be wrong, found before an actor is started: data, weights, dimensions, space."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import torch

from factory import checkpoint
from factory.config import Config, IdentitiesConfig, SamplerConfig
from factory.diffusion.acceptance import check_accepted
from factory.errors import CheckpointError, ConfigError, PlanError
from factory.identities import rendered_people
from factory.identities.capacity import Capacity
from factory.identities.gallery_files import check_galleries
from factory.identities.groups import open_classifier, read_labels
from factory.identities.inquiry import inquiry_source
from factory.planning.gate_limit import Limit, settle_limit
from factory.planning.places import check_release_places
from factory.planning.release_lineage import release_lineage
from factory.planning.sparing import Sparing, check_sparing, sparing
from factory.provenance.consent import check_consent
from factory.provenance.effective import refuse_wider
from factory.provenance.lineage import Lineage
from factory.provenance.naming import Naming, release_naming
from factory.recognition.embed import RESIZE
from factory.recognition.fiqa import OnnxQuality
from factory.recognition.judge import describe_judge, judge_of
from factory.shards.layout import release_store
from factory.shards.manifest import committed_units, read_plan
from factory.shards.plan_files import earlier_plans, numbers_after, open_public_roster
from factory.shots.environment import environment
from factory.shots.fiqa_request import FiqaRequest
from factory.shots.plan import Plan, canonical, check_unit_numbers
from factory.shots.request import (
    ComputeFacts,
    MethodRequest,
    PlanRequest,
    ReleaseFacts,
)
from factory.shots.source_facts import as_planned, source_facts
from factory.sources import FaceSource, open_source
from factory.sources.base import remarks_of
from factory.store import open_store
from factory.synthesis.methods import METHODS
from factory.synthesis.networks import Networks, refuse_altered
from factory.training.distributed import pick_device

BYTES_PER_PIXEL = 1.0
"""Generous size of a stored pixel: JPEG, labels and metadata."""


@dataclass(frozen=True)
class Inputs:
    """What a release is made of, checked: the request of its plan, and the open source."""

    request: PlanRequest
    source: FaceSource
    lineage: Lineage
    """All that the release will descend from."""
    capacity: Capacity | None = None
    """How many people the gate can hold, where that was worth asking."""
    sparing: Sparing = field(default_factory=Sparing)
    """Real people whom makers spare, with filters.spare_real_people."""
    remarks: Sequence[str] = ()
    """What was not checked, and of the source what it leaves out, for whoever watches."""


def preflight(config: Config, today: date | None = None) -> Inputs:
    """Check a release's config against the world; raises FactoryError with one clear line.

    Consent must hold `today`, by default the day it is. The device is looked for where makers are
    in this process; a fleet has it elsewhere.
    """
    if config.fleet.runner == "inline":
        pick_device(config.compute)
    check_release_places(config)
    check_sparing(config)
    naming = release_naming(config)
    networks, source = check_weights(config), open_source(config.source)
    accepted = check_accepted(config.acceptance, to_be_accepted(config, networks))
    check_consent(config.source, source.names, today or date.today())
    recognizer = networks.metadata.get("recognizer")
    existing = read_plan(release_store(config))
    _refuse_other_key(config, existing, source, naming)
    added = METHODS[config.release.method].request(config, source, networks)
    if recognizer:
        _check_pool(config, recognizer)
        check_quality(config, recognizer["config"])
    _check_space(config, existing, num_images(config, source))
    extended, num_earlier = _extended(config, source, networks.weights)
    limit = _limit(config, recognizer, source, existing, num_earlier)
    facts = source_facts(config.source, source)
    spared = sparing(config, source, existing)
    request = PlanRequest(
        source=as_planned(facts, existing.request.source) if existing else facts,
        weights=networks.weights,
        identities=_identities(config, source, networks, limit.max_cosine),
        plan=config.plan,
        sampler=_sampler(config, added),
        filters=dataclasses.replace(config.filters, min_kept_fraction=None),  # it drops no face
        shards=config.shards,
        compute=ComputeFacts(
            config.compute.device,
            config.compute.precision,
            compile=_compiles(config, existing),
        ),
        release=ReleaseFacts(
            config.release.dataset,
            config.release.version,
            config.release.method,
            config.release.seed,
            config.release.allow_real,
        ),
        environment=environment(),
        extends_plan_hash=extended.hash if extended else None,
        prompts=added.prompts,
        pose=added.pose,
        edits=added.edits,
        rendering=added.rendering,
        resize=_resize(config, recognizer),
        pseudonyms=naming.mode,
        spared=spared.limits,
        fiqa=fiqa_of(config),
        pairs=config.pairs if config.release.kind == "benchmark" else None,
    )
    lineage = release_lineage(config, request, source)
    refuse_wider(lineage, config.release.license)
    remarks = (*accepted, *remarks_of(source))
    return Inputs(request, source, lineage, limit.capacity, spared, remarks)


def _sampler(config: Config, added: MethodRequest) -> SamplerConfig:
    """The sampler with its guidance as a number: what a distilled generator has learned."""
    if config.sampler.guidance is not None:
        return config.sampler
    return dataclasses.replace(config.sampler, guidance=added.guidance)


def _resize(config: Config, recognizer: dict[str, Any] | None) -> str | None:
    """How the recognizer that conditions is shown images that are larger than it sees."""
    shown_px = recognizer["config"]["image_px"] if recognizer else config.source.image_px
    return RESIZE if shown_px != config.source.image_px else None


def to_be_accepted(config: Config, networks: Networks) -> dict[str, tuple[str, dict[str, Any]]]:
    """The networks that section acceptance has limits of: name in the config, checkpoint.json."""
    names = {
        "autoencoder": config.autoencoder.checkpoint,
        "generator": config.generator.checkpoint,
    }
    found = networks.metadata
    return {kind: (name, found[kind]) for kind, name in names.items() if kind in found}


def _compiles(config: Config, existing: Plan | None) -> bool:
    """Whether drawing is compiled; auto keeps to a plan, and begins none that is compiled.

    Because compiled networks round otherwise, bytes would hang on a measured time.
    """
    if config.release.method != "diffusion":
        return False
    if config.compute.compile == "auto":
        return existing is not None and existing.request.compute.compile
    return config.compute.compile


def _refuse_other_key(
    config: Config, existing: Plan | None, source: FaceSource, naming: Naming
) -> None:
    """Raise PlanError where a release was begun with other pseudonyms of the same people."""
    if existing is None or existing.request.pseudonyms != "keyed" or naming.key is None:
        return
    if source.fingerprint != existing.request.source.fingerprint:
        return  # which `refuse_other_plan` says
    called = {naming.of(name) for name in source.names}
    people = open_public_roster(release_store(config), existing).real_people
    if not called.issuperset(people.texts("name").to_pylist()):
        raise PlanError(f"release.pseudonyms: {naming.remedy}")


def num_images(config: Config, source: FaceSource) -> int:
    """Images that a release makes at most, top-ups left out."""
    if config.release.method == "edit":
        return config.editing.edits_per_image * len(source)
    virtual = config.identities.num_virtual * config.plan.images_per_identity
    return virtual + config.plan.fill_to * len(source.names)


def _identities(
    config: Config, source: FaceSource, networks: Networks, max_cosine: float
) -> IdentitiesConfig:
    """The section with its limit resolved, and digests where it names files.

    A plan says what files are, not where they lie.
    """
    if config.release.method == "render":
        return dataclasses.replace(config.identities, max_cosine=max_cosine)
    recognizer_sha256 = networks.weights["recognizer"]
    inquiry = inquiry_source(config).fingerprint if config.identities.inquiry else None
    return dataclasses.replace(
        config.identities,
        max_cosine=max_cosine,
        gallery=check_galleries(config, networks.embedding_dim, recognizer_sha256),
        attributes=_attributes(config, source),
        inquiry=inquiry,
        inquiry_license=None,
        inquiry_real_people=None,
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
    return hashlib.sha256(canonical(labels)).hexdigest()


def _extended(
    config: Config, source: FaceSource, weights: dict[str, str]
) -> tuple[Plan | None, int]:
    """The plan of the version that this one extends, in the same space, and how many people it has.

    Those of all that it extends itself count too.

    Raises PlanError where numbers of units that go on after it would be too large.
    """
    dataset = open_store(config.store).below(config.release.dataset)
    earlier = earlier_plans(dataset, config.identities.extends)
    refuse_unseen_people(earlier, source.fingerprint, config.identities.gallery)
    num_earlier, first_unit = numbers_after(earlier)
    people = config.identities.num_virtual
    check_unit_numbers(first_unit, people, config.plan.identities_per_unit)
    if not earlier:
        return None, 0
    if earlier[0].request.weights["recognizer"] != weights["recognizer"]:
        raise PlanError(
            f"identities.extends: {config.identities.extends!r} was made with another recognizer, "
            "so its people cannot be compared; use that recognizer.checkpoint"
        )
    return earlier[0], num_earlier


def refuse_unseen_people(earlier: list[Plan], fingerprint: str, gallery: str | None) -> None:
    """Raise PlanError where the gate would not see real people of an earlier version.

    Their vectors are not published: they are in the recognizer where it drew them, else in the
    source of this `fingerprint`, or in a gallery that somebody gives.
    """
    for plan in earlier:
        drawn_from_prototypes = plan.request.release.method == "diffusion"
        elsewhere = plan.request.source.fingerprint != fingerprint
        if plan.private and elsewhere and not drawn_from_prototypes and not gallery:
            raise PlanError(
                f"identities.extends: version {plan.request.release.version} holds real people of "
                "another source, whom the gate would not see; use that source, or give their "
                "embeddings (jobs.embed) as identities.gallery"
            )


def _check_space(config: Config, existing: Plan | None, num_images: int) -> None:
    """Raise StoreError unless the images of the units that are missing fit."""
    store = open_store(config.store)
    store.preflight(0, 0)
    if existing:
        done = committed_units(release_store(config))
        num_images = sum(unit.num_shots for unit in existing.units if unit.index not in done)
    planned_bytes = int(num_images * config.source.image_px**2 * BYTES_PER_PIXEL)
    if num_images:
        store.preflight(planned_bytes, config.store.min_free_bytes)


def check_weights(config: Config) -> Networks:
    """Every network a release uses, after checking that they are whole and fit each other."""
    from factory.evaluation.features import check_networks

    looking, networks = Networks(), Networks()  # a method without a recognizer is measured by one
    method, name = METHODS[config.release.method], config.recognizer.checkpoint
    recognizer = (networks if method.has_recognizer else looking).read(
        "recognizer", name, "recognizer.checkpoint"
    )
    _check_side("recognizer", config, recognizer)
    method.check(config, networks)
    check_networks(config.features, config.source.image_px)
    if judge := describe_judge(config):
        if "config" in judge:
            refuse_altered(str(judge_of(config)), judge["sha256"], "judge.checkpoint")
            _check_side("judge", config, judge)
        if judge["sha256"] == recognizer["sha256"]:
            raise CheckpointError(
                "judge.checkpoint: has the weights of the recognizer that conditions; want another "
                "recognizer, or judge.checkpoint=null"
            )
    return networks


def _check_side(key: str, config: Config, metadata: dict[str, Any]) -> None:
    trained_px, wanted_px = metadata["config"]["image_px"], config.source.image_px
    if trained_px > wanted_px:
        raise CheckpointError(
            f"{key}.checkpoint: sees images of {trained_px} px; source.image_px is {wanted_px}, "
            "want at least as much (larger images are resized for it)"
        )


def _limit(
    config: Config,
    recognizer: dict[str, Any] | None,
    source: FaceSource,
    existing: Plan | None,
    num_earlier: int,
) -> Limit:
    """The gate's limit and the room under it; where a version is planned already, its own.

    Rendered people are compared by their traits, without a recognizer.
    """
    fixed = config.identities.max_cosine
    if existing:
        return Limit(existing.request.max_cosine if fixed is None else fixed)
    if recognizer is None:
        return Limit(rendered_people.MAX_COSINE if fixed is None else fixed)
    return settle_limit(config, recognizer, source, num_earlier)


def _check_pool(config: Config, recognizer: dict[str, Any]) -> None:
    available = recognizer["config"].get("num_virtual", 0)
    wanted = config.plan.num_admitted(config.identities.num_virtual)
    wanted -= config.identities.mix.count(wanted)
    if config.identities.proposal in ("prototypes", "colored") and available < wanted:
        raise PlanError(
            f"identities.num_virtual: got {wanted}; the recognizer has {available} virtual "
            "prototypes, train it with more (recognizer.num_virtual) or use identities.proposal=pca"
        )


def fiqa_of(config: Config) -> FiqaRequest | None:
    """What filters.min_fiqa asks; raises ConfigError without a network, and as OnnxQuality does."""
    limit = config.filters.min_fiqa
    if limit is None:
        return None
    if config.quality.model is None:
        raise ConfigError(
            f"filters.min_fiqa: got {limit:g} without quality.model; want the .onnx of a network "
            "that tells quality, or null"
        )
    OnnxQuality(config.quality, torch.device("cpu"))
    return FiqaRequest.of(config.quality)


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
