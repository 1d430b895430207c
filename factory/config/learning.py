"""Knobs of what is learned: sources of faces, compute, and the networks with their recipes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Literal

from factory.config.knob import knob


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
    """CSV with columns file,x1,y1,x2,y2.. in pixels of the unaligned images, 5, 68 (iBUG) or 468
    (MediaPipe) points a face; None: no table."""
    detector: str | None = None
    """Path of the YuNet .onnx that finds five points where no table has them; None: no detector."""
    image_px: int = knob(112, low=16, high=1024)
    """Side of the aligned square image, pixels."""
    resize: bool = False
    """Square images of another size without landmarks are aligned faces too, and are scaled."""
    zoom: float = knob(1.0, low=0.1, high=1.0)
    """Size of the face in an image that is aligned: 1 is the ArcFace crop that recognizers want, .5
    shows twice as much around it."""
    max_pixels: int = knob(50_000_000, low=1)
    """Images with more pixels than this are counted as corrupt, never decoded."""
    max_corrupt_fraction: float = knob(0.01, low=0.0, high=1.0)
    """Share of unreadable images above which the source is refused."""
    num_identities: int | None = knob(None, low=1)
    """Only the first so many identities, in the order of their names; None: all."""
    holdout_identities: int = knob(0, low=0)
    """The last so many identities are never trained on; accuracy is measured on them."""
    pairs: str | None = None
    """For jobs.verify_recognizer: LFW's pairs.txt over this source's keys, or insightface's .bin,
    which brings its own images."""
    heldout: str | None = None
    """A source with other people, for measuring only; takes the place of holdout_identities."""
    heldout_kind: Literal["folder", "webdataset", "recordio"] | None = None
    """Kind of that source; None: the same kind."""

    @property
    def other(self) -> SourceConfig:
        """The source of `heldout`."""
        kind = self.heldout_kind or self.kind
        other = replace(self, kind=kind, path=self.heldout, heldout=None)
        return replace(other, holdout_identities=0, num_identities=None)

    @property
    def stem(self) -> str:
        """What a set of faces is called: the file name of its path."""
        return PurePath(self.path or self.kind).stem

    @property
    def name(self) -> str:
        """What a benchmark is called: the file name of its pairs."""
        return PurePath(self.pairs or "").stem


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
    cache: str | None = None
    """Folder, of all ranks, where a generator's training keeps what does not change: latents and
    embeddings of the source, in files that are made once. None: each process makes its own."""
    seed: int = knob(0, low=0)
    """Seed of weights, order and augmentation."""
    save_every_s: float = knob(300.0, low=0.0)
    """Seconds between resumable states."""
    log_every: int = knob(50, low=1)
    """Steps between log lines."""
    max_steps: int | None = knob(None, low=1)
    """Stop after so many steps whatever the recipe says; None: the recipe decides."""
    verify_every: int | None = knob(None, low=1)
    """Steps between looks at a training. A recognizer is verified on source.pairs where given, else
    on the held-out people; a generator draws the same few people (sheets/). None: only at the end,
    and no sheets."""


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
class BatchesConfig:
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
    """Channels at 1/2, 1/4, 1/8 of the image side; with block=1 at 1, 1/2, 1/4..."""
    block: int = knob(2, low=1, high=8)
    """Side of the pixel blocks that are stacked as channels first. 1: none, for the autoencoder of
    a text-to-image pipeline (jobs.train_base)."""
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
    identity_dropout: float = knob(0.0, low=0.0, high=0.9)
    """Dropout on the projected identity while training (IDiff-Face: .25): a network that cannot
    read the whole of it varies more."""
    identity_weight: float = knob(0.0, low=0.0)
    """lambda of the identity loss ||E(x0^) - E(x)||^2 (VIGFace eq 8)."""
    identity_batch: int | None = knob(None, low=1)
    """Samples of each batch that bear the losses on identity and similarity (each costs a decode);
    None: all."""
    similarity_tokens: int = knob(0, low=0, high=64)
    """Further keys and values made of the identity and of a similarity m to it (CemiFace); sampling
    is then told m by sampler.similarity. 0: no such condition."""
    similarity_weight: float = knob(0.05, low=0.0)
    """Weight of CemiFace's L_SimMat, which makes an image's cosine to its identity m."""
    pose: bool = False
    """Show the network an image of the five points, by which sampling chooses the pose (VIGFace,
    ICCV version); needs source.detector, which finds them in the aligned faces."""
    start: str | None = None
    """Generator checkpoint whose weights training begins with; None: from nothing."""
    renew_identity: bool = False
    """start was trained with another recognizer: what reads an identity begins anew, the rest of
    its weights (how faces look) is taken over."""
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
