"""Mask-ControlNet: a frozen text-to-image model redraws a region under a mask and a prompt
(METHODS 4).

Six channels of condition, by an adapter to three, by the frozen VAE encoder to latents, into a
ControlNet (Zhang et al. 2023) whose answers reach the U-Net through convolutions that begin at
zero: before the first step the base draws as it always did.

Shapes: B images, px the base's side, z [B, C, h, w] latents, condition [B, 6, px, px] in [-1, 1].
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from factory import checkpoint
from factory.errors import CheckpointError
from factory.images import to_network
from factory.text_to_image.base_model import PromptEmbedding, TextToImage
from factory.training.distributed import autocast

ADAPTER_WIDTH = 32


class MaskControlNet(nn.Module):
    """The adapter and the ControlNet: all that is trained."""

    def __init__(self, controlnet: nn.Module) -> None:
        super().__init__()
        self.adapter = nn.Sequential(
            nn.Conv2d(6, ADAPTER_WIDTH, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(ADAPTER_WIDTH, 3, 3, padding=1),
            nn.Tanh(),
        )
        self.controlnet = controlnet

    @classmethod
    def on(cls, base: TextToImage) -> MaskControlNet:
        """A new one that begins with the base's U-Net."""
        from diffusers import ControlNetModel

        made = ControlNetModel.from_unet(
            base.unet,
            conditioning_channels=base.channels,
            conditioning_embedding_out_channels=(ADAPTER_WIDTH,),
        )
        return cls(made.float().requires_grad_(True))

    @classmethod
    def load(cls, name: str, base: TextToImage) -> tuple[MaskControlNet, str]:
        """(what jobs.train_controlnet wrote, its sha256); raises CheckpointError."""
        loaded = checkpoint.load(name, "controlnet", "editing.checkpoint")
        refuse_other_base(name, loaded.lineage, base.sha256)
        made = cls.on(base)
        made.load_state_dict(loaded.tensors)
        return made.eval().requires_grad_(False).to(base.device), loaded.sha256

    def residuals(
        self,
        base: TextToImage,
        z_t: torch.Tensor,
        t_B: Any,
        words: PromptEmbedding,
        seen: torch.Tensor,
    ) -> dict[str, Any]:
        """What the U-Net is given beside its own activations; `seen` is of `encoded`."""
        down, middle = self.controlnet(
            z_t,
            t_B,
            words.text_BLD,
            controlnet_cond=seen,
            added_cond_kwargs=base.told(words),
            return_dict=False,
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    def encoded(self, base: TextToImage, condition_B6HW: torch.Tensor) -> torch.Tensor:
        """The condition as latents [B, C, h, w]; differentiable in the adapter."""
        return base.latents(self.adapter(condition_B6HW))


def refuse_other_base(name: str, lineage: dict[str, str], base_sha256: str) -> None:
    """Raise CheckpointError unless a ControlNet was trained on this base."""
    wanted = str(lineage.get("base"))
    if wanted != base_sha256:
        raise CheckpointError(
            f"editing.checkpoint: {name} was trained on a base with sha256 {wanted[:12]}, "
            f"base_model.path has {base_sha256[:12]}; use that base, or train it on this one"
        )


def condition(
    images_BHWC: np.ndarray, alpha_BHW: np.ndarray, form: Literal["inference", "printed"]
) -> torch.Tensor:
    """[B, 6, px, px] in [-1, 1]: (mask, image without the region), or the paper's training form
    (image without the region, which is its segmented object; whole image)."""
    alpha = torch.from_numpy(np.ascontiguousarray(alpha_BHW))[:, None]
    images = to_network(np.ascontiguousarray(images_BHWC))
    kept = images * (1 - alpha)
    if form == "printed":
        return torch.cat([kept, images], 1)
    return torch.cat([(2 * alpha - 1).expand(-1, 3, -1, -1), kept], 1)


@torch.no_grad()
def redraw(
    base: TextToImage,
    control: MaskControlNet,
    condition_B6HW: torch.Tensor,
    words: PromptEmbedding,
    away: PromptEmbedding,
    noise: torch.Tensor,
    how: tuple[str, int, float],
    precision: str,
) -> torch.Tensor:
    """Images [B, 3, px, px] in [-1, 1] under a condition; `how` is (sampler, U-Net calls,
    guidance), guidance leads from `away` and both answers are one call."""
    kind, num_steps, guidance = how
    scheduler = base.sampler(kind, num_steps)
    seen = control.encoded(base, condition_B6HW.to(base.device))
    z = noise.to(base.device) * scheduler.init_noise_sigma
    copies = 1 if guidance == 1 else 2
    both = words if copies == 1 else PromptEmbedding.join([away, words])
    seen = torch.cat([seen] * copies)
    for t in scheduler.timesteps:
        z_t = scheduler.scale_model_input(torch.cat([z] * copies), t)
        with autocast(base.device, precision):
            given = control.residuals(base, z_t, t, both, seen)
        estimate = base.estimate(z_t, t, both, **given)
        if copies == 2:
            plain, wanted = estimate.chunk(2)
            estimate = plain + guidance * (wanted - plain)
        z = scheduler.step(estimate, t, z).prev_sample
    if not bool(z.isfinite().all()):
        raise FloatingPointError("sampling gave NaN or infinity")
    return base.decode(z)


def resized(alpha_BHW: np.ndarray, px: int) -> np.ndarray:
    """Soft masks at another size."""
    alpha = torch.from_numpy(np.ascontiguousarray(alpha_BHW))[:, None]
    return np.asarray(F.interpolate(alpha, (px, px), mode="bilinear", antialias=True)[:, 0])
