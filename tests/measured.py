"""Metrics of releases made by hand: one of which all is known, one of which hardly anything is."""

from __future__ import annotations

import numpy as np

from factory.evaluation.edit_metrics import EditPictures
from factory.evaluation.evaluate import Pictures
from factory.evaluation.leakage import Pair
from factory.evaluation.metrics.attack import (
    Attack,
    AttackScore,
    AttackSide,
    FalseAlarms,
    FreeDraws,
    RateAtFewFalseAlarms,
    Uses,
)
from factory.evaluation.metrics.release import (
    AuditVerdict,
    Balance,
    Diversity,
    EditMetrics,
    GroupBalance,
    KeptCounts,
    Metrics,
    Pose,
    RecognizerTraining,
    ScoreDeviation,
    Throughput,
    YawDeviation,
)
from factory.evaluation.metrics.separability import (
    AuditedSource,
    DoubleLabels,
    FalseMatches,
    FractionAbove,
    JudgePower,
    Leakage,
    LeakCounts,
    NearestPair,
    PairwiseRates,
    ProposalMetrics,
    RealStrangers,
    Separability,
)
from factory.evaluation.metrics.similarity import (
    Consistency,
    Duplicates,
    Fidelity,
    Overlap,
    PairMetrics,
    Properties,
    QualityScores,
    RecognizerProperties,
    ReferenceSet,
    Similarity,
)
from factory.evaluation.metrics.utility import (
    BenchmarkAccuracy,
    GapToReal,
    TrainingSetAccuracy,
    Utility,
    UtilityRun,
)
from factory.evaluation.metrics.values import (
    Interval,
    MeanStd,
    NotMeasured,
    distribution,
    nearest_cosines,
)
from factory.evaluation.similarity import SampledFaces
from factory.records import Counts, FileRecord, Manifest, Shard, Timings
from factory.shards import layout

LOW, HIGH = distribution(np.array([0.1, 0.2])), distribution(np.array([0.8, 0.9]))
NEAREST = nearest_cosines(np.array([0.3, 0.41]))
PAIRS = PairMetrics(0.987, 0.021, 7.5, 0.031, 0.041, [(0.01, 0.5), (0.1, 0.9)], HIGH, LOW)
JUDGED = PairMetrics(0.976, 0.022, 6.5, 0.032, 0.042, [(0.01, 0.4), (0.1, 0.8)], HIGH, LOW)
FIDELITY = Fidelity(40, 50, 12.345, 0.5, 0.61, 0.71)
JUDGED_FIDELITY = Fidelity(40, 50, 9.875, 0.4, 0.62, 0.72)
CLASSES = Consistency(3, HIGH, HIGH, LOW, 0.55, 1.25, LOW)
MISSING = NotMeasured("n/a: nobody looked")


def leaks(num_leaks: int, count: int, names: list[str | int]) -> LeakCounts:
    """Leaks of one kind."""
    return LeakCounts(count, 500, 0.612, num_leaks, num_leaks / count, names, LOW, 0)


def utility() -> Utility:
    """Two seeds of three sets, verified on a benchmark and on one that could not be read."""

    def learned(accuracy: float) -> TrainingSetAccuracy:
        mean = MeanStd(accuracy, 0.001)
        return TrainingSetAccuracy(12, 4, {"lfw": BenchmarkAccuracy(mean, {"1e-3": mean})}, mean)

    run = UtilityRun(0, 12, 4, {"lfw": {"accuracy": 0.9}, "lost": NotMeasured("n/a: lost")})
    return Utility(
        recipe={"lr": 0.1},
        runs={"real": [run, run], "release": [run], "both": [run]},
        sets={"real": learned(0.91), "release": learned(0.87), "both": learned(0.93)},
        gap_to_real={"release": GapToReal(4.0, 4.6), "both": GapToReal(-2.0, -2.2)},
    )


def attack() -> Attack:
    """A generator that is told by one of two scores, of 80 people and 22."""

    def score(name: str, uses: Uses, auc: float, half: float, chance: float) -> AttackScore:
        found = RateAtFewFalseAlarms(0.25, Interval(0.1, 0.4))
        return AttackScore(name, uses, auc, Interval(auc - half, auc + half), chance, found)

    return Attack(
        generator="ab" * 32,
        space="judge",
        membership="recorded",
        members=AttackSide(80, 160, 640, 3),
        heldout=AttackSide(22, 44, 176, 1),
        false_alarms=FalseAlarms(0.01, 0, 0.0, 3 / 22, False),
        scores=[
            score("denoising loss", "generator", 0.9, 0.05, 0.0005),
            score("nearest cosine", "generator", 0.52, 0.1, 0.9),
            score("own cosine", "recognizer", 0.7, 0.05, 0.01),
            score("brightness", "nothing", 0.45, 0.1, 0.6),
        ],
        free_draws=[FreeDraws("nobody", 128, 101, 100.4, Interval(90, 110), 2)],
        detectable_auc=0.695,
        finding="told_apart",
        settings={"seed": 0, "noise_levels": [0.1, 0.5]},
    )


LEAKAGE = Leakage(
    leak_fpir=0.001,
    max_leak_fraction=0.01,
    source=AuditedSource(500, 20),
    strangers=LOW,
    faces=leaks(3, 40, ["000001_0000", "000001_0001", "000002_0000"]),
    classes=leaks(1, 3, [1]),
    near_copies=leaks(0, 40, []),
    faces_or_near_copies=0.075,
    pairwise=PairwiseRates(900, {"0.001": FractionAbove(0.45, 0.2)}),
    nearest_pairs=[NearestPair("faces", "000001_0000", 0.7)],
    power=JudgePower(20, 60, 0.75, 0.53, 0.89),
    double_labels=DoubleLabels(1, [0.99]),
)
ESTABLISHED = AuditVerdict(True, True, "", 0.5, False)


def full_metrics() -> Metrics:
    """Everything was measured."""
    return Metrics(
        counts=KeptCounts(42, 0.8),
        recognizer_training=RecognizerTraining(1000, 77),
        similarity={
            "recognizer": Similarity(PAIRS, PAIRS, Overlap(0.3, 0.4), LOW, LOW, PAIRS),
            "judge": Similarity(JUDGED, JUDGED, Overlap(0.5, 0.6), LOW, LOW),
        },
        properties=Properties(
            recognizers={
                "recognizer": RecognizerProperties(CLASSES, CLASSES, FIDELITY),
                "judge": RecognizerProperties(CLASSES, CLASSES, JUDGED_FIDELITY),
            },
            features={"inception": FIDELITY},
            quality=QualityScores(MeanStd(1.5, 0.2), MeanStd(1.7, 0.1)),
            reference_sets={
                "ffhq": ReferenceSet(60, {"recognizer": FIDELITY}, MeanStd(1.9, 0.1)),
            },
            duplicates=Duplicates(0.9, 0.123, 0.045),
        ),
        separability=Separability(
            num_virtual=3,
            num_redrawn=1,
            max_cosine=0.4321,
            real_strangers=RealStrangers(900, 2e-3),
            proposal=ProposalMetrics("pca", 15, LOW, -0.5),
            nearest_real=NEAREST,
            nearest_other=NEAREST,
            false_matches=FalseMatches(2e-3, 0.15, 2, 4e-3),
        ),
        leakage=LEAKAGE,
        audit=ESTABLISHED,
        diversity=Diversity(
            pose=Pose(YawDeviation(40, 38, 21.0, 14.5), YawDeviation(50, 50, 22.0, 15.5)),
            within_identity={"sharpness": ScoreDeviation(3, 10.5, 1.5, 12.5)},
        ),
        balance=Balance(0.95, {"women": GroupBalance(2, 0.625, 0.5, 1.5, 0.2, 0.3, 0.25)}),
        throughput=Throughput(100.0, 180.0, 150.0, 0.42, 0.8333, 1.8),
        edits={"mask 0.2": EditMetrics(7, 0.21, 0.81, 0.91)},
        utility=utility(),
        attack=attack(),
    )


def bare_metrics() -> Metrics:
    """Nothing could be measured that may be missing: one image of one person, without a judge."""
    return Metrics(
        counts=KeptCounts(1, 1.0),
        recognizer_training=MISSING,
        similarity={"recognizer": Similarity(MISSING, MISSING, Overlap(), LOW, LOW)},
        properties=Properties(
            recognizers={
                "recognizer": RecognizerProperties(
                    Consistency(1, HIGH), Consistency(1, HIGH), MISSING
                )
            },
            features={"inception": MISSING},
            quality=None,
            reference_sets={"ffhq": ReferenceSet(1, {"recognizer": MISSING})},
            duplicates=Duplicates(0.9, 0.0, 0.0),
        ),
        separability=Separability(
            num_virtual=0,
            num_redrawn=0,
            max_cosine=0.5,
            real_strangers=RealStrangers(0, None),
            proposal=ProposalMetrics("pca", 15),
            nearest_real=MISSING,
            nearest_other=MISSING,
        ),
        leakage=MISSING,
        audit=AuditVerdict(True, False, "nobody looked", 0.5, False),
        diversity=Diversity(pose=MISSING, within_identity={"sharpness": MISSING}),
        balance=MISSING,
        throughput=Throughput(0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    )


def face(gray: int = 100) -> np.ndarray:
    """A flat image."""
    return np.full((8, 8, 3), gray, np.uint8)


def pictures(*, everything: bool) -> Pictures:
    """Three identities with a face each; with everything, rejects, pairs and edits too."""
    faces = SampledFaces(np.stack([face(gray) for gray in (50, 100, 150)]), np.arange(3))
    if not everything:
        return Pictures(faces, np.arange(3), {}, [])
    pair = Pair("faces", 0, {"key": "000001_0000"}, 4, 0.7)
    edits = EditPictures({"mask": [(face(), face(120))], "hat": [(None, face(130))]})
    return Pictures(faces, np.arange(3), {"blurred": [face()]}, [(face(), face(), pair)], edits)


def manifest() -> Manifest:
    """One shard of 42 planned shots, of which 34 were kept."""
    files = [FileRecord(layout.tar_name(0), 4_200_000, "a" * 64)]
    counts = Counts(42, 0, 34, 7, 1, {"blurred": 7})
    shard = Shard(0, "h" * 64, files, counts, Timings(0.0, 100.0, 80.0, 100.0))
    return Manifest("tiny", "0.1.0", "h" * 64, [shard])
