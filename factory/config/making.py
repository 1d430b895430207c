"""Knobs of what is made: who exists, how they are drawn and kept, who works, where it lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from factory.config.knob import knob


@dataclass(frozen=True, kw_only=True)
class IdentitiesConfig:
    """Who shall exist."""

    proposal: Literal["prototypes", "pca", "packing", "inquiry"] = "prototypes"
    """prototypes: the recognizer's virtual ones (VIGFace); pca: a normal law in the PCA space of
    real class centres; packing: draws of pca, moved apart from each other and from real people;
    inquiry: the embeddings of given faces (CemiFace, DCFace)."""
    inquiry: str | None = None
    """For inquiry: where the faces lie, a source of source.kind. Take made faces, for instance a
    release: a photograph's embedding is that of the person in it."""
    num_virtual: int = knob(100, low=0)
    """Virtual identities to admit."""
    gallery: str | None = None
    """Further real people to stay away from: a .npy of unit vectors [R, D], float32 or float16,
    which jobs.embed writes with its .json, or a folder of such files; they are searched where they
    lie, so they may be larger than memory. None: only the recognizer's and the source's."""
    attributes: str | None = None
    """Groups of the source's people: a .csv whose first column is their names, or an .onnx that
    classifies aligned faces. None: everybody is one group."""
    attribute: str = "group"
    """Column of that .csv."""
    quotas: dict[str, float] = field(default_factory=dict)
    """Share of each group among virtual identities, together 1; empty: as it comes."""
    extends: str | None = None
    """Sealed version of this dataset that the release adds people to, who are apart from those in
    it (and in what it extends itself); labels begin at 0 again. None: a release of its own."""
    max_cosine: float | None = knob(None, low=-1.0, high=1.0)
    """Gate: largest cosine to any real or accepted identity. None (auto): the recognizer's own
    cosine at FMR 1e-3 on held-out impostor pairs, stored in its checkpoint."""
    max_attempts: int = knob(1000, low=1)
    """Proposals an identity may use up before the roster is refused."""
    pca_dims: int = knob(64, low=1)
    """Dimensions kept by pca and packing (at most the number of real identities - 1)."""
    packing_rounds: int = knob(20, low=1)
    """Rounds of packing: each finds everybody's neighbours once (FAISS) and moves five times."""
    packing_pull: float = knob(0.1, low=0.0)
    """Pull toward the nearest real person, as a share of the push from the neighbours."""
    packing_surplus: float = knob(1.1, low=1.0)
    """Candidates packed for each identity wanted; the gate takes those that are far enough."""


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """What shall be made, and in which batches; everything here changes bytes."""

    images_per_identity: int = knob(8, low=1)
    """Kept images wanted of a virtual identity."""
    fill_to: int = knob(0, low=0)
    """Kept plus source images wanted of a real identity; 0 leaves real people alone."""
    identities_per_unit: int = knob(10, low=1)
    """Identities in a work unit, that is in a shard."""
    micro_batch: int | None = knob(16, low=1)
    """Shots sampled together; every batch of a unit's first round has this shape. None: the
    smallest that draws at nearly the best rate, tried out where the plan is written, kept in it."""
    topup_batch: int | None = knob(None, low=1)
    """Shape of the batches of later rounds; None: as micro_batch. A unit's top-ups are few and
    padded to whole batches, so a small one wastes less; a GPU may still prefer large ones."""
    num_threads: int = knob(1, low=1)
    """CPU threads of one actor, and of the inline runner."""
    max_rounds: int = knob(3, low=1)
    """Rounds of a unit: the first, then top-ups for rejected shots with attempt+1."""


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How a shot is drawn."""

    kind: Literal["ddim", "dpmpp_2m", "dpmpp_2s", "unipc"] = "unipc"
    """DDIM (eta 0), DPM-Solver++ 2M or 2S, or UniPC-2."""
    num_steps: int = knob(12, low=1, high=1000)
    """Network calls an image; with guidance other than 1 each is of twice the size."""
    spacing: Literal["trailing", "logsnr"] = "trailing"
    """Timesteps equally spaced, or equally spaced in the log signal-to-noise ratio."""
    guidance: float = knob(1.5, low=0.0, high=20.0)
    """g in x0 = u + g*(c - u); 1 is the conditional model and costs half. VIGFace's w is g - 1."""
    guidance_from: float = knob(0.0, low=0.0, high=1.0)
    """Least noise, as t/T, at which guidance acts."""
    guidance_to: float = knob(1.0, low=0.0, high=1.0)
    """Most noise at which it acts; outside, an image costs half."""
    away: Literal["nobody", "nearest", "itself"] = "nobody"
    """What guidance leads away from: the answer for nobody, that for the nearest other identity of
    the roster (NegFaceDiff), or that for the same identity at similarity 1, which makes low
    similarities (below about .6) reachable that training alone does not reach."""
    turn: bool = False
    """Turn each shot's condition by a random angle, at most halfway to the nearest other identity
    (IDperturb): more variety within an identity, at no cost."""
    yaw: tuple[float, ...] = ()
    """Yaw in degrees, one drawn for each shot, for a generator with generator.pose; (): as often as
    in what it learned from."""
    pitch: tuple[float, ...] = ()
    """Pitch in degrees, likewise."""
    similarity: tuple[float, ...] = ()
    """Similarities m to the identity (CemiFace), one drawn for each shot: (0.0,) is a fixed one,
    repeated values come more often. Only for a generator with similarity tokens, which needs it."""


@dataclass(frozen=True, kw_only=True)
class FiltersConfig:
    """Which faces stay; None switches a filter off."""

    min_own_cosine: float | None = knob(0.4, low=-1.0, high=1.0)
    """Cosine to the own identity, by the conditioning recognizer."""
    min_identity_gap: float | None = knob(0.0, low=-2.0, high=2.0)
    """Cosine to the own minus cosine to the nearest other identity of the roster."""
    max_real_cosine: float | None = knob(None, low=-1.0, high=1.0)
    """Cosine to the nearest real identity."""
    min_sharpness: float | None = knob(None, low=0.0)
    """Variance of the Laplacian of the grey image (0-255 scale)."""
    min_brightness: float | None = knob(20.0, low=0.0, high=255.0)
    """Mean grey level."""
    max_brightness: float | None = knob(240.0, low=0.0, high=255.0)
    """Mean grey level."""
    min_cr_fiqa: float | None = knob(None, low=0.0)
    """Quality by the recognizer's CR-FIQA head, about the cosine to the own class; the recognizer
    must have been trained with recognizer.quality_weight."""
    min_ser_fiq: float | None = knob(None, low=0.0, high=1.0)
    """Agreement of 100 dropout passes (SER-FIQ); the recognizer must have been trained with
    recognizer.dropout."""
    min_original_cosine: float | None = knob(None, low=-1.0, high=1.0)
    """Of an edited face to the image it was, by the conditioning recognizer."""
    min_visible_cosine: float | None = knob(None, low=-1.0, high=1.0)
    """Of an edited face to what stays visible of that image, the region greyed."""


@dataclass(frozen=True, kw_only=True)
class ShardsConfig:
    """How faces are stored."""

    image_format: Literal["jpeg", "png"] = "jpeg"
    """png keeps every bit, at about six times the size: then what an edit leaves alone is the
    original's, to the bit."""
    jpeg_quality: int = knob(95, low=1, high=100)
    """Quality of a JPEG."""


@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """Who works; nothing here changes a byte of the release."""

    runner: Literal["ray", "inline"] = "ray"
    """ray: actors; inline: the same plan in this process, for debugging."""
    num_workers: int | None = knob(None, low=1)
    """Actors at most; None: one per GPU, else one per cpus_per_actor, also of nodes that join."""
    min_workers: int = knob(1, low=1)
    """Actors that must find room when work starts; nodes may leave later."""
    join_timeout_s: float = knob(120.0, low=0.0)
    """How long the start waits on a cluster for nodes that give room for min_workers."""
    autoscale: bool = False
    """Ask for num_workers actors at once, whether there is room for them or not, so that the
    cluster's autoscaler adds nodes; where gpus_per_actor is not 0 they want GPUs."""
    gpus_per_actor: float = knob(1.0, low=0.0, high=8.0)
    """GPUs an actor is given where the cluster has GPUs (fractions share one)."""
    cpus_per_actor: float = knob(1.0, low=0.0)
    """CPUs an actor is given where it has no GPU."""
    units_in_flight: int = knob(2, low=1, high=2)
    """Units leased to an actor at once, so that it never waits for the driver."""
    max_unit_deaths: int = knob(5, low=1)
    """Deaths of actors with the same unit but no shot in hand before the release stops; deaths that
    a shot causes are bisected instead, and the shot is quarantined."""
    max_deaths_in_a_row: int = knob(25, low=1)
    """Deaths of actors without a commit in between before the release stops; bisecting one shot of
    a micro-batch of b costs about 4 + log2(b)."""
    deadline_s: float = knob(900.0, low=1.0)
    """Silence of an actor that has work after which it is killed and its units leased again."""
    max_line_bytes: int = knob(256 << 20, low=1)
    """Images an actor may hold that are not committed yet; a slow store slows sampling down."""
    gallery_actors: int = knob(0, low=0)
    """Ray actors that search identities.gallery, each a part of it; 0: the driver alone."""
    events: str | None = None
    """File of the driver's machine to which a line of JSON is added for whatever happens to a unit
    (leased, committed, lost, with worker, node and shots in hand); None: no such file."""
    address: str | None = None
    """Ray cluster; None: the one in RAY_ADDRESS, else a local Ray."""


@dataclass(frozen=True, kw_only=True)
class StoreConfig:
    """Where releases live."""

    url: str = "runs/releases"
    """Local folder, or s3://bucket/prefix."""
    min_free_bytes: int = knob(1 << 30, low=0)
    """Free space a local store must have before work starts, beside the planned bytes."""
    endpoint_url: str | None = None
    """Address of an S3 server other than AWS; None: AWS_ENDPOINT_URL, else AWS itself.
    Credentials only ever come from the usual AWS chain (environment, profile, instance role)."""
    region: str | None = None
    """Region of the bucket; None: the AWS chain's."""
    path_style: bool = False
    """Put the bucket into the path instead of the host name, as most other S3 servers want."""
    multipart_min_bytes: int = knob(512 << 20, low=1, high=5 << 30)
    """Objects from this size on are uploaded in parts, smaller ones by one request."""
    part_bytes: int = knob(64 << 20, low=5 << 20, high=5 << 30)
    """Size of a part."""
    max_attempts: int = knob(10, low=1, high=100)
    """Tries of a request that meets 409, 503, a reset or a timeout, with backoff and jitter."""
    timeout_s: float = knob(60.0, low=0.1)
    """Silence of the server after which a try counts as failed."""


@dataclass(frozen=True, kw_only=True)
class ClusterConfig:
    """A cluster that `jobs.plan` pretends to have; nothing here changes what is made or where."""

    num_nodes: int | None = knob(None, low=1, high=100_000)
    """Nodes; None: only one actor's hours are reckoned."""
    gpus_per_node: int = knob(1, low=1)
    """GPUs of a node, shared by actors of fleet.gpus_per_actor."""
    open_s: float = knob(30.0, low=0.0)
    """Seconds until a new actor has opened its networks."""
    node_start_s: float = knob(180.0, low=0.0)
    """Seconds until a preempted node is replaced."""
    preemptions_per_day: float = knob(0.0, low=0.0)
    """How often a node is taken away a day, on average."""
    upload_bytes_per_s: float = knob(100e6, low=1.0)
    """Rate of a node to the store."""
    driver_s: float = knob(0.003, low=0.0)
    """Seconds of the driver for a unit; 3.0 ms were measured (tests/benchmarks/test_protocol)."""


@dataclass(frozen=True, kw_only=True)
class PricesConfig:
    """What `jobs.plan` reckons with; nothing here changes a byte of the release."""

    faces_per_s: float | None = knob(None, low=1e-6)
    """Shots an actor makes a second; None: as measured in the dataset's last release."""
    kept_share: float | None = knob(None, low=1e-6, high=1.0)
    """Share of shots that pass the filters; None: as measured in the dataset's last release."""
    face_bytes: int | None = knob(None, low=1)
    """Bytes of a stored face with its labels; None: as measured in the dataset's last release."""
    actor_hour: float | None = knob(None, low=0.0)
    """Price of an actor's hour, in any currency; None: no cost is reckoned."""
    node_hour: float | None = knob(None, low=0.0)
    """Price of a node's hour, for cluster.num_nodes."""
    gb_month: float | None = knob(None, low=0.0)
    """Price of a stored gigabyte (1e9 bytes) a month, in the same currency."""


@dataclass(frozen=True, kw_only=True)
class ReleaseConfig:
    """Name and seed of what is made."""

    dataset: str = "faces"
    """Name of the dataset, a folder in the store: letters, digits, - and _."""
    version: str = "0.1.0"
    """Version, a folder in releases/: letters, digits, - _ and dots."""
    seed: int = knob(0, low=0)
    """Root of every random number of the release."""
    allow_real: bool = False
    """Images of real people may be made (plan.fill_to, booth.loras, editing.editor)."""
    max_failed_fraction: float = knob(0.01, low=0.0, high=1.0)
    """Share of quarantined shots above which the release fails."""
    title: str = "Synthetic faces"
    """Headline of report and card."""
    license: str = "other"
    """Licence in card and croissant.json, by the name that the hub has for it."""
    homepage: str = "./"
    """Address of the dataset's page, in croissant.json."""
