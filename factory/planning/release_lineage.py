"""All that a release will descend from, found when it is planned."""

from __future__ import annotations

from factory.config import Config
from factory.identities.inquiry import inquiry_config, inquiry_source
from factory.provenance.faces import head_model_record, require_license, source_record
from factory.provenance.licenses import find
from factory.provenance.lineage import UNKNOWN, Lineage, NetworkRecord, SourceRecord
from factory.provenance.networks import ancestors
from factory.shots.request import PlanRequest
from factory.sources import FaceSource
from factory.synthesis.lora_sets import lora_records
from factory.text_to_image.base_provenance import base_records

KNOWN_LOOKERS = {
    "25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31": "Apache-2.0",
}
"""Licenses of published detectors, by sha256: YuNet (yunet_n_640_640.onnx)."""
MADE_BY = ("recognizer", "generator", "autoencoder", "turns", "editor", "base")
"""Roles among the weights of a plan whose checkpoints tell what they learned from."""


def release_lineage(config: Config, request: PlanRequest, source: FaceSource) -> Lineage:
    """The lineage of a release with this request; raises ConfigError where a license is missing."""
    require_license(config.source)
    if config.identities.inquiry_license is not None:
        find(config.identities.inquiry_license, "identities.inquiry_license")
    return Lineage(
        (source_record(config.source, source), *_further(config, request)),
        (*_networks(config, request), *_lookers(request)),
        config.release.license,
    )


def _networks(config: Config, request: PlanRequest) -> list[NetworkRecord]:
    """Networks that draw, and their ancestors."""
    weights = {role: request.weights[role] for role in MADE_BY if role in request.weights}
    known: list[NetworkRecord] = []
    if "loras" in request.weights:
        known += lora_records(config)
    found = ancestors(config, weights, known)
    if any(one.role == "base" and not (one.is_told or one.license) for one in found):
        return ancestors(
            config, weights, [*known, *base_records(config.base_model, config.checkpoint)]
        )
    return found


def _lookers(request: PlanRequest) -> list[NetworkRecord]:
    """Networks that find faces or their regions, and of which nothing is in what is made."""
    asked = (
        request.source.alignment and request.source.alignment.detector,
        request.edits and request.edits.detector,
        request.prompts and request.prompts.detector,
    )
    digests = {digest: "detector" for digest in asked if digest}
    if "segmenter" in request.weights:
        digests[request.weights["segmenter"]] = "segmenter"
    return [
        NetworkRecord(role, digest, license=KNOWN_LOOKERS.get(digest, UNKNOWN), is_told=False)
        for digest, role in digests.items()
    ]


def _further(config: Config, request: PlanRequest) -> list[SourceRecord]:
    """Faces that stand for people (inquiry), and people who are stayed away from (gallery)."""
    found = []
    if request.rendering:
        found.append(head_model_record(request.rendering.assets))
    if request.identities.inquiry:
        found.append(source_record(inquiry_config(config), inquiry_source(config), "inquiry"))
    if request.identities.gallery:
        digest = request.identities.gallery
        found.append(SourceRecord("gallery", digest, 0, 0, real_people=True, role="gallery"))
    return found
