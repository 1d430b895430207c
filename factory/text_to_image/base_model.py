"""A pretrained text-to-image model as the factory uses it: prompts and latents in, images out.

Stable Diffusion (Rombach et al. 2022) and SD-XL (Podell et al. 2023) by diffusers, part by part
from a folder: no class is looked up by a name in a file, no weights but safetensors are read.

Shapes: B batch, L tokens, z [B, C, h, w] latents, images [B, 3, px, px] in [-1, 1].
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from factory.checkpoint import file_sha256
from factory.config import BaseModelConfig
from factory.errors import CheckpointError
from factory.images import to_network, to_uint8
from factory.training.distributed import autocast

PARTS = {
    "sd": ("scheduler", "text_encoder", "tokenizer", "unet", "vae"),
    "sdxl": (
        "scheduler",
        "text_encoder",
        "text_encoder_2",
        "tokenizer",
        "tokenizer_2",
        "unet",
        "vae",
    ),
}
DECODED = 4
"""Images decoded at once: decoding needs far more memory than denoising."""
WEIGHTS = ("text_encoder", "text_encoder_2", "unet", "vae")


@dataclass(frozen=True)
class PromptEmbedding:
    """Prompts as a U-Net takes them: [B, L, D], and for SD-XL also pooled [B, P]."""

    text_BLD: torch.Tensor
    pooled_BP: torch.Tensor | None = None

    def rows(self, chosen: Any) -> PromptEmbedding:
        """The prompts at some indices, a new embedding."""
        pooled = None if self.pooled_BP is None else self.pooled_BP[chosen]
        return PromptEmbedding(self.text_BLD[chosen], pooled)

    @classmethod
    def join(cls, parts: list[PromptEmbedding]) -> PromptEmbedding:
        """Several embeddings as one, in order."""
        pooled = [part.pooled_BP for part in parts if part.pooled_BP is not None]
        text_BLD = torch.cat([part.text_BLD for part in parts])
        return cls(text_BLD, torch.cat(pooled) if pooled else None)


class TextToImage:
    """A frozen text-to-image pipeline, used part by part."""

    def __init__(self, base_model: BaseModelConfig, device: torch.device, precision: str) -> None:
        """Raises CheckpointError for a folder without the parts of its family."""
        folder, self.config = locate(base_model), base_model
        self.sha256 = digest(base_model)
        self.device, self._precision, self.family = device, precision, base_model.family
        self.pipeline = _pipeline(folder, base_model.family)
        self.pipeline.set_progress_bar_config(disable=True)
        self.unet: nn.Module = self.pipeline.unet
        self._vae: Any = self.pipeline.vae
        half = torch.bfloat16 if precision == "bf16" else torch.float32
        for name in WEIGHTS:
            part = getattr(self.pipeline, name, None)
            if part is not None:
                # SD-XL's decoder overflows in half precision
                dtype = torch.float32 if name == "vae" else half
                part.requires_grad_(False).eval().to(device, dtype)
        self.scheduler = self.pipeline.scheduler
        self.num_timesteps = int(self.scheduler.config.num_train_timesteps)
        self._alphas = self.scheduler.alphas_cumprod.to(device)
        prediction = self.scheduler.config.prediction_type
        if prediction not in ("epsilon", "v_prediction"):
            raise CheckpointError(
                f"base_model.path: its U-Net estimates {prediction!r}; want epsilon or v_prediction"
            )
        self._predicts_v = prediction == "v_prediction"
        self.side = int(self.unet.config.sample_size)
        self.channels = int(self.unet.config.in_channels)
        self.image_px = self.side * int(self.pipeline.vae_scale_factor)
        self.num_cut = 0
        """Prompts so far that were longer than the text encoder reads, and cut."""

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> PromptEmbedding:
        """The text encoders' output for prompts; prompts that are cut are counted."""
        limit = self.pipeline.tokenizer.model_max_length
        lengths = [len(ids) for ids in self.pipeline.tokenizer(prompts).input_ids]
        self.num_cut += sum(length > limit for length in lengths)
        with autocast(self.device, self._precision):
            encoded = self.pipeline.encode_prompt(
                prompt=prompts,
                device=self.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )
        return PromptEmbedding(encoded[0], encoded[2] if self.family == "sdxl" else None)

    @property
    def fingerprint(self) -> str:
        """What decides a latent: weights, precision and kind of device."""
        return f"{self.sha256} {self._precision} {self.device.type}"

    @torch.no_grad()
    def encode(self, images_NHWC: np.ndarray, batch_size: int = 8) -> torch.Tensor:
        """Mean and deviation [N, 2, C, h, w] of the latents of RGB uint8 images, on the CPU."""
        parts = []
        for start in range(0, len(images_NHWC), batch_size):
            batch = np.ascontiguousarray(images_NHWC[start : start + batch_size])
            latents = self._vae.encode(to_network(batch).to(self.device)).latent_dist
            moments = torch.stack([latents.mean, latents.std], 1).cpu()
            parts.append(moments * self._vae.config.scaling_factor)
        return torch.cat(parts)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Images in [-1, 1] of latents; differentiable."""
        images = self._vae.decode(z.float() / self._vae.config.scaling_factor, return_dict=False)[0]
        return torch.as_tensor(images).float()

    def add_noise(self, z: torch.Tensor, noise: torch.Tensor, t_B: torch.Tensor) -> torch.Tensor:
        """z_t = sqrt(a_t) z + sqrt(1 - a_t) noise."""
        a = self._signal(t_B)
        return a.sqrt() * z + (1 - a).sqrt() * noise

    def target(self, z: torch.Tensor, noise: torch.Tensor, t_B: torch.Tensor) -> torch.Tensor:
        """What the U-Net estimates: the noise, or v = sqrt(a_t) noise - sqrt(1 - a_t) z."""
        a = self._signal(t_B)
        return a.sqrt() * noise - (1 - a).sqrt() * z if self._predicts_v else noise

    def z0(self, estimate: torch.Tensor, z_t: torch.Tensor, t_B: torch.Tensor) -> torch.Tensor:
        """The clean latents that an estimate stands for (METHODS 3; for v: Salimans & Ho 2022)."""
        a = self._signal(t_B)
        if self._predicts_v:
            return a.sqrt() * z_t - (1 - a).sqrt() * estimate
        return (z_t - (1 - a).sqrt() * estimate) / a.sqrt()

    def estimate(
        self,
        z_t: torch.Tensor,
        t_B: torch.Tensor,
        prompts: PromptEmbedding,
        **residuals: Any,
    ) -> torch.Tensor:
        """The U-Net's output in float32.

        It is differentiable in the U-Net's LoRA and in a ControlNet's residuals.
        """
        with autocast(self.device, self._precision):
            output = self.unet(
                z_t,
                t_B,
                prompts.text_BLD,
                added_cond_kwargs=self.added_conditions(prompts),
                return_dict=False,
                **residuals,
            )[0]
        return torch.as_tensor(output).float()

    def added_conditions(self, prompts: PromptEmbedding) -> dict[str, torch.Tensor] | None:
        """SD-XL's further conditions, pooled prompts and sizes; None for Stable Diffusion."""
        if prompts.pooled_BP is None:
            return None
        size = (self.image_px, self.image_px)
        ids = torch.tensor([[*size, 0, 0, *size]], device=self.device, dtype=torch.float32)
        return {
            "text_embeds": prompts.pooled_BP,
            "time_ids": ids.repeat(len(prompts.pooled_BP), 1),
        }

    def sampler(self, kind: str, num_steps: int) -> Any:
        """diffusers' scheduler of that kind, set to so many U-Net calls."""
        scheduler = _sampler(kind, self.scheduler)
        scheduler.set_timesteps(num_steps, device=self.device)
        return scheduler

    def latents(self, images: torch.Tensor) -> torch.Tensor:
        """Mean latents of images in [-1, 1]; differentiable."""
        mean = self._vae.encode(images.float()).latent_dist.mean
        return torch.as_tensor(mean * self._vae.config.scaling_factor)

    def noise(self, seeds: list[int]) -> torch.Tensor:
        """Initial latents [B, C, h, w], by Philox from each seed."""
        size = (self.channels, self.side, self.side)
        streams = (np.random.Generator(np.random.Philox(seed)) for seed in seeds)
        return torch.stack(
            [torch.from_numpy(s.standard_normal(size, dtype=np.float32)) for s in streams]
        )

    @torch.no_grad()
    def draw(
        self,
        prompts: PromptEmbedding,
        negative: PromptEmbedding,
        noise: torch.Tensor,
        sampler: str,
        steps: int,
        guidance: float,
    ) -> np.ndarray:
        """RGB uint8 [B, px, px, 3] by diffusers' pipeline; guidance leads away from `negative`."""
        self.pipeline.scheduler = _sampler(sampler, self.scheduler)
        embeddings = {"prompt_embeds": prompts.text_BLD}
        if guidance > 1:
            embeddings["negative_prompt_embeds"] = negative.text_BLD
        if prompts.pooled_BP is not None:
            embeddings["pooled_prompt_embeds"] = prompts.pooled_BP
            if guidance > 1 and negative.pooled_BP is not None:
                embeddings["negative_pooled_prompt_embeds"] = negative.pooled_BP
        with autocast(self.device, self._precision):
            z = self.pipeline(
                **embeddings,
                latents=noise.to(self.device),  # in float32, which many small steps need
                height=self.image_px,
                width=self.image_px,
                num_inference_steps=steps,
                guidance_scale=guidance,
                output_type="latent",
            ).images
        if not bool(z.isfinite().all()):
            raise FloatingPointError("sampling gave NaN or infinity")
        return np.concatenate([to_uint8(self.decode(part)) for part in z.split(DECODED)])

    def enable_gradient_checkpointing(self) -> None:
        """Recompute parts of U-Net and decoder in the backward pass instead of storing them."""
        for part in (self.unet, self._vae):
            part.enable_gradient_checkpointing()  # type: ignore[operator]

    def _signal(self, t_B: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self._alphas[t_B]).view(-1, 1, 1, 1)


def locate(base_model: BaseModelConfig) -> Path:
    """The folder of base_model.path, downloaded from the hub where it is an id.

    Raises CheckpointError when it lacks a part of its family.
    """
    if not base_model.path:
        raise CheckpointError(
            "base_model.path: nothing given; want a text-to-image pipeline's folder"
        )
    folder = Path(base_model.path)
    if not folder.is_dir():
        folder = _from_hub(base_model.path, base_model.family)
    missing = [part for part in PARTS[base_model.family] if not (folder / part).is_dir()]
    if missing:
        hint = "" if base_model.family == "sd" else "; is it SD-XL, or base_model.family=sd?"
        raise CheckpointError(
            f"base_model.path: {folder} has no {missing[0]}/; want the folder of a pipeline as "
            f"diffusers saves it, with {', '.join(PARTS[base_model.family])}{hint}"
        )
    if base_model.family == "sd" and (folder / "text_encoder_2").is_dir():
        raise CheckpointError(f"base_model.family: got 'sd' for {folder}, an SD-XL; want 'sdxl'")
    for part in WEIGHTS:
        if part in PARTS[base_model.family] and not any((folder / part).glob("*.safetensors")):
            raise CheckpointError(
                f"base_model.path: {folder / part} holds no .safetensors; other weights are not "
                "read"
            )
    return folder


def digest(base_model: BaseModelConfig) -> str:
    """sha256 of all files of the pipeline's parts and their names."""
    folder = locate(base_model)
    files = [
        (file, file.stat().st_mtime_ns)
        for part in PARTS[base_model.family]
        for file in sorted((folder / part).rglob("*"))
        if file.suffix in (".safetensors", ".json", ".txt")
    ]
    return _digest(folder, tuple(files))


@lru_cache(8)
def _digest(folder: Path, files: tuple[tuple[Path, int], ...]) -> str:
    """The digest, computed once a process and state of the files: a base may have ten gigabytes."""
    lines = (f"{file_sha256(file)} {file.relative_to(folder)}\n" for file, _ in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def image_px_of(base_model: BaseModelConfig) -> int:
    """Side of a base's images in pixels, from the JSONs in its folder."""
    folder = locate(base_model)
    unet, vae = (
        json.loads((folder / part / "config.json").read_text()) for part in ("unet", "vae")
    )
    return int(unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1))


def _from_hub(name: str, family: str) -> Path:
    from huggingface_hub import snapshot_download

    wanted = [f"{part}/*{end}" for part in PARTS[family] for end in (".json", ".txt")]
    wanted += [f"{part}/*.safetensors" for part in WEIGHTS]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns="*.fp16.*"))
    except Exception as error:  # because hub, http and name errors share no class
        raise CheckpointError(
            f"base_model.path: {name!r} is neither a folder nor can it be downloaded "
            f"({type(error).__name__}); check the path, or the name and the network"
        ) from None


def _pipeline(folder: Path, family: str) -> Any:
    import diffusers
    import transformers
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    classes: dict[str, Any] = {
        "scheduler": diffusers.DDIMScheduler,
        "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
        "tokenizer": CLIPTokenizer,
        "tokenizer_2": CLIPTokenizer,
        "unet": diffusers.UNet2DConditionModel,
        "vae": diffusers.AutoencoderKL,
    }
    diffusers.utils.logging.set_verbosity_error()  # because both log every part they open
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    local = {"local_files_only": True}
    parts = {
        name: classes[name].from_pretrained(
            folder / name, **local, **({"use_safetensors": True} if name in WEIGHTS else {})
        )
        for name in PARTS[family]
    }
    if family == "sdxl":
        return diffusers.StableDiffusionXLPipeline(**parts, add_watermarker=False)
    return diffusers.StableDiffusionPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )


def _sampler(kind: str, base: Any) -> Any:
    """diffusers' scheduler of that kind with the base's noise schedule."""
    import diffusers

    classes: dict[str, Any] = {
        "ddim": diffusers.DDIMScheduler,
        "dpmpp_2m": diffusers.DPMSolverMultistepScheduler,
        "dpmpp_2s": diffusers.DPMSolverSinglestepScheduler,
        "unipc": diffusers.UniPCMultistepScheduler,
    }
    settings: dict[str, Any] = {"timestep_spacing": "trailing"}
    if kind == "ddim":  # whose defaults are for pixels, where Stable Diffusion sets nothing
        settings |= {"clip_sample": False, "set_alpha_to_one": False}
    return classes[kind].from_config(base.config, **settings)
