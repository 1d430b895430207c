"""All metrics of a sealed release: a record of each unit, reduced to figures (METHODS 6, 7)."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from factory import checkpoint
from factory.config import Config
from factory.evaluation.balance import balance
from factory.evaluation.consistency import consistency
from factory.evaluation.diversity import pose
from factory.evaluation.edit_metrics import EditPictures, edit_pictures
from factory.evaluation.embeddings import MAX_PIXELS, RealFaces, Space, real_faces
from factory.evaluation.features import QUALITY, open_networks, open_quality
from factory.evaluation.fidelity import fidelity
from factory.evaluation.hardness import hardness
from factory.evaluation.leakage import Audit, LeakageTally, Pair, RowOf
from factory.evaluation.measuring import Release, measure_units
from factory.evaluation.metrics.attack import Attack
from factory.evaluation.metrics.hardness import SetHardness
from factory.evaluation.metrics.json_form import from_json
from factory.evaluation.metrics.lineage import lineage_metrics
from factory.evaluation.metrics.release import Diversity, KeptCounts, Metrics, RecognizerTraining
from factory.evaluation.metrics.similarity import Properties, RecognizerProperties, Similarity
from factory.evaluation.metrics.utility import Utility
from factory.evaluation.metrics.values import NotMeasured
from factory.evaluation.perceptual_hash import PerceptualHash
from factory.evaluation.recognizers import CONDITIONING, JUDGE, open_recognizers
from factory.evaluation.reduction import CLASS, Reduction
from factory.evaluation.reference_sets import quality, reference_sets
from factory.evaluation.separability import separability
from factory.evaluation.similarity import (
    SampledFaces,
    evenly,
    made_vs_photographs,
    sample_release,
    similarity,
)
from factory.evaluation.tallies import Moments
from factory.evaluation.throughput import throughput
from factory.evaluation.verdict import NO_JUDGE, verdict
from factory.evaluation.yardstick import people_of
from factory.execution.inline import RunUnits
from factory.identities.roster import Roster
from factory.identities.roster_building import learn_groups
from factory.provenance.lineage import read_lineage
from factory.quality.filters import NEAR_REAL, NEAR_REAL_PERSON, NO_REGION
from factory.quality.real_limits import unit_means
from factory.recognition.resampled_scores import AllPairs
from factory.recognition.verification import pair_cosines
from factory.records import Log, Manifest, Shot
from factory.shards import layout
from factory.shards.manifest import read_metrics
from factory.shards.plan_files import open_plan, open_public_roster, refuse_other_inputs
from factory.shards.reader import metadata_rows, open_sealed, read_face
from factory.shots.plan import Plan
from factory.sources import FaceSource
from factory.sources.decoding import decode_image
from factory.store import Store
from factory.synthesis.loading import load_planned
from factory.training.distributed import device_here, kept_threads


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


def evaluate(
    config: Config,
    source: FaceSource,
    store: Store,
    plan: Plan,
    manifest: Manifest,
    run_units: RunUnits,
    log: Log = print,
) -> tuple[Metrics, Pictures]:
    """Measure a release unit by unit, and choose the faces that the report shows.

    Raises IntegrityError when the source or the recognizer is not the one that was planned with.
    """
    store = open_sealed(store)
    refuse_other_inputs(config, plan, source, open_public_roster(store, plan).people)
    roster, device = open_plan(store, config)[1], device_here(config.compute)
    recognizers = open_recognizers(config, device)
    networks = open_networks(config.features, device) | open_quality(config.features, device)
    spaces, hashes = recognizers | networks, _hashes(config)
    real = _real(config, source, spaces | hashes)
    yardstick = people_of(*(real[name] for name in (JUDGE, *hashes))) if hashes else None
    people = yardstick.galleries if yardstick else None
    release = Release(store, roster, manifest, roster.label_of(source.names))
    anew = config.audit.from_images
    measured = measure_units(config, release, spaces, people, run_units, log, anew=anew)
    with tempfile.TemporaryDirectory() as folder:
        leakage = LeakageTally(config.audit, yardstick) if yardstick else None
        made = Reduction(Path(folder), config.audit.num_rejects, leakage, release.own_label)
        made.add_all(measured.records())
        properties = _properties(config, made, real, recognizers, networks)
    audit = leakage.finish(row_reader(store)) if leakage else None
    leaks = audit.metrics if audit else NotMeasured(NO_JUDGE)
    pictures = _pictures(config, source, store, plan, roster, made, audit)
    conditioning = real[CONDITIONING]
    some_real = evenly(conditioning.unit_ND, conditioning.labels)
    strangers, by_people = pair_cosines(*some_real)[1], None
    if plan.request.rendering:  # whose gate compares traits, not what a recognizer sees
        strangers = strangers[:0]
    else:
        by_people = AllPairs.of(*some_real)
    lineage = read_lineage(store)
    utility, attack = read_metrics(store, layout.UTILITY), read_metrics(store, layout.ATTACK)
    metrics = Metrics(
        counts=KeptCounts(
            manifest.counts.planned,
            manifest.counts.kept_fraction,
            made.num_source_people,
            None if store.exists(layout.SUCCESS) else config.filters.min_kept_fraction,
        ),
        recognizer_training=_recognizer_training(config),
        similarity={name: _similarity(made, real, release, name) for name in recognizers},
        properties=properties,
        separability=separability(plan, roster, strangers, by_people),
        leakage=leaks,
        audit=verdict(config, leaks, lineage, plan.request.spared),
        diversity=Diversity(
            pose=pose(pictures.faces, source, config.source),
            within_identity=made.scores.within_identity(),
        ),
        balance=balance(plan, roster, _group_accuracy(config, source, conditioning)),
        throughput=throughput(manifest),
        lineage=lineage_metrics(lineage) if lineage else None,
        edits=made.edits.metrics() if plan.request.edits else None,
        utility=None if utility is None else from_json(Utility, utility),
        attack=None if attack is None else from_json(Attack, attack),
        hardness=_hardness(store, plan, recognizers),
    )
    measured.clear()
    return metrics, pictures


def _hardness(
    store: Store, plan: Plan, recognizers: Mapping[str, Space]
) -> dict[str, SetHardness] | None:
    """Of the pairs of a test set; None of any other release."""
    request = plan.request
    if request.pairs is None:
        return None
    return hardness(store, request.source.image_px, recognizers, request.release.seed)


def audit_faces(
    config: Config,
    source: FaceSource,
    store: Store,
    manifest: Manifest,
    roster: Roster,
    run_units: RunUnits,
    log: Log = print,
) -> Audit | None:
    """The audit for real faces by the config's judge, alone; None without one.

    The release's faces are embedded anew, whatever makers have kept of them.
    """
    if config.judge.checkpoint is None:
        return None
    store = open_sealed(store)
    judge = open_recognizers(config, device_here(config.compute), judge_alone=True)
    real = _real(config, source, judge | _hashes(config))
    yardstick = people_of(*real.values())
    release = Release(store, roster, manifest, roster.label_of(source.names))
    measured = measure_units(
        config, release, judge, yardstick.galleries, run_units, log, audit_alone=True, anew=True
    )
    leakage = LeakageTally(config.audit, yardstick)
    with tempfile.TemporaryDirectory() as folder:
        Reduction(Path(folder), 0, leakage).add_all(measured.records())
    audit = leakage.finish(row_reader(store))
    measured.clear()
    return audit


def row_reader(store: Store) -> RowOf:
    """Reads the metadata row of a face by unit and row; one unit's are remembered."""
    rows_of = functools.lru_cache(maxsize=1)(functools.partial(metadata_rows, store))
    return lambda unit, row: rows_of(unit)[row]


def _hashes(config: Config) -> dict[str, Space]:
    """Hashes that the audit wants of the source; none without a judge."""
    if config.judge.checkpoint is None:
        return {}
    return {"plain": PerceptualHash(), "mirrored": PerceptualHash(True)}


def _similarity(
    made: Reduction, real: Mapping[str, RealFaces], release: Release, name: str
) -> Similarity:
    """Pairs by the recognizer of that name; with real people drawn, also against photographs."""
    some_real = evenly(real[name].unit_ND, real[name].labels)
    measured = similarity(made.spaces[name].pairs(), made.pair_labels(), *some_real)
    drawn = made.photo_labels()
    if not len(drawn):
        return measured
    people = np.array([release.own_label[identity] for identity in drawn.tolist()])
    photos = made_vs_photographs(made.spaces[name].photos(), people, *some_real)
    return replace(measured, made_vs_photographs=photos)


def _properties(
    config: Config,
    made: Reduction,
    real: Mapping[str, RealFaces],
    recognizers: Mapping[str, Space],
    networks: Mapping[str, Space],
) -> Properties:
    """Of all faces, or of the sampled ones where METHODS 7 says so."""
    sample = made.sample()
    moments = {name: made.spaces[name].moments for name in recognizers}
    names = [name for name in networks if name != QUALITY]
    return Properties(
        recognizers={
            name: RecognizerProperties(
                release=made.spaces[name].consistency(sample[name], sample[CLASS]),
                source=consistency(real[name].unit_ND, real[name].labels),
                fidelity=fidelity(
                    sample[name],
                    real[name].unit_ND,
                    moments[name],
                    Moments.of_blocks(real[name].unit_ND),
                    labels=(sample[CLASS], real[name].labels),
                ),
            )
            for name in recognizers
        },
        features={
            name: fidelity(
                sample[name], real[name].unit_ND, labels=(sample[CLASS], real[name].labels)
            )
            for name in names
        },
        quality=quality(sample[QUALITY], real[QUALITY].unit_ND) if QUALITY in networks else None,
        reference_sets=reference_sets(config, sample, {**recognizers, **networks}, moments),
        duplicates=made.duplicates(),
    )


def _recognizer_training(config: Config) -> RecognizerTraining | NotMeasured:
    """How many images of how many people the recognizer learned from, by its own checkpoint."""
    name = config.recognizer.checkpoint
    metadata = checkpoint.read_metadata(name, "recognizer", "recognizer.checkpoint")
    training = metadata["metrics"].get("train", {})
    if "images" not in training or "identities" not in training:
        return NotMeasured("n/a: the recognizer's checkpoint does not say")
    return RecognizerTraining(training["images"], training["identities"])


def _group_accuracy(config: Config, source: FaceSource, real: RealFaces) -> float | None:
    groups = learn_groups(config, source, unit_means(real.unit_ND, real.labels))
    return groups.accuracy if groups else None


def _real(config: Config, source: FaceSource, spaces: Mapping[str, Space]) -> dict[str, RealFaces]:
    faces = real_faces(source, config.source, list(spaces.values()), config.audit.embeddings_dir)
    return dict(zip(spaces, faces, strict=True))


def _pictures(
    config: Config,
    source: FaceSource,
    store: Store,
    plan: Plan,
    roster: Roster,
    made: Reduction,
    audit: Audit | None,
) -> Pictures:
    """The faces that the report shows; real ones where audit.show_real allows."""
    show_real = config.audit.show_real
    pairs = audit.pairs if audit and show_real else []
    edited = plan.request.edits is not None
    return Pictures(
        sample_release(store, plan),
        made.scores.ranking(),
        _rejects(config, plan, roster, made.rejects),
        _nearest(pairs, source, store),
        edit_pictures(made.edits.shown, store, roster, source, show_real) if edited else None,
    )


def _rejects(
    config: Config, plan: Plan, roster: Roster, shots: dict[str, list[Shot]]
) -> dict[str, list[np.ndarray]]:
    """A few rejected faces of each reason, drawn again, because their pixels are kept nowhere.

    One by one where this process has not the planned device: a CPU is slow, and bytes differ
    anyway. Those that were too near to a real person, or are photographs that could not be edited,
    stay unseen unless real people may be shown.
    """
    hidden = () if config.audit.show_real else (NEAR_REAL, NEAR_REAL_PERSON, NO_REGION)
    shots = {reason: some for reason, some in shots.items() if reason not in hidden}
    if not any(shots.values()):
        return {}
    with kept_threads():
        device = device_here(config.compute)
        loaded = load_planned(config, plan, roster, device)
        draw = loaded.draw if device.type == plan.request.compute.device else loaded.sketch
        return {reason: [draw(shot) for shot in some] for reason, some in shots.items()}


def _nearest(
    pairs: list[Pair], source: FaceSource, store: Store
) -> list[tuple[np.ndarray, np.ndarray, Pair]]:
    return [
        (
            decode_image(read_face(store, pair.unit, pair.row), pair.row["key"], MAX_PIXELS),
            source[pair.real_index].image_HWC,
            pair,
        )
        for pair in pairs
    ]
