"""How a finished release is measured: leaks of real people, image quality, use in training."""

from __future__ import annotations

from dataclasses import dataclass, field

from factory.config.data import SourceConfig
from factory.config.field import file_path, knob


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """The search for real people in a release, in the judge's space (METHODS 6).

    Nothing here changes a byte of the data; it decides whether they are published. Only leak_fpir
    also decides who is drawn with filters.spare_real_people.
    """

    leak_fpir: float = knob(0.001, low=1e-6, high=0.5)
    """Fraction of real people's own images that are nearer to another person than a made face may
    be to anybody: sets the cosine from which a face counts as a leak."""
    max_leak_fraction: float = knob(0.01, low=0.0, high=1.0)
    """Fraction of leaks among kept faces or class centers, or of near-copies, above which a release
    is not published."""
    min_power: float = knob(0.5, low=0.0, high=1.0)
    """How often the judge must see a known person at the limit of leaks: fraction of the pairs of
    one real person's images that are above it, at the lower end of its 95 % interval over people. A
    weaker judge establishes nothing, and a release with photographs in its source is not published.
    At .5 at most twice as many faces show somebody as were found."""
    accept_weak_judge: bool = False
    """Publish though it is not established that no real person shows: without a judge, by a weak
    one, or by too few images. Card, report and croissant.json say so."""
    show_real: bool = False
    """Show the nearest pairs in the report, real faces of the source next to made ones: only where
    these may be published."""
    num_rejects: int = knob(4, low=0, high=32)
    """Rejected faces of each reason that are drawn again for the report."""
    embeddings_dir: str = file_path("runs/embeddings", only_local=True)
    """Local folder where embeddings of the source are kept for the next time. They tell who is in
    it: guard them as you guard the photographs."""
    from_images: bool = False
    """Embed kept faces from their images though their makers have kept the conditioning
    recognizer's vectors, which are of the pixels before they were encoded."""
    keep_records: bool = False
    """Keep what was computed of each unit (evaluation/ beside releases/), so that measuring the
    same again reads it; where a release holds real people it holds templates of them."""


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """Further networks in whose features a release is compared with its source.

    By FID, CMMD, precision and recall, as in the features of recognizer and judge, which always
    are. Nothing is ever downloaded.
    """

    inception: str | None = file_path()
    """The FID's Inception as an .onnx, from RGB [N, 3, 299, 299] in [-1, 1] to pooled features
    [N, 2048]; needs the extra `eval`. None: not compared."""
    clip: str | None = file_path()
    """Folder of a CLIP image encoder as transformers has them, for instance
    clip-vit-large-patch14-336. None: not compared."""
    quality: str | None = file_path(None, or_name="checkpoint")
    """Checkpoint of a recognizer with a CR-FIQA head (recognizer.quality_weight), whose score of
    made and of real faces is given side by side. None: not scored."""
    reference_sets: list[SourceConfig] = field(default_factory=list)
    """Further sets of real faces that a release is compared with, besides its source."""


@dataclass(frozen=True, kw_only=True)
class UtilityConfig:
    """How jobs.utility measures what a recognizer learns from a release.

    The recognizer of this config is trained on the release, on the source, and on both, and each is
    verified on the same benchmarks.
    """

    benchmarks: list[SourceConfig] = field(default_factory=list)
    """Where pairs come from: sources with their own `pairs` (LFW's pairs.txt, or a .bin)."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds; each set is learned once with each."""
    same_people: bool = True
    """Where source and release are both learned, made images of people of the source (plan.fill_to,
    edits, LoRAs) join the classes of these, as in VIGFace's rows of augmented real people; virtual
    people are always classes of their own. false: all of a release are other people."""
    release_weight: float = knob(1.0, low=1e-3)
    """How often a made image comes for each time of a real one, where both are learned."""
    out: str = file_path("runs/utility", only_local=True)
    """Folder of the recognizers; the same command goes on in it, and what is learned from the
    source alone serves every release."""
