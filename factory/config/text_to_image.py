"""Text-to-image models: the pretrained base, a small one trained here, and LoRAs of people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from factory.config.field import file_path, knob


@dataclass(frozen=True, kw_only=True)
class BaseModelConfig:
    """The pretrained text-to-image model that LoRAs and ControlNets are trained on."""

    path: str | None = file_path(or_name="hub_model")
    """Folder of a diffusers pipeline, or its id on the hub; weights as .safetensors only."""
    family: Literal["sd", "sdxl"] = "sd"
    """Stable Diffusion 1.x/2.x, or SD-XL."""
    negative_prompt: str = (
        "cartoon, cgi, render, illustration, painting, drawing, black and white, bad body "
        "proportions, landscape"
    )
    """What guidance leads away from."""


@dataclass(frozen=True, kw_only=True)
class BaseTrainingConfig:
    """A small text-to-image model, trained from nothing on captioned faces.

    It is small enough for a CPU, and written as an ordinary Stable Diffusion pipeline folder.
    """

    tables: tuple[str, ...] = file_path(())
    """CSVs whose columns describe the images: by their column key (image keys of the source), else
    by their first column (names of its people)."""
    caption: str = "photo of a person"
    """How every caption begins."""
    phrases: tuple[str, ...] = ()
    """What a caption goes on with, each from columns of the tables: "{hair} hair". A yaw_deg column
    gives {direction}: left, right or ahead."""
    phrase_dropout: float = knob(0.5, low=0.0, high=1.0)
    """Fraction of phrases left out, each by itself."""
    caption_dropout: float = knob(0.1, low=0.0, high=1.0)
    """Fraction of captions left out wholly, for classifier-free guidance."""
    vocabulary: int = knob(800, low=515)
    """Tokens at most: the byte alphabet, then pieces learned from the captions."""
    max_tokens: int = knob(32, low=8)
    """Longest prompt, in tokens."""
    text_width: int = knob(128, low=16)
    """Width of the text encoder."""
    text_layers: int = knob(2, low=1)
    """Layers of the text encoder."""
    widths: tuple[int, ...] = (96, 192)
    """Channels of the U-Net at 1, 1/2, 1/4... of the latents' side; multiples of 32."""
    prediction: Literal["epsilon", "v_prediction"] = "v_prediction"
    """What the U-Net estimates."""
    epochs: float = knob(30.0, low=0.0)
    """Passes over the source; each image or its mirror."""
    batch_size: int = knob(64, low=1)
    """Images a step over all processes."""
    lr: float = knob(5e-4, low=0.0)
    """Learning rate of AdamW, after 200 steps of warm-up; linear to 0 over the last third."""
    ema: float = knob(0.999, low=0.0, high=0.99999)
    """Decay of the weights' moving average that is written."""
    num_samples: int = knob(64, low=1)
    """Images drawn at the end, in which source.detector looks for faces."""


@dataclass(frozen=True, kw_only=True)
class PersonalizationConfig:
    """LoRAs of a text-to-image model, one for each person of the source (ID-Booth)."""

    loras: str | None = None
    """For a release: name of a set of LoRAs in the store (jobs.personalize) that draws the
    people of the source; None: the diffusion generator draws."""
    objective: Literal["dreambooth", "portraitbooth", "idbooth"] = "idbooth"
    """Identity term added to the denoising errors: none, 1 - cos to the photograph, or the triplet
    with a prior image."""
    rank: int = knob(4, low=1, high=1024)
    """Rank of the matrices."""
    alpha: int = knob(4, low=1)
    """Their scale is alpha / rank."""
    modules: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    """Linear layers of the U-Net that get them."""
    steps: int = knob(6400, low=0)
    """Steps for each person, of one photograph and one prior image."""
    order: Literal["epochs", "random"] = "epochs"
    """Which photograph and prior image make a step. epochs: as in ID-Booth's public code, an epoch
    has as many pairs as there are images of the more numerous kind, in a new order, and pair i is
    photograph i and prior image i, the fewer ones taken in turn; random: both by chance."""
    mirrors: bool = True
    """Mirrored photographs are learned too; ID-Booth's public code learns none."""
    grad_clip: float = knob(1.0, low=0.0)
    """Largest norm of the gradient of all matrices together, 1 in ID-Booth's public code; 0: not
    clipped."""
    lr: float = knob(1e-4, low=0.0)
    """Learning rate of AdamW at the start, with a cosine to 0."""
    weight_decay: float = knob(1e-2, low=0.0)
    """Decoupled weight decay of AdamW."""
    prior_weight: float = knob(1.0, low=0.0)
    """Weight of the denoising error on prior images."""
    identity_weight: float = knob(1.0, low=0.0)
    """Weight of the identity term, in addition to w_t = (1 - t/T)^2."""
    margin: float = knob(1.0, low=0.0, high=2.0)
    """m of the triplet."""
    num_prior: int = knob(200, low=1)
    """Prior images, drawn once for a base and shared by everybody."""
    prior_steps: int = knob(30, low=1, high=1000)
    """U-Net calls for each of them."""
    prior_guidance: float = knob(5.0, low=0.0, high=30.0)
    """Their classifier-free guidance."""
    crop: Literal["landmarks", "box", "whole"] = "landmarks"
    """How a face is cut from an image for the recognizer: aligned by five points, the detector's
    box (as the paper), or all of an image that is an aligned face itself."""
    zoom: float = knob(1.0, low=0.1, high=1.0)
    """Size of the face in the photographs that are learned: 1 is the aligned crop, .5 shows twice
    as much around it."""
    instance_prompt: str = "photo of sks person"
    """Prompt of the person's photographs."""
    prior_prompt: str = "photo of a person"
    """Prompt of the prior images."""
    template: str = "{view}portrait photo of {gender}sks person{background}{expression}{light}"
    """What a release asks for; each name in braces is drawn from its list below."""
    views: tuple[str, ...] = ("face ", "side ")
    """{view}."""
    genders: str | None = file_path()
    """CSV of name,gender for {gender}; None: the word is left out."""
    backgrounds: tuple[str, ...] = ("",)
    """{background}; configs/personalization/sd21.yaml lists the paper's."""
    expressions: tuple[str, ...] = ("",)
    """{expression}."""
    lights: tuple[str, ...] = ("",)
    """{light}."""
    gradient_checkpointing: bool = False
    """Keep less of the U-Net's forward pass and compute it again: slower, less memory."""
    lora_cache: int = knob(32, low=1)
    """LoRAs that an actor keeps in memory."""
