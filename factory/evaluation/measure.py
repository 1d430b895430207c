"""All figures of a sealed release, from one embedding of each of its faces and its source's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from factory.config import Config
from factory.distributed import pick_device
from factory.evaluation.balance import balance
from factory.evaluation.consistency import consistency, repeats
from factory.evaluation.diversity import diversity
from factory.evaluation.features import open_networks
from factory.evaluation.fidelity import fidelity
from factory.evaluation.kept import kept_scores, rejected_shots
from factory.evaluation.leakage import Audit, Pair, leakage, unit_means
from factory.evaluation.pixelhash import PixelHash
from factory.evaluation.separability import separability
from factory.evaluation.similarity import Faces, evenly, sample_release, similarity
from factory.evaluation.throughput import throughput
from factory.evaluation.vectors import RealFaces, Space, made_faces, real_faces
from factory.identities.plan import Plan
from factory.identities.roster import Roster, learn_groups
from factory.recognition.embed import Recognizer
from factory.recognition.foreign import open_embedder
from factory.recognition.verification import pair_cosines
from factory.records import Manifest
from factory.shards.reader import read_face
from factory.sources import FaceSource
from factory.sources.base import decode_image
from factory.store import Store
from factory.synthesis.opening import open_plan, open_workshop, refuse_other_inputs

NO_JUDGE = "n/a: no judge looked (judge.checkpoint is null)"


@dataclass(frozen=True)
class Pictures:
    """What the report shows: sampled faces, all identities from best to worst, rejected faces by
    reason, made faces and the real ones nearest to them."""

    faces: Faces
    ranking: np.ndarray
    rejects: dict[str, list[np.ndarray]]
    nearest: list[tuple[np.ndarray, np.ndarray, Pair]]


def measure(
    config: Config, source: FaceSource, store: Store, plan: Plan, manifest: Manifest
) -> tuple[dict[str, Any], Pictures]:
    """(figures by file stem of metrics/, what the report shows).

    Raises IntegrityError when the source or the recognizer is not the one that was planned with.
    """
    refuse_other_inputs(config, plan, source)
    roster, device = open_plan(store)[1], pick_device(config.compute)
    faces = sample_release(store, plan)
    similar, properties, strangers = {}, {}, np.empty(0)
    for kind, name in (
        ("recognizer", config.recognizer.checkpoint),
        ("judge", config.judge.checkpoint),
    ):
        if not name:
            continue
        embedder = open_embedder(name, device, f"{kind}.checkpoint")
        made = _made(config, store, manifest, embedder)
        real = _real(config, source, embedder)
        some_made, some_real = evenly(*made), evenly(real.unit_ND, real.labels)
        similar[kind] = similarity(*some_made, *some_real)
        properties[kind] = {
            "release": consistency(*made),
            "source": consistency(real.unit_ND, real.labels),
            "fidelity": fidelity(made[0], real.unit_ND),
        }
        if kind == "recognizer":
            strangers = pair_cosines(*some_real)[1]
    properties["features"] = {
        name: fidelity(
            _made(config, store, manifest, network)[0], _real(config, source, network).unit_ND
        )
        for name, network in open_networks(config.features, device).items()
    }
    properties["repeats"] = repeats(*_made(config, store, manifest, PixelHash()))
    kept = kept_scores(store, plan)
    audit = audit_faces(config, source, store, manifest, roster)
    metrics = {
        "counts": {"planned": manifest.counts.planned, "kept_share": manifest.counts.kept_share},
        "similarity": similar,
        "properties": properties,
        "separability": separability(plan, roster, strangers),
        "leakage": audit.figures if audit else {"note": NO_JUDGE},
        "diversity": diversity(kept, faces, source, config.source),
        "balance": balance(plan, roster, _group_accuracy(config, source)),
        "throughput": throughput(manifest),
    }
    pairs = audit.pairs if audit and config.audit.show_real else []
    pictures = Pictures(
        faces,
        kept.ranking(),
        _rejects(config, store, plan),
        _pictures(pairs, source, store),
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
    faces again, whatever audit.vectors holds of them."""
    if not config.judge.checkpoint:
        return None
    device = pick_device(config.compute)
    judge = open_embedder(config.judge.checkpoint, device, "judge.checkpoint")
    plain, mirrored = _real(config, source, PixelHash()), _real(config, source, PixelHash(True))
    hashes = RealFaces(
        np.concatenate([plain.unit_ND, mirrored.unit_ND]),
        np.concatenate([plain.labels, mirrored.labels]),
        np.concatenate([plain.places, mirrored.places]),
    )
    label_of = {name: label for label, name in enumerate(source.names)}
    own_label = {who.index: label_of[who.name] for who in roster.identities if who.kind == "real"}
    kept = None if anew else config.audit.vectors
    made = made_faces(store, manifest, [judge, PixelHash()], kept)
    return leakage(config.audit, made, _real(config, source, judge), hashes, own_label)


def _group_accuracy(config: Config, source: FaceSource) -> float | None:
    if not config.identities.attributes:
        return None
    recognizer = Recognizer.load(config.recognizer.checkpoint, pick_device(config.compute))
    real = _real(config, source, recognizer)
    groups = learn_groups(config, source, unit_means(real.unit_ND, real.labels))
    return groups.accuracy if groups else None


def _made(
    config: Config, store: Store, manifest: Manifest, space: Space
) -> tuple[np.ndarray, np.ndarray]:
    """(vectors [N, D] of all kept faces, 4*D bytes each, and their identities [N])."""
    units, labels = [], []
    for unit in made_faces(store, manifest, [space], config.audit.vectors):
        units.append(unit.unit_by_space[0])
        labels += [row["identity"] for row in unit.rows]
    return np.concatenate(units), np.array(labels)


def _real(config: Config, source: FaceSource, space: Space) -> RealFaces:
    return real_faces(source, config.source, space, config.audit.vectors)


def _rejects(config: Config, store: Store, plan: Plan) -> dict[str, list[np.ndarray]]:
    """A few rejected faces of each reason, drawn again; their pixels are kept nowhere."""
    shots = rejected_shots(store, plan, config.audit.num_rejects)
    if not any(shots.values()):
        return {}
    workshop = open_workshop(config, store)
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
