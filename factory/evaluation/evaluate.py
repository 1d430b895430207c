"""All figures of a sealed release, from one embedding of each of its faces and its source's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from factory import checkpoint
from factory.config import Config
from factory.evaluation.balance import balance
from factory.evaluation.consistency import consistency, repeats
from factory.evaluation.diversity import diversity
from factory.evaluation.edit_metrics import EditPictures, edits
from factory.evaluation.embeddings import RealFaces, Space, made_faces, real_faces
from factory.evaluation.features import open_networks, open_quality
from factory.evaluation.fidelity import fidelity
from factory.evaluation.leakage import Audit, Pair, leakage, unit_means
from factory.evaluation.perceptual_hash import PerceptualHash
from factory.evaluation.reference_sets import beside, quality
from factory.evaluation.release_metadata import kept_scores, rejected_shots
from factory.evaluation.separability import separability
from factory.evaluation.similarity import (
    SampledFaces,
    evenly,
    sample_release,
    similarity,
    with_source,
)
from factory.evaluation.throughput import throughput
from factory.identities.roster import Roster, learn_groups
from factory.quality.filters import NEAR_REAL, NO_REGION
from factory.recognition.embed import Embedder
from factory.recognition.external import open_embedder
from factory.recognition.verification import pair_cosines
from factory.records import Manifest
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
    """What the report shows: sampled faces, all identities from best to worst, rejected faces by
    reason, made faces and the real ones nearest to them, and edits by kind."""

    faces: SampledFaces
    ranking: np.ndarray
    rejects: dict[str, list[np.ndarray]]
    nearest: list[tuple[np.ndarray, np.ndarray, Pair]]
    edits: EditPictures | None = None


def evaluate(
    config: Config, source: FaceSource, store: Store, plan: Plan, manifest: Manifest
) -> tuple[dict[str, Any], Pictures]:
    """(figures by file stem of metrics/, what the report shows).

    Raises IntegrityError when the source or the recognizer is not the one that was planned with.
    """
    refuse_other_inputs(config, plan, source)
    roster, device = open_plan(store)[1], pick_device(config.compute)
    faces, kept = sample_release(store, plan), kept_scores(store, plan)
    recognizers = _recognizers(config, device)
    networks = open_networks(config.features, device)
    scored = open_quality(config.features, device)
    spaces = recognizers | networks | scored | {"hash": PerceptualHash()}
    made = _made(config, store, manifest, spaces)
    real = _real(config, source, spaces | {"mirrored": PerceptualHash(True)})  # the audit's, too
    labels, own_label = made["labels"], _own_labels(source, roster)
    similar, properties = {}, {}
    for name in recognizers:
        some_made = evenly(made[name], labels)
        some_real = evenly(real[name].unit_ND, real[name].labels)
        similar[name] = similarity(*some_made, *some_real)
        if own_label:  # real people who are drawn
            drawn = np.isin(labels, list(own_label))
            people_N = np.array([own_label[label] for label in labels[drawn].tolist()])
            mine = evenly(made[name][drawn], people_N)
            similar[name]["with_source"] = with_source(*mine, *some_real)
        properties[name] = {
            "release": consistency(made[name], labels),
            "source": consistency(real[name].unit_ND, real[name].labels),
            "fidelity": fidelity(made[name], real[name].unit_ND),
        }
    properties["features"] = {name: fidelity(made[name], real[name].unit_ND) for name in networks}
    properties["quality"] = quality(made, real["quality"].unit_ND if scored else None)
    properties["beside"] = beside(config, made, recognizers | networks | scored)
    properties["repeats"] = repeats(made["hash"], labels)
    conditioning = real["recognizer"]
    strangers = pair_cosines(*evenly(conditioning.unit_ND, conditioning.labels))[1]
    audit = audit_faces(config, source, store, manifest, roster)
    metrics = {
        "counts": {
            "planned": manifest.counts.planned,
            "kept_fraction": manifest.counts.kept_fraction,
        },
        "learned_from": _learned_from(config),
        "similarity": similar,
        "properties": properties,
        "separability": separability(plan, roster, strangers),
        "leakage": audit.figures if audit else {"note": NO_JUDGE},
        "diversity": diversity(kept, faces, source, config.source),
        "balance": balance(plan, roster, _group_accuracy(config, source, conditioning)),
        "throughput": throughput(manifest),
    }
    edited = None
    if plan.request.edits:
        metrics["edits"], edited = edits(store, plan, source, config.audit.show_real)
    pairs = audit.pairs if audit and config.audit.show_real else []
    pictures = Pictures(
        faces,
        kept.ranking(),
        _rejects(config, store, plan),
        _pictures(pairs, source, store),
        edited,
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
    """The audit for real faces by the config's judge; None without one. `anew` embeds the release's
    faces again, whatever audit.embeddings_dir holds of them."""
    if not config.judge.checkpoint:
        return None
    device = pick_device(config.compute)
    judge = open_embedder(config.judge.checkpoint, device, "judge.checkpoint")
    spaces = {"judge": judge, "plain": PerceptualHash(), "mirrored": PerceptualHash(True)}
    real = _real(config, source, spaces)
    plain, mirrored = real["plain"], real["mirrored"]
    hashes = RealFaces(
        np.concatenate([plain.unit_ND, mirrored.unit_ND]),
        np.concatenate([plain.labels, mirrored.labels]),
        np.concatenate([plain.places, mirrored.places]),
    )
    kept = None if anew else config.audit.embeddings_dir
    made = made_faces(store, manifest, [judge, PerceptualHash()], kept)
    return leakage(config.audit, made, real["judge"], hashes, _own_labels(source, roster))


def _own_labels(source: FaceSource, roster: Roster) -> dict[int, int]:
    """Labels in the source of those of the roster who come from there, by identity."""
    label_of = {name: label for label, name in enumerate(source.names)}
    return {who.index: label_of[who.name] for who in roster.identities if who.name}


def _learned_from(config: Config) -> dict[str, Any]:
    """How many images of how many people the recognizer learned from, by its own checkpoint."""
    name = config.recognizer.checkpoint
    story = checkpoint.read_metadata(name, "recognizer", "recognizer.checkpoint")
    trained = story["metrics"].get("train", {})
    return {key: trained[key] for key in ("images", "identities") if key in trained}


def _recognizers(config: Config, device: torch.device) -> dict[str, Embedder]:
    """Who conditions, and who judges where somebody does."""
    named = {"recognizer": config.recognizer.checkpoint, "judge": config.judge.checkpoint}
    return {
        kind: open_embedder(name, device, f"{kind}.checkpoint")
        for kind, name in named.items()
        if name
    }


def _group_accuracy(config: Config, source: FaceSource, real: RealFaces) -> float | None:
    groups = learn_groups(config, source, unit_means(real.unit_ND, real.labels))
    return groups.accuracy if groups else None


def _made(
    config: Config, store: Store, manifest: Manifest, spaces: Mapping[str, Space]
) -> dict[str, np.ndarray]:
    """Vectors [N, D] of all kept faces by space, 4*D bytes each, and their "labels" [N]."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in (*spaces, "labels")}
    for unit in made_faces(store, manifest, list(spaces.values()), config.audit.embeddings_dir):
        for name, vectors in zip(spaces, unit.unit_by_space, strict=True):
            found[name].append(vectors)
        found["labels"].append(np.array([row["identity"] for row in unit.rows]))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _real(config: Config, source: FaceSource, spaces: Mapping[str, Space]) -> dict[str, RealFaces]:
    found = real_faces(source, config.source, list(spaces.values()), config.audit.embeddings_dir)
    return dict(zip(spaces, found, strict=True))


def _rejects(config: Config, store: Store, plan: Plan) -> dict[str, list[np.ndarray]]:
    """A few rejected faces of each reason, drawn again; their pixels are kept nowhere. Those that
    were too near to a real person, or are photographs that could not be edited, stay unseen unless
    real people may be shown."""
    shots = rejected_shots(store, plan, config.audit.num_rejects)
    if not config.audit.show_real:
        for reason in (NEAR_REAL, NO_REGION):
            shots.pop(reason, None)
    if not any(shots.values()):
        return {}
    with kept_threads():
        workshop = load_release(config, store)
        return {reason: [workshop.draw(shot) for shot in some] for reason, some in shots.items()}


def _pictures(
    pairs: list[Pair], source: FaceSource, store: Store
) -> list[tuple[np.ndarray, np.ndarray, Pair]]:
    return [
        (
            decode_image(read_face(store, pair.unit, pair.row), pair.row["key"], 1 << 24),
            source[pair.place].image_HWC,
            pair,
        )
        for pair in pairs
    ]
