"""What is asked of a release, or of a set of LoRAs: everything that decides bytes but the roster.

A request is made of the sections of the config themselves, with digests where these name files, and
of what was found out of the source, the networks and the machine. Its JSON is a part of plan.json.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from factory.config import (
    BaseModelConfig,
    EditingConfig,
    FiltersConfig,
    IdentitiesConfig,
    PairsConfig,
    PersonalizationConfig,
    PlanConfig,
    RenderingConfig,
    SamplerConfig,
    ShardsConfig,
    as_dict,
)
from factory.config.editing import RegionsConfig
from factory.config.mixing import MixConfig
from factory.errors import PlanError
from factory.provenance.lineage import Faces, has_real_source
from factory.shots.fiqa_request import FiqaRequest
from factory.sources.alignment_facts import AlignmentFacts

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Section = TypeVar("Section", bound="DataclassInstance")
LEARNED = (
    "objective rank alpha modules steps lr weight_decay prior_weight identity_weight margin "
    "num_prior prior_steps prior_guidance crop zoom instance_prompt prior_prompt "
    "gradient_checkpointing order mirrors grad_clip"
).split()
"""Fields of PersonalizationConfig that decide what a LoRA learns; the others are of drawing."""
LEARNED_BEFORE = {"order": "random", "mirrors": True, "grad_clip": 0.0}
"""How LoRAs were learned whose plans lack these fields; a plan leaves them out where it is so."""
NEW_IN_PLANS = ("min_images", "on_shortfall", "reserve_fraction")
"""Fields of PlanConfig that a request leaves out where they have their defaults: older ones have
none of them."""


@dataclass(frozen=True)
class SourceRelease:
    """The sealed release that a source is."""

    dataset: str
    version: str
    plan_hash: str
    holds_real_identities: bool
    sums_sha256: str


@dataclass(frozen=True)
class SourceFacts:
    """What a source of faces is, by its contents; not where it lies."""

    kind: str
    fingerprint: str
    num_images: int
    num_identities: int
    image_px: int
    release: SourceRelease | None = None
    alignment: AlignmentFacts | None = None
    """How its faces are aligned; None: planned before that was kept."""


@dataclass(frozen=True)
class ComputeFacts:
    """The kind of device, the precision and, of a LoRA's training, the threads."""

    device: str
    """compute.device of a request; what it came to, cpu or cuda, of a plan."""
    precision: str
    num_threads: int | None = None
    compile: bool = False
    """compute.compile, which rounds otherwise, where a generator of ours draws."""


@dataclass(frozen=True)
class ReleaseFacts:
    """What a release is called, how it is made, and the root of its random numbers."""

    dataset: str
    version: str
    method: str
    seed: int
    allow_real: bool


@dataclass(frozen=True)
class Environment:
    """The software and the CPU that made a plan: others may make other bytes."""

    sources_sha256: str
    """Of the rooms of this package that decide bytes."""
    stack: dict[str, str]
    """Versions of libraries, and the instruction set."""


@dataclass(frozen=True)
class PromptRequest:
    """What a text-to-image model is asked for, and how faces are cut from what it draws."""

    template: str
    lists: dict[str, list[str]]
    """Words for each blank of the template."""
    genders: dict[str, str]
    """By the names of people."""
    negative_prompt: str
    crop: str
    detector: str | None
    """Digest of the network that finds faces."""


@dataclass(frozen=True)
class PoseRequest:
    """Poses as often as the generator has learned them."""

    bins: list[list[float]]
    """Rows of the histogram of (yaw, pitch), see sources/pose.py."""


@dataclass(frozen=True)
class EditRequest:
    """What is redrawn of the source's faces; paths in `editing` are None."""

    editing: EditingConfig
    detector: str | None
    """Digest of the network that finds the five points."""
    negative_prompt: str | None = None
    """For editing.method=controlnet."""


@dataclass(frozen=True)
class RenderRequest:
    """How people are rendered."""

    rendering: RenderingConfig
    assets: str
    """Digest of the head model."""
    mitsuba: str
    """Version of the renderer."""


@dataclass(frozen=True)
class MethodRequest:
    """What only one release.method asks for; the others leave it None."""

    prompts: PromptRequest | None = None
    """With release.method=lora."""
    pose: PoseRequest | None = None
    """Of a generator that is shown five points."""
    guidance: float | None = None
    """What a distilled generator has learned, in the place of sampler.guidance=null."""
    edits: EditRequest | None = None
    """With release.method=edit."""
    rendering: RenderRequest | None = None
    """With release.method=render."""


@dataclass(frozen=True)
class SparedPeople:
    """By what judge and limits faces of somebody real are rejected: those of the audit."""

    judge_sha256: str
    leak_fpir: float
    """audit.leak_fpir."""
    face_cosine: float
    """Limit of faces to the nearest image or center of a real person."""
    center_cosine: float
    """Limit of the mean faces of identities."""
    vectors_sha256: str
    """Of the real people's vectors, which makers read beside the release (private_files.py)."""


@dataclass(frozen=True)
class PlanRequest:
    """All that was asked of a release: limits resolved, digests in place of paths."""

    source: SourceFacts
    weights: dict[str, str]
    """sha256 of every network, by what it is for."""
    identities: IdentitiesConfig
    plan: PlanConfig
    sampler: SamplerConfig
    filters: FiltersConfig
    shards: ShardsConfig
    compute: ComputeFacts
    release: ReleaseFacts
    environment: Environment
    extends_plan_hash: str | None = None
    """Plan of the release that identities.extends names."""
    prompts: PromptRequest | None = None
    """With release.method=lora."""
    pose: PoseRequest | None = None
    """Of a generator that is shown five points."""
    edits: EditRequest | None = None
    """With release.method=edit."""
    rendering: RenderRequest | None = None
    """With release.method=render."""
    resize: str | None = None
    """How images become those that recognizer or judge see, where these see smaller ones."""
    pseudonyms: str = "names"
    """keyed: its real people are called by pseudonyms under a key; names: as the source does."""
    spared: SparedPeople | None = None
    """With filters.spare_real_people."""
    fiqa: FiqaRequest | None = None
    """With filters.min_fiqa."""
    pairs: PairsConfig | None = None
    """With release.kind=benchmark."""

    @property
    def dataset_and_version(self) -> tuple[str, str]:
        return self.release.dataset, self.release.version

    @property
    def max_cosine(self) -> float:
        """The gate's limit, which a request always holds."""
        assert self.identities.max_cosine is not None
        return self.identities.max_cosine

    @property
    def guidance(self) -> float:
        """Strength of guidance, which a request always holds."""
        assert self.sampler.guidance is not None
        return self.sampler.guidance

    def batch_size(self, attempt: int) -> int:
        """Slots of every batch of a round: plan.micro_batch, then plan.topup_batch."""
        assert self.plan.micro_batch is not None, "tuned where the plan is written"
        return (
            (self.plan.topup_batch or self.plan.micro_batch) if attempt else self.plan.micro_batch
        )

    def with_micro_batch(self, micro_batch: int | None) -> PlanRequest:
        """The same request with another plan.micro_batch."""
        return dataclasses.replace(
            self, plan=dataclasses.replace(self.plan, micro_batch=micro_batch)
        )

    @property
    def holds_real_people(self) -> bool:
        """Whether real people may be in the release, as far as its plan can tell.

        They are where real people are filled up, or edited and not those of a release without any.
        """
        if self.edits is not None:
            return self.source.release is None or self.source.release.holds_real_identities
        return bool(self.plan.fill_to)

    @property
    def draws_source_people(self) -> bool:
        """Whether people of the source may be in the release, filled up or edited."""
        return self.edits is not None or bool(self.plan.fill_to)

    def shows_real_people(self, sources: Collection[Faces]) -> bool:
        """Whether people of the source may be in it who exist, as its lineage's sources tell.

        Without any, as `holds_real_people` says. Unlike that it follows source.real_people.
        """
        if not sources:
            return self.holds_real_people
        return self.draws_source_people and has_real_source(sources)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, ready for JSON."""
        body = as_dict(self)
        for name in ("prompts", "pose", "edits", "rendering", "resize", "spared", "fiqa", "pairs"):
            if body[name] is None:
                del body[name]
        _leave_out_what_is_new(body)
        return dict(json.loads(json.dumps(body, allow_nan=False)))

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> PlanRequest:
        """The request in a plan.json; raises PlanError for what this factory does not know."""
        optional = {
            "prompts": PromptRequest,
            "pose": PoseRequest,
            "spared": SparedPeople,
            "fiqa": FiqaRequest,
        }
        values: dict[str, Any] = {
            "source": _source(body),
            "weights": dict(_part(body, "weights")),
            "identities": _identities(_part(body, "identities")),
            "plan": section(PlanConfig, _part(body, "plan")),
            "sampler": section(SamplerConfig, _part(body, "sampler")),
            "filters": section(FiltersConfig, {"min_kept_fraction": None} | _part(body, "filters")),
            "shards": section(ShardsConfig, _part(body, "shards")),
            "compute": section(ComputeFacts, _part(body, "compute")),
            "release": section(ReleaseFacts, _part(body, "release")),
            "environment": section(Environment, _part(body, "environment")),
            "extends_plan_hash": body.get("extends_plan_hash"),
            "resize": body.get("resize"),
            "pseudonyms": body.get("pseudonyms", "names"),
        }
        for name, kind in optional.items():
            if name in body:
                values[name] = section(kind, body[name])
        if "edits" in body:
            edits = dict(body["edits"])
            edits["editing"] = section(EditingConfig, edits["editing"])
            values["edits"] = section(EditRequest, edits)
        if "pairs" in body:
            pairs = dict(body["pairs"])
            pairs["bins"] = {column: tuple(edges) for column, edges in pairs["bins"].items()}
            values["pairs"] = section(PairsConfig, pairs)
        if "rendering" in body:
            rendering = dict(body["rendering"])
            rendering["rendering"] = section(RenderingConfig, rendering["rendering"])
            values["rendering"] = section(RenderRequest, rendering)
        return cls(**values)


@dataclass(frozen=True)
class PeopleFacts:
    """The people whom LoRAs are trained for, in the order of their units."""

    fingerprint: str
    people: tuple[str, ...]
    alignment: AlignmentFacts | None = None
    """How their photographs are aligned; None: planned before that was kept."""


@dataclass(frozen=True)
class LoraRequest:
    """All that decides a byte of a set of LoRAs: weights, people, recipe, machine."""

    dataset: str
    name: str
    """personalization.loras."""
    seed: int
    source: PeopleFacts
    weights: dict[str, str | None]
    recipe: PersonalizationConfig
    """Only its LEARNED fields count."""
    base_model: BaseModelConfig
    """Without its path."""
    sampler: str
    """Kind of the sampler that draws the prior images."""
    compute: ComputeFacts
    environment: Environment
    pseudonyms: str = "names"
    """As that of a PlanRequest, of source.people."""

    @property
    def dataset_and_version(self) -> tuple[str, str]:
        """A set of LoRAs has a name in the place of a version."""
        return self.dataset, self.name

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, ready for JSON."""
        body = as_dict(self)
        recipe = {name: body["recipe"][name] for name in LEARNED}
        before = LEARNED_BEFORE.items()
        body["recipe"] = {n: v for n, v in recipe.items() if (n, v) not in before}
        _leave_out_what_is_new(body)
        return dict(json.loads(json.dumps(body, allow_nan=False)))

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> LoraRequest:
        """The request in a plan.json; raises PlanError for what this factory does not know."""
        return cls(
            dataset=str(_part(body, "dataset")),
            name=str(_part(body, "name")),
            seed=int(_part(body, "seed")),
            source=section(PeopleFacts, _aligned(_part(body, "source"))),
            weights=dict(_part(body, "weights")),
            recipe=section(PersonalizationConfig, LEARNED_BEFORE | _part(body, "recipe")),
            base_model=section(BaseModelConfig, _part(body, "base_model")),
            sampler=str(_part(body, "sampler")),
            compute=section(ComputeFacts, _part(body, "compute")),
            environment=section(Environment, _part(body, "environment")),
            pseudonyms=body.get("pseudonyms", "names"),
        )


def edit_request(
    editing: EditingConfig, detector: str | None, negative_prompt: str | None
) -> EditRequest:
    """What a plan keeps of the edits.

    No paths, which may change, and no weights, which the request lists by themselves.
    """
    no_paths: dict[str, Any] = {
        item.name: None
        for kind in (RegionsConfig, EditingConfig)
        for item in fields(kind)
        if item.metadata.get("path")
    }
    without = dataclasses.replace(editing, **no_paths)
    return EditRequest(without, detector, negative_prompt)


def _leave_out_what_is_new(request: dict[str, Any]) -> None:
    """Remove what older plans do not have from one that does not use it: it is the same plan."""
    if not request["compute"]["compile"]:
        del request["compute"]["compile"]
    sampler = request["sampler"]
    if isinstance(sampler, dict) and tuple(sampler["negative_ramp"]) == SamplerConfig.negative_ramp:
        del sampler["negative_ramp"]
    if request["pseudonyms"] == "names":
        del request["pseudonyms"]
    if "identities" in request:
        for name in ("inquiry_license", "inquiry_real_people"):
            del request["identities"][name]  # which lineage.json holds
        if not request["identities"]["inquiry_copies"]:
            del request["identities"]["inquiry_copies"]
        if not request["identities"]["mix"]["fraction"]:
            del request["identities"]["mix"]
    if "filters" in request:
        del request["filters"]["min_kept_fraction"]  # which drops no face
        if request["filters"]["max_occluded"] is None:
            del request["filters"]["max_occluded"]
        if not request["filters"]["spare_real_people"]:
            del request["filters"]["spare_real_people"]
        if request["filters"]["min_fiqa"] is None:
            del request["filters"]["min_fiqa"]
    for name in NEW_IN_PLANS if "plan" in request else ():
        if request["plan"][name] == getattr(PlanConfig, name):
            del request["plan"][name]


def section(kind: type[Section], body: dict[str, Any]) -> Section:
    """A dataclass from its JSON form, lists as tuples where it holds tuples.

    Raises PlanError for a field that it has not.
    """
    types = {item.name: str(item.type) for item in fields(kind)}
    unknown = sorted(set(body) - set(types))
    if unknown:
        raise PlanError(
            f"plan.json: {kind.__name__} has no {unknown[0]!r}; it was written by another version "
            "of the factory, use that one"
        )
    values = {
        name: tuple(value) if types[name].startswith("tuple") else value
        for name, value in body.items()
    }
    return kind(**values)


def _identities(body: dict[str, Any]) -> IdentitiesConfig:
    mix = section(MixConfig, body.get("mix", {}))
    return section(IdentitiesConfig, body | {"mix": mix})


def _source(body: dict[str, Any]) -> SourceFacts:
    facts = _aligned(_part(body, "source"))
    if facts.get("release") is not None:
        facts["release"] = section(SourceRelease, facts["release"])
    return section(SourceFacts, facts)


def _aligned(facts: dict[str, Any]) -> dict[str, Any]:
    if facts.get("alignment") is None:
        return dict(facts)
    return facts | {"alignment": section(AlignmentFacts, facts["alignment"])}


def _part(body: dict[str, Any], name: str) -> Any:
    if name not in body:
        raise PlanError(f"plan.json: has no {name!r}; it was planned by an older factory, use that")
    return body[name]
