"""Networks and their recipes: recognizer, judge, autoencoder, generator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from factory.config.data import AugmentConfig
from factory.config.field import file_path, knob


@dataclass(frozen=True, kw_only=True)
class PrototypeStageConfig:
    """The stage after a recognizer in which its virtual prototypes become faces.

    Backbone and real prototypes stay as they are. Virtual ones begin at draws from the normal
    distribution of real class centers and learn by the recognizer's own loss on kept embeddings.
    """

    steps: int = knob(0, low=0)
    """Steps of it; 0: none, virtual prototypes are those that were trained jointly, as published.
    Seconds for a few thousand people."""
    batch_size: int = knob(128, low=1)
    """Embeddings of images a step over all processes; recognizer.virtual_per_step says how many
    virtual features there are in addition."""
    lr: float = knob(0.05, low=0.0)
    """Learning rate of SGD at the start, with a cosine to 0."""
    margin: float = knob(0.3, low=0.0, high=0.3)
    """Margin of virtual features, or recognizer.margin_m where that is smaller: a larger one pushes
    prototypes off the faces."""
    max_images: int = knob(16384, low=1)
    """Images that are embedded for it, spread evenly over the people."""


@dataclass(frozen=True, kw_only=True)
class RecognizerConfig:
    """The recognizer, in whose space identities exist (VIGFace stage 1)."""

    checkpoint: str = file_path("starter:recognizer", or_name="checkpoint")
    """Checkpoint folder that conditions generation; starter:NAME is the one in the package."""
    backbone: Literal[
        "iresnet_mini", "iresnet18", "iresnet34", "iresnet50", "iresnet100", "ir_se50"
    ] = "iresnet50"
    """Network to train; mini has a stride-2 stem and thin stages, for CPUs; ir_se50 is iresnet50
    with squeeze-and-excitation, which papers train on synthetic sets."""
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
    """Fraction of the training with margin 0; small networks start only so."""
    margin_ramp: float = knob(0.0, low=0.0, high=1.0)
    """Fraction of the training in which the margin rises linearly after that."""
    scale: float = knob(64.0, low=1.0, high=256.0)
    """Factor s on the cosines."""
    num_virtual: int = knob(0, low=0)
    """Virtual prototypes k (classes without images)."""
    virtual_per_step: Literal["batch", "proportional", "none"] = "batch"
    """Virtual features a step: as many as the batch (arXiv v1), round(k*b/n) (ICCV), or none, which
    lets virtual prototypes collapse (VIGFace's ablation)."""
    loss_mean: Literal["real", "all"] = "real"
    """What the summed losses of a step's real and virtual features are divided by: the number of
    real ones, so that virtual ones leave the backbone's learning rate as it is, or the number of
    all (VIGFace), which halves it where both are as many."""
    covariance_weight: float = knob(0.0, low=0.0)
    """Weight of a penalty that draws virtual prototypes to where faces are: the squared distance of
    their covariance to that of the real ones, relative to its square. 0: none, as published."""
    sample_rate: float = knob(1.0, low=1e-4, high=1.0)
    """Fraction of the classes that are negatives in a step (partial FC); 1 is the full softmax."""
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
    mirror_sum: Literal["unit", "raw"] | None = None
    """What verification sums of an image and its mirror image. raw: features as the network gives
    them, which is insightface's protocol to the letter; unit: unit vectors, which measured better
    here (.7433 against .7408 and .7392 against .7367 on LFW's pairs). None: as the checkpoint says,
    in which a training writes it down; unit where none does."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    prototypes: PrototypeStageConfig = field(default_factory=PrototypeStageConfig)


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """What is to be stated of weights that somebody else has trained.

    They are those of base_model.path, and of the recognizer.checkpoint that jobs.import_recognizer
    takes. Networks of ours carry what they learned from, and a judge only measures.
    """

    license: str | None = None
    """License of such weights: an SPDX id, a name of the hub such as creativeml-openrail-m, or
    permissive, attribution, share-alike, non-commercial, research-only or unknown."""
    attribution: str | None = None
    """Who is to be credited for them."""


@dataclass(frozen=True, kw_only=True)
class JudgeConfig:
    """A second recognizer, which only measures and never conditions."""

    checkpoint: str | None = file_path("auto", or_name="checkpoint")
    """Checkpoint folder, or dlib. auto: starter:judge where nobody real is in the source, dlib (of
    the extra `eval`) for photographs, which the starter's judge does not know. None: no judge, and
    the report has no independent figures."""


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Pixels to small latents and back (diffusers' AutoencoderKL on 2x2 pixel blocks)."""

    checkpoint: str = file_path("starter:autoencoder", or_name="checkpoint")
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
    warmup_steps: int = knob(200, low=0)
    """Steps of linear rise of lr from 0."""
    init_from: str | None = file_path()
    """Autoencoder checkpoint whose weights training begins with; None: from nothing. A generator of
    the first one can be begun with (generator.init_from) beside the result."""
    freeze_encoder: bool = False
    """Only the decoder of init_from is trained: latents, and their normalization, stay as they
    are."""
    adversarial_epochs: float = knob(0.0, low=0.0)
    """Passes over the source of a second stage that makes the decoder sharp: the encoder is frozen,
    and a discriminator of patches is trained with the decoder. 0: no such stage. An autoencoder
    that there is already gets it by init_from with epochs=0. The first stage is then kept in
    `first_stage` below training.out; training.min_steps and max_steps hold for each stage."""
    adversarial_weight: float = knob(0.5, low=0.0)
    """Force of the discriminator on the decoder's last layer, as a part of that of the error."""
    adversarial_lr: float = knob(2e-4, low=0.0)
    """Learning rate of the decoder in that stage, which falls linearly to 0 over the last 30 %; the
    discriminator's is twice as high and stays."""
    adversarial_warmup_steps: int = knob(100, low=0)
    """Steps over which adversarial_weight and the decoder's learning rate rise from 0."""
    adversarial_batch_size: int = knob(16, low=1)
    """Images a step of that stage over all processes."""
    discriminator_width: int = knob(32, low=1)
    """Channels of the discriminator's first layer; the second and third have 2 and 4 times as
    many."""


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The diffusion model that draws a person from an embedding (VIGFace stage 2)."""

    checkpoint: str = file_path("starter:generator", or_name="checkpoint")
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
    """Fraction of samples whose condition is zeroed, for classifier-free guidance."""
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
    is then given m by sampler.similarity. 0: no such condition."""
    similarity_label: Literal["asked", "measured"] = "asked"
    """Where m comes from in training. asked: from a grid, and L_SimMat makes the image obey it
    (CemiFace). measured: it is the training image's own cosine to the center of its person's other
    images, and no loss but denoising bears on it; needs generator.condition=center or prototype."""
    similarity_recognizers: tuple[str, ...] = file_path((), or_name="checkpoint")
    """Further recognizers that measure it, checkpoint folders. Each one's cosines are standardized
    over all images, and their mean is put on the scale of recognizer.checkpoint. Empty: that one
    alone measures."""
    similarity_weight: float = knob(0.05, low=0.0)
    """Weight of CemiFace's L_SimMat, which makes an image's cosine to its identity m; counts with
    similarity_label=asked alone."""
    pose: bool = False
    """Show the network an image of the five points, by which sampling chooses the pose (VIGFace,
    ICCV version); needs source.detector, which finds them in the aligned faces."""
    init_from: str | None = file_path()
    """Generator checkpoint whose weights training begins with; None: from nothing."""
    reset_identity_layers: bool | None = False
    """init_from was trained with another recognizer: the layers that read an identity begin anew,
    the rest of its weights (how faces look) is taken over. None: where that is so; false: such an
    init_from is refused."""
    condition: Literal["image", "prototype", "center"] = "image"
    """Trained on E(x) of the image (VIGFace v1), on its class prototype (ICCV version), or on the
    center of its person's other images, which needs no prototypes; an image whose person has no
    other is then learned without a condition."""
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
    betas: tuple[float, float] = (0.9, 0.99)
    """Decay of AdamW's means of gradients and of their squares, from 0 to below 1. Ours is shorter
    than torch's (.9, .999), which the recipes of papers that name none have."""
    decay_fraction: float = knob(0.3, low=0.0, high=1.0)
    """Last fraction of the training in which lr falls linearly to 0."""
    grad_clip: float = knob(1.0, low=0.0)
    """Largest gradient norm; 0 switches clipping off."""
    ema: float = knob(0.999, low=0.0, high=0.99999)
    """Decay of the weights' moving average that is sampled from, min(ema, (1+t)/(10+t)) at step t:
    up to some 9000 steps by .999, the average is as long as ema_sigma_rel=.09 makes it."""
    ema_sigma_rel: float | None = knob(None, low=0.01, high=0.28)
    """Width of the average as a fraction of the steps so far, in place of `ema`: the relative
    standard deviation of EDM2's power function, whose decay at step t is (1-1/t)^(gamma+1). EDM2
    finds .05 to .15 best. None: by `ema`."""
    augmented_copies: int = knob(0, low=0, high=32)
    """Copies of each face, changed as recognizer.augment says, that are learned from as often as
    the face itself, for sources of few images; each with a latent and an embedding of its own."""


@dataclass(frozen=True, kw_only=True)
class TurnsConfig:
    """Which directions an identity is turned in by sampler.perturb_identity=learned."""

    checkpoint: str | None = file_path(or_name="checkpoint")
    """Checkpoint folder that jobs.train_turns wrote, with the conditioning recognizer."""
    ridge: float = knob(1.0, low=0.0)
    """Penalty on the mean direction's dependence on the identity, in units of the mean square of an
    embedding's value; .inf leaves it out."""
    shrinkage: float = knob(0.05, low=1e-3, high=1.0)
    """Weight of a sphere in the spread of directions: 1 forgets which ones are likely; a recognizer
    trained on few people, whose embeddings fill few dimensions, needs some."""
    num_turns: int = knob(32, low=1)
    """Turns of each held-out image whose nearest is compared with its mates."""
