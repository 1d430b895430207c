"""Every file that a config names is known to decide what is made, by contents, or not to."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from factory.config import Config
from factory.shots.request import LoraRequest, PlanRequest

DECIDES = {
    "SourceConfig.path": "request.source.fingerprint",
    "SourceConfig.landmarks": "request.source.alignment.landmarks",
    "SourceConfig.detector": "request.source.alignment.detector",
    "IdentitiesConfig.inquiry": "request.identities.inquiry",
    "IdentitiesConfig.gallery": "request.identities.gallery",
    "IdentitiesConfig.attributes": "request.identities.attributes",
    "PersonalizationConfig.genders": "request.prompts.genders",
    "RecognizerConfig.checkpoint": "request.weights",
    "AutoencoderConfig.checkpoint": "request.weights",
    "GeneratorConfig.checkpoint": "request.weights",
    "TurnsConfig.checkpoint": "request.weights",
    "QualityConfig.model": "request.fiqa",
    "EditingConfig.checkpoint": "request.weights",
    "EditingConfig.segmenter_path": "request.weights",
    "EditingConfig.grounding": "request.weights",
    "BaseModelConfig.path": "loras.weights",
    "BatchesConfig.oversample": "training batches.oversample",
    "GeneratorConfig.init_from": "training init_from",
    "GeneratorConfig.similarity_recognizers": "training label_recognizer_1",
    "DistillationConfig.teacher": "training teacher",
    "AutoencoderConfig.init_from": "training start",
    "BaseTrainingConfig.tables": "training captions",
    "InpaintingTrainingConfig.captioner": "training captions",
    "InpaintingTrainingConfig.segmenter_path": "training segmenter",
    "InpaintingTrainingConfig.grounding": "training segmenter",
}
"""Where each is held by its digest: in the request of a release or of LoRAs, or among the facts of
a training (by the name that a refusal gives)."""
DECIDES_NOTHING = {
    "SourceConfig.pairs": "measures a recognizer",
    "SourceConfig.groups": "measures a recognizer",
    "SourceConfig.heldout": "measures a recognizer",
    "IdentificationConfig.table": "measures a recognizer",
    "IdentificationConfig.gallery": "measures a recognizer",
    "SourceConfig.consent": "decides whether anything is made at all; lineages hold its digest",
    "JudgeConfig.checkpoint": "measures a release; kept vectors go by its digest",
    "QualityConfig.table": "measures a recognizer",
    "VerificationConfig.out": "where results are written",
    "FeaturesConfig.inception": "measures a release; kept vectors go by its digest",
    "FeaturesConfig.clip": "measures a release; kept vectors go by its digest",
    "FeaturesConfig.quality": "measures a release; kept vectors go by its digest",
    "TrainingConfig.out": "where results are written",
    "TrainingConfig.cache": "where results are written, by contents",
    "AuditConfig.embeddings_dir": "where results are written, by contents",
    "UtilityConfig.out": "where results are written, by contents",
    "AttackConfig.out": "where results are written",
    "BenchmarkConfig.folder": "measures a recognizer",
    "BenchmarkConfig.published": "is printed beside what was measured",
    "BenchmarkConfig.out": "where results are written",
    "FleetConfig.events": "where results are written",
    "StoreConfig.url": "where results are written",
    "StoreConfig.ca_bundle": "how the store is reached",
}


def named_files() -> set[str]:
    """Section.field of every field of a config, however deep, that names a file."""
    found, seen, left = set(), set(), [Config]
    while left:
        kind = left.pop()
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            if field.metadata.get("path"):
                found.add(f"{kind.__name__}.{field.name}")
            hint = hints[field.name]
            for part in {hint, *typing.get_args(hint)} - seen:
                if dataclasses.is_dataclass(part):
                    seen.add(part)
                    left.append(part)
    return found


def test_no_file_is_forgotten():
    """A new one is put into one of the two tables, and by its digest where it says."""
    assert named_files() == {*DECIDES, *DECIDES_NOTHING}
    assert not {*DECIDES} & {*DECIDES_NOTHING}


HELD = sorted(place for place in set(DECIDES.values()) if "training" not in place)


@pytest.mark.parametrize("place", HELD)
def test_the_place_that_holds_a_digest_is_there(place):
    """What holds it for a training is named by the refusals that training/test_identity.py sees."""
    root, *names = place.split(".")
    kind: typing.Any = {"request": PlanRequest, "loras": LoraRequest}[root]
    for name in names:
        hint = typing.get_type_hints(kind)[name]
        inner = [part for part in typing.get_args(hint) if dataclasses.is_dataclass(part)]
        kind = inner[0] if inner else hint
