"""All metrics of a sealed release, from one embedding of each of its faces and its source's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config
from factory.evaluation.balance import balance
from factory.evaluation.consistency import consistency, duplicates
from factory.evaluation.diversity import diversity
from factory.evaluation.edit_metrics import EditPictures, edits
from factory.evaluation.embeddings import RealFaces, RecognizerSpace, Space, made_faces, real_faces
from factory.evaluation.features import QUALITY, open_networks, open_quality
from factory.evaluation.fidelity import fidelity
from factory.evaluation.leakage import Audit, Pair, leakage, unit_means
from factory.evaluation.metrics.json_form import from_json
from factory.evaluation.metrics.release import KeptCounts, Metrics, RecognizerTraining
from factory.evaluation.metrics.similarity import Properties, RecognizerProperties, Similarity
from factory.evaluation.metrics.utility import Utility
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.perceptual_hash import PerceptualHash
from factory.evaluation.reference_sets import quality, reference_sets
from factory.evaluation.release_metadata import kept_scores, rejected_shots
from factory.evaluation.separability import separability
from factory.evaluation.similarity import (
    SampledFaces,
    evenly,
    made_vs_photographs,
    sample_release,
    similarity,
)
from factory.evaluation.throughput import throughput
from factory.identities.roster import Roster, learn_groups
from factory.quality.filters import NEAR_REAL, NO_REGION
from factory.recognition.external import open_embedder
from factory.recognition.verification import pair_cosines
from factory.records import Manifest
from factory.shards import layout
from factory.shards.manifest import read_metrics
from factory.shards.plan_files import open_plan, refuse_other_inputs
from factory.shards.reader import read_face
from factory.shots.plan import Plan
from factory.sources import FaceSource
from factory.sources.base import decode_image
from factory.store import Store
from factory.synthesis.loading import load_release
from factory.training.distributed import kept_threads, pick_device

NO_JUDGE = "n/a: no judge looked (judge.checkpoint is null)"


@dataclass(frozen=True)
class Pictures:
    """The faces that the report shows.

    They are sampled ones, all identities from best to worst, rejected faces by reason, made faces
    and the real ones nearest to them, and edits by kind.
    """

    faces: SampledFaces
    ranking: np.ndarray
    rejects: dict[str, list[np.ndarray]]
    nearest: list[tuple[np.ndarray, np.ndarray, Pair]]
    edits: EditPictures | None = None


@dataclass(frozen=True)
class _Vectors:
    """Kept faces of a release by space [N, D] with their identities [N], and those of its source.

    `first_identity` is the index of the roster's first, `own_label` the label in the source of each
    identity that comes from there.
    """

    made: Mapping[str, np.ndarray]
    identities: np.ndarray
    real: Mapping[str, RealFaces]
    own_label: dict[int, int]
    first_identity: int = 0

    @property
    def rows(self) -> np.ndarray:
        """Rows of the roster [N]."""
        return self.identities - self.first_identity


def evaluate(
    config: Config, source: FaceSource, store: Store, plan: Plan, manifest: Manifest
) -> tuple[Metrics, Pictures]:
    """Measure a release, and choose the faces that the report shows.

    Raises IntegrityError when the source or the recognizer is not the one that was planned with.
    """
    refuse_other_inputs(config, plan, source)
    roster, device = open_plan(store)[1], pick_device(config.compute)
    faces, scores = sample_release(store, plan), kept_scores(store, plan)
    recognizers = _recognizers(config, device)
    networks = open_networks(config.features, device)
    quality_head = open_quality(config.features, device)
    spaces = recognizers | networks | quality_head
    vectors = _embed(config, source, store, manifest, roster, spaces)
    conditioning = vectors.real["recognizer"]
    strangers = pair_cosines(*evenly(conditioning.unit_ND, conditioning.labels))[1]
    audit = audit_faces(config, source, store, manifest, roster)
    edit_metrics, edit_pictures = (
        edits(store, plan, source, config.audit.show_real) if plan.request.edits else (None, None)
    )
    utility = read_metrics(store, layout.UTILITY)
    metrics = Metrics(
        counts=KeptCounts(manifest.counts.planned, manifest.counts.kept_fraction),
        recognizer_training=_recognizer_training(config),
        similarity={name: _similarity(vectors, name) for name in recognizers},
        properties=_properties(config, vectors, recognizers, networks, quality_head),
        separability=separability(plan, roster, strangers),
        leakage=audit.metrics if audit else NotMeasured(NO_JUDGE),
        diversity=diversity(scores, faces, source, config.source),
        balance=balance(plan, roster, _group_accuracy(config, source, conditioning)),
        throughput=throughput(manifest),
        edits=edit_metrics,
        utility=None if utility is None else from_json(Utility, utility),
    )
    pairs = audit.pairs if audit and config.audit.show_real else []
    pictures = Pictures(
        faces,
        scores.ranking(),
        _rejects(config, store, plan),
        _pictures(pairs, source, store),
        edit_pictures,
    )
    return metrics, pictures


def audit_faces(
    config: Config,
    source: FaceSource,
    store: Store,
    manifest: Manifest,
    roster: Roster,
    *,
    anew: bool = False,
) -> Audit | None:
    """The audit for real faces by the config's judge; None without one.

    `anew` embeds the release's faces again, whatever audit.embeddings_dir holds of them.
    """
    if not config.judge.checkpoint:
        return None
    device = pick_device(config.compute)
    judge = RecognizerSpace(open_embedder(config.judge.checkpoint, device, "judge.checkpoint"))
    spaces: dict[str, Space] = {
        "judge": judge,
        "plain": PerceptualHash(),
        "mirrored": PerceptualHash(True),
    }
    real = _real(config, source, spaces)
    plain, mirrored = real["plain"], real["mirrored"]
    hashes = RealFaces(
        np.concatenate([plain.unit_ND, mirrored.unit_ND]),
        np.concatenate([plain.labels, mirrored.labels]),
        np.concatenate([plain.indices, mirrored.indices]),
    )
    folder = None if anew else config.audit.embeddings_dir
    made = made_faces(store, manifest, [judge, PerceptualHash()], folder)
    return leakage(config.audit, made, real["judge"], hashes, _own_labels(source, roster))


def _similarity(vectors: _Vectors, name: str) -> Similarity:
    """Pairs by the recognizer of that name; with real people drawn, also against photographs."""
    some_real = evenly(vectors.real[name].unit_ND, vectors.real[name].labels)
    measured = similarity(*evenly(vectors.made[name], vectors.rows), *some_real)
    if not vectors.own_label:
        return measured
    drawn = np.isin(vectors.identities, list(vectors.own_label))
    people = [vectors.own_label[identity] for identity in vectors.identities[drawn].tolist()]
    some_made = evenly(vectors.made[name][drawn], np.array(people))
    return replace(measured, made_vs_photographs=made_vs_photographs(*some_made, *some_real))


def _properties(
    config: Config,
    vectors: _Vectors,
    recognizers: Mapping[str, Space],
    networks: Mapping[str, Space],
    quality_head: Mapping[str, Space],
) -> Properties:
    made, real = vectors.made, vectors.real
    return Properties(
        recognizers={
            name: RecognizerProperties(
                release=consistency(made[name], vectors.identities),
                source=consistency(real[name].unit_ND, real[name].labels),
                fidelity=fidelity(made[name], real[name].unit_ND),
            )
            for name in recognizers
        },
        features={name: fidelity(made[name], real[name].unit_ND) for name in networks},
        quality=quality(made[QUALITY], real[QUALITY].unit_ND) if quality_head else None,
        reference_sets=reference_sets(config, made, {**recognizers, **networks, **quality_head}),
        duplicates=duplicates(made["hash"], vectors.identities),
    )


def _own_labels(source: FaceSource, roster: Roster) -> dict[int, int]:
    """Labels in the source of those of the roster who come from there, by identity."""
    label_of = {name: label for label, name in enumerate(source.names)}
    return {person.index: label_of[person.name] for person in roster.identities if person.name}


def _recognizer_training(config: Config) -> RecognizerTraining | NotMeasured:
    """How many images of how many people the recognizer learned from, by its own checkpoint."""
    name = config.recognizer.checkpoint
    metadata = checkpoint.read_metadata(name, "recognizer", "recognizer.checkpoint")
    training = metadata["metrics"].get("train", {})
    if "images" not in training or "identities" not in training:
        return NotMeasured("n/a: the recognizer's checkpoint does not say")
    return RecognizerTraining(training["images"], training["identities"])


def _recognizers(config: Config, device: torch.device) -> dict[str, Space]:
    """The conditioning recognizer, and the judge where there is one."""
    named = {"recognizer": config.recognizer.checkpoint, "judge": config.judge.checkpoint}
    return {
        kind: RecognizerSpace(open_embedder(name, device, f"{kind}.checkpoint"))
        for kind, name in named.items()
        if name
    }


def _group_accuracy(config: Config, source: FaceSource, real: RealFaces) -> float | None:
    groups = learn_groups(config, source, unit_means(real.unit_ND, real.labels))
    return groups.accuracy if groups else None


def _embed(
    config: Config,
    source: FaceSource,
    store: Store,
    manifest: Manifest,
    roster: Roster,
    spaces: Mapping[str, Space],
) -> _Vectors:
    """All faces in all spaces and as hashes, 4*D bytes a face and space.

    The mirrored hashes of the source are those that the audit will want.
    """
    spaces = {**spaces, "hash": PerceptualHash()}
    parts: dict[str, list[np.ndarray]] = {name: [] for name in spaces}
    identities = []
    for unit in made_faces(store, manifest, list(spaces.values()), config.audit.embeddings_dir):
        for name, vectors_ND in zip(spaces, unit.unit_by_space, strict=True):
            parts[name].append(vectors_ND)
        identities += [row["identity"] for row in unit.rows]
    made = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    real = _real(config, source, {**spaces, "mirrored": PerceptualHash(True)})
    own_label, first = _own_labels(source, roster), roster.first_identity
    return _Vectors(made, np.array(identities), real, own_label, first)


def _real(config: Config, source: FaceSource, spaces: Mapping[str, Space]) -> dict[str, RealFaces]:
    faces = real_faces(source, config.source, list(spaces.values()), config.audit.embeddings_dir)
    return dict(zip(spaces, faces, strict=True))


def _rejects(config: Config, store: Store, plan: Plan) -> dict[str, list[np.ndarray]]:
    """A few rejected faces of each reason, drawn again, because their pixels are kept nowhere.

    Those that were too near to a real person, or are photographs that could not be edited, stay
    unseen unless real people may be shown.
    """
    shots = rejected_shots(store, plan, config.audit.num_rejects)
    if not config.audit.show_real:
        for reason in (NEAR_REAL, NO_REGION):
            shots.pop(reason, None)
    if not any(shots.values()):
        return {}
    with kept_threads():
        loaded = load_release(config, store)
        return {reason: [loaded.draw(shot) for shot in some] for reason, some in shots.items()}


def _pictures(
    pairs: list[Pair], source: FaceSource, store: Store
) -> list[tuple[np.ndarray, np.ndarray, Pair]]:
    return [
        (
            decode_image(read_face(store, pair.unit, pair.row), pair.row["key"], 1 << 24),
            source[pair.real_index].image_HWC,
            pair,
        )
        for pair in pairs
    ]
