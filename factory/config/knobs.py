"""Every knob of the factory, section by section, in the order a release flows."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from factory.config.rules import check


def knob(default: Any, *, low: float = -math.inf, high: float = math.inf) -> Any:
    """A field with a default and an inclusive range, checked for every loaded config."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """Faces that exist: the people a recognizer learns and virtual people must differ from."""

    kind: Literal["starter", "folder", "webdataset", "recordio"] = "starter"
    """starter: the rendered pack in the package; folder: one folder an identity (a .tar of such
    folders too); webdataset: shards with .jpg and .cls, for instance a sealed release; recordio: an
    MXNet .rec of aligned faces, as insightface publishes them."""
    path: str | None = None
    """Folder, tar, release or .rec to read; None only for the starter pack."""
    landmarks: str | None = None
    """CSV with columns file,x1,y1..x5,y5 in pixels of the unaligned images; None: no table."""
    detector: str | None = None
    """Path of the YuNet .onnx that finds five points where no table has them; None: no detector."""
    image_px: int = knob(112, low=16, high=1024)
    """Side of the aligned square image, pixels."""
    max_pixels: int = knob(50_000_000, low=1)
    """Images with more pixels than this are counted as corrupt, never decoded."""
    max_corrupt_fraction: float = knob(0.01, low=0.0, high=1.0)
    """Share of unreadable images above which the source is refused."""
    holdout_identities: int = knob(0, low=0)
    """The last so many identities are never trained on; accuracy is measured on them."""
    pairs: str | None = None
    """For jobs.verify_recognizer: LFW's pairs.txt over this source's keys, or insightface's .bin,
    which brings its own images."""
    heldout: str | None = None
    """A source of the same kind with other people, for measuring only; takes the place of
    holdout_identities."""


@dataclass(frozen=True, kw_only=True)
class ComputeConfig:
    """Where tensors live and in which precision."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto takes a GPU where torch sees one."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """Autocast type of matrix products; losses, norms and optimizers stay in fp32."""
    compile: bool = False
    """torch.compile for training (about 2x on this CPU after a first step of about 100 s)."""
    num_threads: int | None = knob(None, low=1)
    """CPU threads of a training; None leaves torch's choice. Synthesis has plan.num_threads."""
    zero_stage: int = knob(1, low=0, high=3)
    """DeepSpeed ZeRO stage, used when more than one process trains: what is cut over the ranks.
    0: nothing, 1: optimizer states, 2: gradients too, 3: weights too."""
    num_ranks: int | None = knob(None, low=1)
    """Processes of a training, started as a gang of Ray actors with one GPU each (fleet.address
    says where); None: this process alone, or those that torchrun has started."""
    max_restarts: int = knob(3, low=0)
    """Times in a row that a gang is started again from its last state without a new one."""
    accumulate: int = knob(1, low=1)
    """Micro-batches whose gradients make one step; batch_size is that of the step."""
    activation_checkpointing: bool = False
    """Keep only the inputs of residual blocks and compute the rest again in the backward pass:
    about a third more time, a fraction of the memory."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What every training shares: where it writes and how it goes on."""

    out: str = "runs/training"
    """Folder of the checkpoint; training again in the same folder resumes."""
    seed: int = knob(0, low=0)
    """Seed of weights, order and augmentation."""
    save_every_s: float = knob(300.0, low=0.0)
    """Seconds between resumable states."""
    log_every: int = knob(50, low=1)
    """Steps between log lines."""
    max_steps: int | None = knob(None, low=1)
    """Stop after so many steps whatever the recipe says; None: the recipe decides."""
    verify_every: int | None = knob(None, low=1)
    """Steps between verifications of a recognizer in training, on source.pairs where given, else on
    the held-out people; None: only at the end."""


@dataclass(frozen=True, kw_only=True)
class MixedSource:
    """A further source that a recognizer is trained on."""

    source: SourceConfig = field(default_factory=SourceConfig)
    """Where its faces lie."""
    domain: str = "synthetic"
    """What its faces are called in logs and in the checkpoint."""
    weight: float = knob(1.0, low=1e-3)
    """How often its images come in an epoch, beside once for an image of the main source."""
    same_people: bool = False
    """Identities with the names of the main source's are the same classes; false: nobody is in two
    sources."""


@dataclass(frozen=True, kw_only=True)
class FeedConfig:
    """How faces reach a recognizer in training."""

    num_workers: int = knob(0, low=0)
    """Processes that decode images while the network learns; 0: all images are kept in memory."""
    domain: str = "real"
    """What the main source's faces are called in logs and in the checkpoint."""
    mix: list[MixedSource] = field(default_factory=list)
    """Further sources, for instance a release beside photographs (VIGFace's augmentation)."""
    balance: Literal["image", "class"] = "image"
    """image: every image of a source comes equally often; class: every identity does."""
    min_images: int = knob(1, low=1)
    """Identities with fewer images are left out, and counted."""
    oversample: str | None = None
    """Text file of image keys, one a line, that come oversample_factor times (CemiFace's inquiry
    images); None: none."""
    oversample_factor: float = knob(5.0, low=1.0)
    """How often those come."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Augmentation of recognizer batches; flip is always on."""

    crop: float = knob(1.0, low=0.5, high=1.0)
    """Smallest side of a random crop, as a share of the image; 1 switches it off."""
    erase: float = knob(0.0, low=0.0, high=0.5)
    """Largest erased share of the area; 0 switches it off."""
    jitter: float = knob(0.0, low=0.0, high=1.0)
    """Strength of brightness, contrast and saturation jitter; 0 switches it off."""


@dataclass(frozen=True, kw_only=True)
class RecognizerConfig:
    """The space in which everybody exists (VIGFace stage 1)."""

    checkpoint: str = "starter:recognizer"
    """Checkpoint folder that conditions generation; starter:NAME is the one in the package."""
    backbone: Literal["iresnet_mini", "iresnet18", "iresnet34", "iresnet50", "iresnet100"] = (
        "iresnet50"
    )
    """Network to train; mini has a stride-2 stem and thin stages, for CPUs."""
    embedding_dim: int = knob(512, low=8, high=4096)
    """Length of an embedding."""
    dropout: float = knob(0.0, low=0.0, high=0.9)
    """Dropout before the embedding layer (SER-FIQ needs some)."""
    margin: Literal["arcface", "cosface", "adaface"] = "arcface"
    """Margin on the angle (ArcFace), on the cosine (CosFace), or between them by the norm of the
    feature, which tells an image's quality (AdaFace)."""
    margin_m: float = knob(0.5, low=0.0, high=1.5)
    """Final margin: radians for ArcFace, cosine for CosFace, both for AdaFace."""
    margin_free: float = knob(0.0, low=0.0, high=1.0)
    """Share of the training with margin 0; small networks start only so."""
    margin_ramp: float = knob(0.0, low=0.0, high=1.0)
    """Share of the training in which the margin rises linearly after that."""
    scale: float = knob(64.0, low=1.0, high=256.0)
    """Factor s on the cosines."""
    num_virtual: int = knob(0, low=0)
    """Virtual prototypes k (classes without images)."""
    virtual_per_step: Literal["batch", "proportional", "none"] = "batch"
    """Virtual features a step: as many as the batch (arXiv v1), round(k*b/n) (ICCV), or none, which
    lets virtual prototypes collapse (VIGFace's ablation)."""
    sample_rate: float = knob(1.0, low=1e-4, high=1.0)
    """Share of the classes that are negatives in a step (partial FC); 1 is the full softmax."""
    batch_norm: Literal["local", "synced", "frozen"] = "local"
    """Statistics of batch norms: of a rank's own images, of all ranks' (GPUs only), or those stored
    in the network, which do not move."""
    quality_weight: float = knob(0.0, low=0.0)
    """Weight of CR-FIQA's quality head, trained along (the paper's is 10); 0: no head. Its targets
    take a product with all real prototypes a step, whatever sample_rate is."""
    epochs: float = knob(40.0, low=0.0)
    """Passes over the source."""
    batch_size: int = knob(512, low=2)
    """Images a step over all processes."""
    lr: float = knob(0.1, low=0.0)
    """Learning rate of SGD with Nesterov momentum .9 at the start."""
    weight_decay: float = knob(5e-4, low=0.0)
    """L2 penalty of SGD."""
    schedule: Literal["step", "cosine"] = "step"
    """step: lr/10 at each milestone; cosine: to 0."""
    milestones: tuple[float, ...] = (24.0, 30.0, 36.0)
    """Epochs at which lr is divided by ten."""
    warmup_epochs: float = knob(0.0, low=0.0)
    """Linear rise of lr from 0."""
    ema: float = knob(0.0, low=0.0, high=0.99999)
    """Decay of the weights' moving average; 0 switches it off."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """A second recognizer that never conditions and only looks."""

    checkpoint: str | None = "starter:judge"
    """Checkpoint folder; None: no judge, and the report has no independent figures."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Pixels to small latents and back (diffusers' AutoencoderKL on 2x2 pixel blocks)."""

    checkpoint: str = "starter:autoencoder"
    """Checkpoint folder, used when generator.space is latents."""
    widths: tuple[int, ...] = (32, 64, 128)
    """Channels at 1/2, 1/4, 1/8 of the image side."""
    latent_channels: int = knob(8, low=1, high=64)
    """Channels of a latent pixel."""
    kl_weight: float = knob(1e-4, low=0.0)
    """Weight of the KL term."""
    perceptual_weight: float = knob(0.5, low=0.0)
    """Weight of the distance of the recognizer's feature maps and embedding."""
    epochs: float = knob(20.0, low=0.0)
    """Passes over the source."""
    batch_size: int = knob(32, low=1)
    """Images a step over all processes."""
    lr: float = knob(1e-3, low=0.0)
    """Learning rate of AdamW, with a cosine to 0."""


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The diffusion model that draws a person from an embedding (VIGFace stage 2)."""

    checkpoint: str = "starter:generator"
    """Checkpoint folder that a release samples from."""
    space: Literal["pixels", "latents"] = "latents"
    """What is denoised: images, or the autoencoder's normalized latents."""
    patch: int = knob(2, low=1, high=16)
    """Side of a token in pixels of the space."""
    patch_rank: int | None = knob(None, low=1)
    """Width of the bottleneck in the patch embedding of large patches; None: a full matrix."""
    width: int = knob(256, low=16)
    """Width of a token."""
    depth: int = knob(9, low=3)
    """Blocks, an odd number: (depth-1)/2 long skips."""
    num_heads: int = knob(4, low=1)
    """Attention heads, a divisor of width."""
    prediction: Literal["x0", "v", "epsilon"] = "v"
    """What the network estimates."""
    loss_weighting: Literal["none", "min_snr", "x0"] = "none"
    """Weight of the error over noise levels, in the network's own prediction: none; min_snr: the
    min-SNR-gamma weights (gamma 5); x0: that of a plain error on x0."""
    time_sampling: Literal["uniform", "logit_normal"] = "logit_normal"
    """How training draws its noise levels."""
    num_timesteps: int = knob(1000, low=2)
    """Training timesteps T of the cosine schedule."""
    condition_dropout: float = knob(0.1, low=0.0, high=1.0)
    """Share of samples whose condition is zeroed, for classifier-free guidance."""
    identity_weight: float = knob(0.0, low=0.0)
    """lambda of the identity loss ||E(x0^) - E(x)||^2 (VIGFace eq 8)."""
    identity_batch: int | None = knob(None, low=1)
    """Samples of each batch that bear the identity loss (each costs a decode); None: all."""
    condition: Literal["image", "prototype"] = "image"
    """Trained on E(x) of the image (VIGFace v1) or on its class prototype (ICCV version)."""
    epochs: float = knob(100.0, low=0.0)
    """Passes over the source; each image or its mirror."""
    batch_size: int = knob(64, low=1)
    """Images a step over all processes."""
    lr: float = knob(1e-4, low=0.0)
    """Learning rate of AdamW."""
    warmup_steps: int = knob(500, low=0)
    """Steps of linear rise of lr from 0."""
    weight_decay: float = knob(0.01, low=0.0)
    """Decoupled weight decay of AdamW."""
    decay_share: float = knob(0.3, low=0.0, high=1.0)
    """Last share of the training in which lr falls linearly to 0."""
    grad_clip: float = knob(1.0, low=0.0)
    """Largest gradient norm; 0 switches clipping off."""
    ema: float = knob(0.999, low=0.0, high=0.99999)
    """Decay of the weights' moving average that is sampled from."""


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
    micro_batch: int = knob(16, low=1)
    """Shots sampled together; every batch of a unit's first round has this shape."""
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

    kind: Literal["ddim", "dpmpp_2m"] = "dpmpp_2m"
    """DDIM (eta 0) or DPM-Solver++(2M)."""
    num_steps: int = knob(15, low=1, high=1000)
    """Steps an image; with guidance other than 1 each calls the network twice."""
    guidance: float = knob(1.5, low=0.0, high=20.0)
    """g in x0 = u + g*(c - u); 1 is the conditional model and costs half. VIGFace's w is g - 1."""
    jpeg_quality: int = knob(95, low=1, high=100)
    """Quality of the stored JPEG."""


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


@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """Who works; nothing here changes a byte of the release."""

    runner: Literal["ray", "inline"] = "ray"
    """ray: actors; inline: the same plan in this process, for debugging."""
    num_workers: int | None = knob(None, low=1)
    """Actors; None: one per GPU, else one per cpus_per_actor of the machine."""
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
    """Images of real people may be made (only with plan.fill_to)."""
    max_failed_fraction: float = knob(0.01, low=0.0, high=1.0)
    """Share of quarantined shots above which the release fails."""
    title: str = "Synthetic faces"
    """Headline of report and card."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """One release or one training: all sections in flow order."""

    source: SourceConfig = field(default_factory=SourceConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    feed: FeedConfig = field(default_factory=FeedConfig)
    recognizer: RecognizerConfig = field(default_factory=RecognizerConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    identities: IdentitiesConfig = field(default_factory=IdentitiesConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    filters: FiltersConfig = field(default_factory=FiltersConfig)
    fleet: FleetConfig = field(default_factory=FleetConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    prices: PricesConfig = field(default_factory=PricesConfig)
    release: ReleaseConfig = field(default_factory=ReleaseConfig)

    def __post_init__(self) -> None:
        check(self)
