"""A release: its identities, how their images are sampled, filtered, stored and named."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from factory.config.field import file_path, knob
from factory.config.mixing import MixConfig


@dataclass(frozen=True, kw_only=True)
class IdentitiesConfig:
    """The identities of a release: how they are proposed, and how far apart they are."""

    proposal: Literal["prototypes", "colored", "pca", "packing", "inquiry", "rendered"] = (
        "prototypes"
    )
    """prototypes: the recognizer's virtual prototypes (VIGFace), which are faces where it went
    through the prototype stage (recognizer.prototypes); colored: those of another recognizer,
    given the mean and covariance of real class centers; pca: samples of a normal distribution in
    the PCA space of real class centers; packing: samples of pca, moved apart from
    each other and from real people; inquiry: embeddings of given faces (CemiFace, DCFace);
    rendered: people by number, for release.method=render, compared by their traits."""
    inquiry: str | None = file_path(images=True)
    """For inquiry: the faces, a source of source.kind. Use generated faces, for instance a release:
    the embedding of a photograph is that of the person in it."""
    inquiry_license: str | None = None
    """License of these faces, as source.license. None: unknown, unless they bring their own."""
    inquiry_real_people: bool | None = None
    """Whether people who exist are in them, as source.real_people."""
    inquiry_copies: int = knob(0, low=0)
    """How many of an identity's images are its inquiry image itself, the first ones (CemiFace: 5 of
    50), so that a recognizer learns that image as often; a copy that the filters reject is drawn
    instead. Only of faces of nobody who exists. 0: the image itself is not in the release."""
    num_virtual: int = knob(100, low=0)
    """Virtual identities to admit."""
    mix: MixConfig = field(default_factory=MixConfig)
    """Those of them who are mixes of two others."""
    gallery: str | None = file_path(only_local=True)
    """Further real people to stay away from: a .npy of unit vectors [R, D], float32 or float16,
    which jobs.embed writes with its .json, or a folder of such files; they are searched on
    disk, so they may be larger than memory. None: only the recognizer's and the source's."""
    attributes: str | None = file_path()
    """Groups of the source's people: a .csv whose first column is their names, or an .onnx that
    classifies aligned faces. None: everybody is one group."""
    attribute: str = "group"
    """Column of that .csv."""
    quotas: dict[str, float] = field(default_factory=dict)
    """Fraction of each group among virtual identities, together 1; empty: no quotas."""
    extends: str | None = None
    """Sealed version of this dataset that the release adds people to, who are far from those in it
    (and in what it extends itself); numbers of identities and units go on after theirs, so that
    versions can be laid side by side. None: a release of its own."""
    max_cosine: float | None = knob(None, low=-1.0, high=1.0)
    """Gate: largest cosine to any real or accepted identity. None (auto): the recognizer's own
    cosine at FMR 1e-3 on held-out impostor pairs, stored in its checkpoint; with pca, raised as far
    as so many people need room, real ones and those of extended versions included."""
    max_attempts: int = knob(1000, low=1)
    """Proposals allowed for one identity before planning fails."""
    pca_dims: int = knob(64, low=1)
    """Dimensions kept by pca and packing (at most the number of real identities - 1)."""
    packing_rounds: int = knob(20, low=1)
    """Rounds of packing: each finds everybody's neighbors once (FAISS) and moves five times."""
    packing_pull: float = knob(0.1, low=0.0)
    """Pull toward the nearest real person, as a fraction of the push from the neighbors."""
    packing_surplus: float = knob(1.1, low=1.0)
    """Candidates packed for each identity wanted; the gate takes those that are far enough."""


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """How many images are made, and in which batches.

    Everything here changes bytes.
    """

    images_per_identity: int = knob(8, low=1)
    """Kept images wanted of a virtual identity."""
    fill_to: int = knob(0, low=0)
    """Kept plus source images wanted of a real identity; 0: no image of a real person is made."""
    identities_per_unit: int = knob(10, low=1)
    """Identities in a work unit, that is in a shard."""
    micro_batch: int | None = knob(16, low=1)
    """Shots sampled together; every batch of a unit's first round has this shape. None: the
    smallest that draws at nearly the best rate, measured when the plan is written, stored in it."""
    topup_batch: int | None = knob(None, low=1)
    """Shape of the batches of later rounds; None: as micro_batch. A unit's top-ups are few and
    padded to whole batches, so a small one wastes less; a GPU may still prefer large ones."""
    num_threads: int = knob(1, low=1)
    """CPU threads of one actor, and of the inline runner."""
    max_rounds: int = knob(3, low=1)
    """Rounds of a unit: the first, then top-ups for rejected shots with attempt+1."""
    min_images: int = knob(1, low=1)
    """Kept images that an identity must have to be part of the release; of a real person the
    source's images count too, as plan.fill_to counts them. plan.on_shortfall says what becomes of
    those who have fewer; with images_per_identity everybody has exactly as many."""
    on_shortfall: Literal["keep", "drop", "replace", "fail"] = "keep"
    """Identities with fewer than min_images after the last round. keep: they stay as they are;
    drop: their faces are rejected, so nobody has fewer; replace: dropped, and the unit draws its
    reserves in their place, as far as it has some; fail: the release is not sealed."""
    reserve_fraction: float = knob(0.1, low=0.0, high=10.0)
    """For replace: reserve identities of each unit, as a fraction of identities_per_unit (rounded
    up). They pass the gate like all others and have labels of their own, drawn or not."""

    @property
    def num_reserves(self) -> int:
        """Reserve identities of a unit."""
        if self.on_shortfall != "replace":
            return 0
        return math.ceil(round(self.reserve_fraction * self.identities_per_unit, 9))

    @property
    def unit_size(self) -> int:
        """Identities of a unit, its reserves included."""
        return self.identities_per_unit + self.num_reserves

    def num_admitted(self, num_virtual: int) -> int:
        """Virtual identities that the gate admits: those wanted, and all units' reserves."""
        return num_virtual + self.num_reserves * math.ceil(num_virtual / self.identities_per_unit)


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How an image is sampled."""

    kind: Literal["ddim", "dpmpp_2m", "dpmpp_2s", "unipc", "distilled"] = "unipc"
    """DDIM (eta 0), DPM-Solver++ 2M or 2S, or UniPC-2; distilled: the steps that a student of
    jobs.distill has learned, which draws by no other kind."""
    num_steps: int = knob(12, low=1, high=1000)
    """Network calls per image; with guidance other than 1 each is on a double batch."""
    timestep_spacing: Literal["trailing", "logsnr"] = "trailing"
    """Timesteps equally spaced, or equally spaced in the log signal-to-noise ratio."""
    guidance: float | None = knob(1.5, low=0.0, high=20.0)
    """g in x0 = u + g*(c - u); 1 is the conditional model and costs half. VIGFace's w is g - 1. A
    student (kind=distilled) has learned one, at no cost: that one is wanted, or None."""
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    """Noise levels, as t/T, between which guidance acts; a step outside costs half."""
    negative_condition: Literal[
        "none", "nearest_identity", "farthest_identity", "random_identity", "same_identity"
    ] = "none"
    """What guidance leads away from: the unconditional prediction, the prediction for the nearest
    other identity of the roster, for the farthest or for any one, drawn for each shot (NegFaceDiff;
    the last two are of nobody real), or that for the same identity at similarity 1 (the largest
    seen, of a generator with measured ones), which reaches low similarities (below about .6) that
    training alone does not reach."""
    negative_ramp: tuple[float, float] = (1.0, 1.0)
    """For a negative_condition: factors on its weight, guidance - 1, at the largest noise level and
    without noise, linear between (AdaptDiff): [0.0, 1.0] lets the person form first."""
    perturb_identity: Literal[False, True, "random", "learned"] = False
    """Turn each shot's condition by a random angle, at most halfway to the nearest other identity
    or real person, never beyond a cosine of .6 (IDperturb): more variety within an identity. true
    or random: in a random direction; learned: in one that is likely among images of one person, by
    turns.checkpoint."""
    yaw: tuple[float, ...] = ()
    """Yaw in degrees, one drawn for each shot, for a generator with generator.pose; []: distributed
    as in its training data."""
    pitch: tuple[float, ...] = ()
    """Pitch in degrees, likewise."""
    similarity: tuple[float, ...] = ()
    """Similarities m to the identity (CemiFace), one drawn for each shot: [0.0] is a fixed one,
    repeated values come more often. Such a generator (generator.similarity_tokens)
    requires this key, others refuse it."""

    def __post_init__(self) -> None:
        if self.perturb_identity == "random":  # one spelling in plans, that of older ones
            object.__setattr__(self, "perturb_identity", True)


@dataclass(frozen=True, kw_only=True)
class FiltersConfig:
    """Which faces are kept in a release.

    None switches a filter off, and so does false.
    """

    min_own_cosine: float | None = knob(0.4, low=-1.0, high=1.0)
    """Cosine to the identity that was asked for, by the conditioning recognizer."""
    min_identity_gap: float | None = knob(0.0, low=-2.0, high=2.0)
    """That cosine minus the cosine to the nearest other identity of the roster."""
    max_real_cosine: float | None = knob(None, low=-1.0, high=1.0)
    """Cosine to the nearest real identity."""
    min_sharpness: float | None = knob(None, low=0.0)
    """Variance of the Laplacian of the gray image (0-255 scale)."""
    min_brightness: float | None = knob(20.0, low=0.0, high=255.0)
    """Mean gray level."""
    max_brightness: float | None = knob(240.0, low=0.0, high=255.0)
    """Mean gray level."""
    min_cr_fiqa: float | None = knob(None, low=0.0)
    """Quality by the recognizer's CR-FIQA head, about the cosine to the class; the recognizer must
    have been trained with recognizer.quality_weight."""
    min_ser_fiq: float | None = knob(None, low=0.0, high=1.0)
    """Agreement of 100 dropout passes (SER-FIQ); the recognizer must have been trained with
    recognizer.dropout."""
    min_fiqa: float | None = knob(None)
    """Quality by the network of quality.model, in its own units."""
    min_original_cosine: float | None = knob(None, low=-1.0, high=1.0)
    """Cosine of an edited face to its original, by the conditioning recognizer."""
    min_visible_cosine: float | None = knob(None, low=-1.0, high=1.0)
    """Cosine of an edited face to what stays visible of its original, the region grayed."""
    max_occluded: float | None = knob(None, low=0.0, high=1.0)
    """Fraction of a rendered face that sunglasses, masks, scarves, hands or hats hide, as is known
    of every image of release.method=render."""
    spare_real_people: bool = False
    """Reject faces that the judge (judge.checkpoint) sees as a person of the source, and all faces
    of an identity whose mean face is one to it, by the limits of the audit (audit.leak_fpir): what
    it would count as leaks. With plan.on_shortfall=replace reserves take their place. The judge
    then also chose which faces stay, which the audit says; jobs.audit with another judge.checkpoint
    lets a further one look."""
    min_kept_fraction: float | None = knob(0.2, low=0.0, high=1.0)
    """Fraction of all drawn faces, top-ups included, that must be kept: a release with fewer is
    sealed and not published. It drops no face and is no part of the plan, so the same command with
    a lower one publishes."""


@dataclass(frozen=True, kw_only=True)
class ShardsConfig:
    """How faces are stored."""

    image_format: Literal["jpeg", "png"] = "jpeg"
    """png keeps every bit, at about six times the size: then what an edit leaves alone is the
    original's, to the bit."""
    jpeg_quality: int = knob(95, low=1, high=100)
    """Quality of a JPEG."""


@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """The folder or bucket that holds releases."""

    url: str = file_path("runs/releases")
    """Local folder, or s3://bucket/prefix."""
    min_free_bytes: int = knob(1 << 30, low=0)
    """Free space a local store must have before work starts, in addition to the planned bytes."""
    endpoint_url: str | None = None
    """Address of an S3 server other than AWS; None: AWS_ENDPOINT_URL, else AWS itself.
    Credentials only ever come from the usual AWS chain (environment, profile, instance role)."""
    region: str | None = None
    """Region of the bucket; None: the AWS chain's."""
    path_style: bool = False
    """Put the bucket into the path instead of the host name, as most other S3 servers require: the
    same as addressing_style=path."""
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """Where requests name the bucket. path: in the path; virtual: in the host name, on another
    server than AWS too; auto: in the path where endpoint_url is given, else in the host name."""
    encryption: Literal["s3", "kms"] | None = None
    """Encryption that the server is asked for with each object. s3: by keys of the store; kms: by a
    key of AWS KMS; None: what the bucket does by itself."""
    kms_key_id: str | None = None
    """Id or ARN of the KMS key; None: the account's own key for S3."""
    bucket_key: bool = False
    """Derive keys from one of the bucket, which asks KMS far less often."""
    requester_pays: bool = False
    """Accept the costs of requests where the bucket's owner leaves them to whoever asks."""
    storage_class: str | None = None
    """Storage class of each object, such as STANDARD_IA or INTELLIGENT_TIERING; None: the
    bucket's."""
    bucket_owner: str | None = None
    """Account (12 digits) that must own the bucket, else each request is refused; None: any."""
    ca_bundle: str | None = file_path()
    """File of certificates (PEM) that the server's is checked with; None: AWS_CA_BUNDLE, else those
    of botocore."""
    proxy: str | None = None
    """Address of a proxy for all requests; None: HTTP_PROXY, HTTPS_PROXY and NO_PROXY decide."""
    multipart_min_bytes: int = knob(512 << 20, low=1, high=5 << 30)
    """Objects from this size on are uploaded in parts, smaller ones by one request."""
    part_bytes: int = knob(64 << 20, low=5 << 20, high=5 << 30)
    """Size of a part."""
    max_attempts: int = knob(10, low=1, high=100)
    """Attempts for a request that gets 409, 503, a reset or a timeout, with backoff and jitter."""
    timeout_s: float = knob(60.0, low=0.1)
    """Silence of the server after which an attempt counts as failed."""


@dataclass(frozen=True, kw_only=True)
class ReleaseConfig:
    """Name, method and seed of a release."""

    method: Literal["diffusion", "lora", "edit", "render"] = "diffusion"
    """How faces are made. diffusion: people are drawn from embeddings (VIGFace, CemiFace); lora:
    the source's people by a text-to-image model with a LoRA each (ID-Booth); edit: faces of the
    source with regions redrawn (Mask-ControlNet); render: people by number as path-traced heads,
    with the truth of every image in its metadata; it needs no network."""
    kind: Literal["training", "benchmark"] = "training"
    """benchmark: a set to test recognizers on, with the pairs and lists that section pairs asks
    for; it is marked, and refused as a source (source.allow_benchmark)."""
    dataset: str = "faces"
    """Name of the dataset, a folder in the store: letters, digits, - and _."""
    version: str = "0.1.0"
    """Version, a folder in releases/: letters, digits, - _ and dots."""
    seed: int = knob(0, low=0)
    """Base seed of every random number of the release."""
    allow_real: bool = False
    """Images of real people may be made (plan.fill_to, release.method=lora or edit)."""
    pseudonyms: Literal["keyed", "names"] = "keyed"
    """What real people of the source are called in a release or a set of LoRAs. keyed: by
    pseudonyms under the key in the environment's FACE_FACTORY_PSEUDONYM_KEY, which is kept nowhere;
    names: as the source calls them, keys of their images included. Needed only where real people
    are drawn or edited."""
    max_failed_fraction: float = knob(0.01, low=0.0, high=1.0)
    """Fraction of quarantined shots above which the release fails."""
    keep_vectors: bool = False
    """Embeddings of kept virtual faces (vectors/) are part of the release. Else they lie beside it
    until it is published, then they are deleted. There are never any of real or edited people."""
    title: str = "Synthetic faces"
    """Headline of report and card."""
    license: str = "other"
    """License that it is released under, as an SPDX id or a name of the Hugging Face Hub. Refused
    where it is wider than those of all it descends from; other and unknown grant nothing, private:
    it is not passed on."""
    homepage: str = "./"
    """Address of the dataset's page, in croissant.json."""
