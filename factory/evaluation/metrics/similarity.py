"""How alike faces are: similarity.json and properties.json of a release."""

from __future__ import annotations

from dataclasses import dataclass

from factory.evaluation.metrics.values import Distribution, Interval, MeanStd, NotMeasured


@dataclass(frozen=True)
class PairMetrics:
    """How well genuine and impostor pairs are told apart by their cosines."""

    auc: float
    eer: float
    fdr: float
    """Fisher's ratio: squared distance of the means over the sum of the variances."""
    fmr100: float | None
    """Lowest false non-match rate at a false match rate of 1 %; None with fewer than 1,000 impostor
    pairs."""
    fmr1000: float | None
    """The same at 0.1 %; None with fewer than 10,000."""
    roc: list[tuple[float, float]]
    """(false accept rate, true accept rate)."""
    genuine: Distribution
    impostor: Distribution
    intervals: dict[str, Interval] | None = None
    """At 95 % by resampling people, of those of the figures above that have one; None in metrics of
    older factories."""
    num_people: int | None = None
    """Who were resampled; None in metrics of older factories."""
    power: str = ""
    """What difference of the AUC such sets show; empty where it is not known."""

    def interval(self, figure: str) -> Interval | None:
        """The interval of a figure by its name, where there is one."""
        return (self.intervals or {}).get(figure)


@dataclass(frozen=True)
class Overlap:
    """Intersection over union of the release's and the source's histograms of cosines."""

    genuine: float | None = None
    impostor: float | None = None


@dataclass(frozen=True)
class Similarity:
    """Cosines within and between identities, by one recognizer."""

    release: PairMetrics | NotMeasured
    source: PairMetrics | NotMeasured
    overlap: Overlap
    nearest_real: Distribution
    """Largest cosine of each made face to a face of the source."""
    source_nearest_other_person: Distribution
    """Largest cosine of each face of the source to one of another person."""
    made_vs_photographs: PairMetrics | NotMeasured | None = None
    """Made images of real people against photographs of them and of others; None without any."""


@dataclass(frozen=True)
class Consistency:
    """How alike the images of a class are, and how far from other classes (METHODS 1, 7)."""

    num_classes: int
    ccs: Distribution
    """Cosine of each face to the center of its own class."""
    within_class: Distribution | None = None
    """Mean cosine of the pairs of each class; None where no class has two images."""
    nnccs: Distribution | None = None
    """Largest cosine of each face to the center of another class; None with one class."""
    ccs_minus_nnccs: float | None = None
    ccs_over_nnccs: float | None = None
    nearest_center: Distribution | None = None
    """Largest cosine of each center to another one."""


@dataclass(frozen=True)
class OneEach:
    """Variety of people, one image of each, beside what other real people of one source have.

    With several images a person precision and recall count a person's own images as near, and tell
    of images a person more than of variety.
    """

    num_people: int
    """Of each set."""
    precision: float
    recall: float
    cmmd: float
    floor_precision: float
    """Of as many real people instead of made ones, against the same others."""
    floor_recall: float
    floor_cmmd: float


@dataclass(frozen=True)
class Fidelity:
    """How alike two sets of features are (fidelity.py)."""

    num_made: int
    num_real: int
    fid: float | None
    """None with fewer images than features have dimensions; `fid_note` says so."""
    cmmd: float
    precision: float
    recall: float
    fid_note: str = ""
    one_each: OneEach | NotMeasured | None = None
    """None in metrics of older factories, and where who is on an image is not known."""


@dataclass(frozen=True)
class RecognizerProperties:
    """Properties of the release and its source in the space of one recognizer."""

    release: Consistency
    source: Consistency
    fidelity: Fidelity | NotMeasured


@dataclass(frozen=True)
class QualityScores:
    """CR-FIQA scores of the release's faces and of the source's."""

    release: MeanStd
    source: MeanStd


@dataclass(frozen=True)
class ReferenceSet:
    """A further set of real faces, and how alike the release and it are in each space."""

    num_images: int
    fidelity: dict[str, Fidelity | NotMeasured]
    quality: MeanStd | None = None


@dataclass(frozen=True)
class Duplicates:
    """Fractions of faces whose pixel hash is nearly that of another face."""

    min_cosine: float
    """Cosine of two hashes from which they count as duplicates."""
    within_identity: float
    across_identities: float


@dataclass(frozen=True)
class Properties:
    """What a release is like as a set: alike within classes, unlike between, like the source."""

    recognizers: dict[str, RecognizerProperties]
    """By "recognizer" (which conditions) and "judge"."""
    features: dict[str, Fidelity | NotMeasured]
    """By the names of further networks."""
    quality: QualityScores | None
    """None where features.quality names no head."""
    reference_sets: dict[str, ReferenceSet]
    duplicates: Duplicates
