"""Faces to learn from: sources, and how they reach a training in batches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Literal

from factory.config.addresses import in_bucket
from factory.config.field import STARTER, file_path, knob
from factory.config.release import StoreConfig
from factory.config.rendering import RenderingConfig
from factory.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Real faces: to learn from, and to stay away from."""

    kind: Literal[
        "starter", "rendered", "folder", "webdataset", "recordio", "lmdb", "cvlface", "parquet"
    ] = "starter"
    """starter: the rendered pack in the package; rendered: source.num_identities people by number,
    who are rendered when they are first read, and kept on this machine; folder: one folder an
    identity (a .tar of such folders too); webdataset: shards with .jpg and .cls, for instance a
    sealed release; recordio: an MXNet .rec of aligned faces, or the folder with train.rec, as
    insightface publishes them; lmdb: an LMDB as VFace and HSFace are published, or with keys
    PERSON/IMAGE; cvlface: a folder with train.tsv, and train.rec or images, and the points of
    ldmk_5points.csv where that is there; parquet: tables with a row an image, as the Hugging Face
    hub has them (a file, or a folder with *.parquet or data/*.parquet), or a dataset there,
    hf://owner/name[@revision]."""
    path: str | None = file_path(images=True)
    """Folder, tar, release, .rec or .lmdb to read, or s3://bucket/prefix of a sealed release (or of
    other tars) for webdataset, or hf://owner/name[@revision] of a dataset on the hub for parquet;
    None only for the starter pack and rendered people."""
    first_person: int = knob(0, low=0)
    """Number of the first person of kind rendered; sources with other numbers have other people,
    and so has a release with another rendering.first_person."""
    images_per_person: int = knob(12, low=1, high=9999)
    """Images of each person of kind rendered."""
    rendering: RenderingConfig = field(default_factory=RenderingConfig)
    """How people of kind rendered look; as it is by default: as section rendering says. Its
    first_person and masks count nowhere."""
    store: StoreConfig = field(default_factory=StoreConfig)
    """How a bucket in path or heldout is reached, as endpoint_url and region; its url counts
    nowhere. As it is by default: by the settings of section store."""
    cache_bytes: int = knob(0, low=0)
    """Bytes of whole shards of a bucket that each machine keeps in $XDG_CACHE_HOME/face-factory; 0:
    none, an image is fetched whenever it is wanted."""
    parquet_image: str | None = None
    """Column of parquet that holds the images; None: the one that looks like it."""
    parquet_label: str | None = None
    """Column of parquet that says who is in them, a number or a text; None: the one that the schema
    calls a class, else label, identity, person or the like."""
    landmarks: str | None = file_path()
    """CSV with columns file,x1,y1,x2,y2.. in pixels of the unaligned images, or in fractions of
    their width and height; 5, 68 (iBUG) or 468 (MediaPipe) points a face; None: no table."""
    detector: str | None = file_path(STARTER, or_name="detector")
    """What finds five points in images that are not at the aligned size and that no table has: the
    YuNet in the package (starter) or the path of another .onnx of it; None: nothing does. The
    starter pack and .rec files are aligned, and are never looked at."""
    min_face_score: float = knob(0.6, low=0.1, high=1.0)
    """Confidence below which what the detector finds in those images is no face."""
    image_px: int = knob(112, low=16, high=1024)
    """Side of the aligned square image, pixels."""
    label_column: int = knob(0, low=0)
    """Which label of a record says who is in its image, where those of recordio have several
    (im2rec --pack-label); 0 is the first."""
    resize: bool = False
    """Square images of another size without landmarks are aligned faces too, and are scaled."""
    zoom: float = knob(1.0, low=0.1, high=1.0)
    """Size of the face in an image that is aligned: 1 is the ArcFace crop that recognizers want, .5
    shows twice as much around it."""
    max_pixels: int = knob(50_000_000, low=1)
    """Images with more pixels than this are counted as corrupt, never decoded."""
    background: int = knob(128, low=0, high=255)
    """Grey level behind what is transparent in an image, 0 to 255. 128 is 0 to a network, whose
    pixels are -1 to 1: the edge of a cut-out is then as plain to skin as to hair."""
    max_corrupt_fraction: float = knob(0.01, low=0.0, high=1.0)
    """Fraction of unreadable images above which the source is refused."""
    max_left_out_fraction: float = knob(0.05, low=0.0, high=1.0)
    """Fraction of what lies in the source, images or not, that may be left out (other formats,
    links that lead nowhere, files outside any person's folder); more refuse it. Files of the
    system, such as .DS_Store, tables and texts do not count."""
    num_identities: int | None = knob(None, low=1)
    """Only the first so many identities, in the order of their names; None: all."""
    holdout_identities: int = knob(0, low=0)
    """The last so many identities are never trained on; accuracy is measured on them."""
    holdout_fraction: float = knob(0.0, low=0.0, high=0.9)
    """Fraction of the identities that are held out, the last ones and at least two of them, in
    place of holdout_identities."""
    license: str | None = None
    """License of the images: an SPDX id such as CC-BY-4.0, or permissive, attribution, share-alike,
    non-commercial, research-only or unknown. It is kept in the lineage of all that is learned from
    them; the starter pack and releases bring their own."""
    attribution: str | None = None
    """Who is to be credited for the images, in the words that their license asks for."""
    real_people: bool | None = None
    """Whether people who exist are in the images. None: yes, but for the starter pack and for
    releases that hold nobody real."""
    consent: str | None = file_path()
    """CSV with columns person,basis,until: on which basis each person's images may be used, and
    until which day (YYYY-MM-DD, empty: no end). None: no ledger is kept."""
    allow_withdrawn: bool = False
    """Read a release that people have withdrawn from, which is refused otherwise."""
    allow_benchmark: bool = False
    """Read a release that is a test set (release.kind=benchmark), which is refused otherwise."""
    pairs: str | None = file_path()
    """For jobs.verify_recognizer: LFW's pairs.txt over this source's keys, or insightface's .bin,
    which brings its own images."""
    groups: str | None = file_path()
    """For jobs.verify_recognizer: CSV with columns group and key (of an image; 000000, 000001, ...
    in a .bin) or person (as source calls people), by which errors are given, too. None: none."""
    group_fmr: float = knob(0.01, low=1e-6, high=0.5)
    """FMR over all pairs, of all groups, whose threshold groups are compared at."""
    count_failures: bool = False
    """Where errors are measured: an image that cannot be read or shows no face is a failure to
    acquire (FTA), which matches nobody; its pairs count as non-matches (but in the tables and
    curves of verification.out, which give FTA apart), its searches as missed. false: pairs of such
    images are refused, and searches left out. At most max_corrupt_fraction of the images may be
    so."""
    heldout: str | None = file_path(images=True)
    """A source with other people, for measuring only; takes the place of holdout_identities and
    holdout_fraction."""
    heldout_kind: (
        Literal["folder", "webdataset", "recordio", "lmdb", "cvlface", "parquet"] | None
    ) = None
    """Kind of that source; None: the same kind."""

    @property
    def other(self) -> SourceConfig:
        """The source of `heldout`."""
        kind = self.heldout_kind or self.kind
        other = replace(self, kind=kind, path=self.heldout, heldout=None)
        return replace(other, holdout_identities=0, holdout_fraction=0.0, num_identities=None)

    @property
    def holds_out(self) -> bool:
        """Whether some of its own identities are held out."""
        return bool(self.holdout_identities or self.holdout_fraction)

    def num_heldout(self, num_names: int) -> int:
        """How many of its identities are held out, the last ones.

        At least two of a fraction, because one person gives no pair of strangers. Raises
        ConfigError where a fraction leaves nobody.
        """
        if not self.holdout_fraction:
            return self.holdout_identities
        num_heldout = max(2, round(self.holdout_fraction * num_names))
        if num_heldout >= num_names:
            raise ConfigError(
                f"source.holdout_fraction: got {self.holdout_fraction:g} of {num_names} people, of "
                f"which at least {num_heldout} are held out; want more people, so that somebody is "
                "left to train on, or 0 to hold out nobody"
            )
        return num_heldout

    def reached_by(self, store: StoreConfig, *others: str | None) -> SourceConfig:
        """The same source, which the section store says how to reach unless it says so itself.

        Nothing changes unless the source, or one of `others`, lies in a bucket.
        """
        paths = (self.path, self.heldout, *others)
        own = replace(self.store, url=StoreConfig().url) != StoreConfig()
        if own or not any(in_bucket(path or "") for path in paths):
            return self
        return replace(self, store=replace(store, url=self.store.url))

    def rendered_as(self, rendering: RenderingConfig) -> SourceConfig:
        """The same source, whose people look as section rendering says unless it says itself.

        Nothing changes unless some of its people are rendered.
        """
        if "rendered" not in (self.kind, self.heldout_kind) or self.rendering != RenderingConfig():
            return self
        return replace(self, rendering=replace(rendering, first_person=0, masks=()))

    @property
    def stem(self) -> str:
        """What a set of faces is called: the file name of its path."""
        return PurePath(self.path or self.kind).stem

    @property
    def name(self) -> str:
        """What a benchmark is called: the file name of its pairs."""
        return PurePath(self.pairs or "").stem


@dataclass(frozen=True, kw_only=True)
class MixedSource:
    """A further source that a recognizer is trained on."""

    source: SourceConfig = field(default_factory=SourceConfig)
    """Where its faces lie."""
    domain: str = "synthetic"
    """What its faces are called in logs and in the checkpoint."""
    weight: float = knob(1.0, low=1e-3)
    """How often its images come in an epoch; images of the main source come once."""
    same_people: bool = False
    """Identities with the names of the main source's are the same classes (VIGFace's augmentation);
    of a release only those whom it has from a source, found by their key where they have
    pseudonyms, while its virtual people stay apart. false: nobody is in two sources."""


@dataclass(frozen=True, kw_only=True)
class BatchesConfig:
    """How faces reach a recognizer in training."""

    num_workers: int = knob(0, low=0)
    """Processes that decode images while the network learns; 0: all images are kept in memory."""
    domain: str = "real"
    """What the main source's faces are called in logs and in the checkpoint."""
    mix: list[MixedSource] = field(default_factory=list)
    """Further sources, for instance a release added to photographs (VIGFace's augmentation)."""
    balance: Literal["image", "class"] = "image"
    """image: every image of a source comes equally often; class: every identity does."""
    min_images: int = knob(1, low=1)
    """Identities with fewer images are left out, and counted."""
    oversample: str | None = file_path()
    """Text file of image keys, one a line, that come oversample_factor times (CemiFace's inquiry
    images); None: none."""
    oversample_factor: float = knob(5.0, low=1.0)
    """How often those come."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation of recognizer batches; flip is always on."""

    crop: float = knob(1.0, low=0.5, high=1.0)
    """Smallest side of a random crop, as a fraction of the image; 1 switches it off."""
    erase: float = knob(0.0, low=0.0, high=0.5)
    """Largest erased fraction of the area; 0 switches it off."""
    erase_least: float = knob(0.0, low=0.0, high=0.5)
    """Smallest erased fraction of the area, where an image is erased."""
    erase_chance: float = knob(1.0, low=1e-3, high=1.0)
    """Fraction of the images that are erased; .5 in torchvision's RandomErasing."""
    jitter: float = knob(0.0, low=0.0, high=1.0)
    """Strength of brightness, contrast and saturation jitter; 0 switches it off."""
