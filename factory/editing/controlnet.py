"""Mask-ControlNet: a frozen text-to-image model redraws a masked region by a prompt (METHODS 4).

The condition has six channels. An adapter makes them three, the frozen VAE encoder latents, and a
ControlNet (Zhang et al. 2023) residuals, which reach the U-Net through convolutions that begin at
zero: before the first step the base draws as it does without them.

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
    """The adapter and the ControlNet, which are all that is trained."""

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
        """A new ControlNet, initialized from the base's U-Net."""
        from diffusers import ControlNetModel

        controlnet = ControlNetModel.from_unet(
            base.unet,
            conditioning_channels=base.channels,
            conditioning_embedding_out_channels=(ADAPTER_WIDTH,),
        )
        return cls(controlnet.float().requires_grad_(True))

    @classmethod
    def load(cls, name: str, base: TextToImage) -> tuple[MaskControlNet, str]:
        """A trained ControlNet and its sha256, from a checkpoint folder; raises CheckpointError."""
        loaded = checkpoint.load(name, "controlnet", "editing.checkpoint")
        refuse_other_base(name, loaded.lineage, base.sha256)
        control = cls.on(base)
        control.load_state_dict(loaded.tensors)
        return control.eval().requires_grad_(False).to(base.device), loaded.sha256

    def residuals(
        self,
        base: TextToImage,
        z_t: torch.Tensor,
        t_B: Any,
        prompts: PromptEmbedding,
        hint: torch.Tensor,
    ) -> dict[str, Any]:
        """Residuals for the U-Net, as arguments of `TextToImage.estimate`.

        `hint` is the condition as `encoded` gives it.
        """
        down, middle = self.controlnet(
            z_t,
            t_B,
            prompts.text_BLD,
            controlnet_cond=hint,
            added_cond_kwargs=base.added_conditions(prompts),
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
    """The condition [B, 6, px, px] in [-1, 1]: (mask, image without the region).

    'printed' is the paper's training form: (image without the region, which is its segmented
    object; whole image).
    """
    alpha = torch.from_numpy(np.ascontiguousarray(alpha_BHW))[:, None]
    images = to_network(np.ascontiguousarray(images_BHWC))
    visible = images * (1 - alpha)
    if form == "printed":
        return torch.cat([visible, images], 1)
    return torch.cat([(2 * alpha - 1).expand(-1, 3, -1, -1), visible], 1)


@torch.no_grad()
def redraw(
    base: TextToImage,
    control: MaskControlNet,
    condition_B6HW: torch.Tensor,
    prompts: PromptEmbedding,
    negative: PromptEmbedding,
    noise: torch.Tensor,
    sampling: tuple[str, int, float],
    precision: str,
) -> torch.Tensor:
    """Images [B, 3, px, px] in [-1, 1] under a condition.

    `sampling` is (sampler, U-Net calls, guidance); guidance leads away from `negative`, and both
    estimates are one call.
    """
    kind, num_steps, guidance = sampling
    scheduler = base.sampler(kind, num_steps)
    hint = control.encoded(base, condition_B6HW.to(base.device))
    z = noise.to(base.device) * scheduler.init_noise_sigma
    copies = 1 if guidance == 1 else 2
    both = prompts if copies == 1 else PromptEmbedding.join([negative, prompts])
    hint = torch.cat([hint] * copies)
    for t in scheduler.timesteps:
        z_t = scheduler.scale_model_input(torch.cat([z] * copies), t)
        with autocast(base.device, precision):
            residuals = control.residuals(base, z_t, t, both, hint)
        estimate = base.estimate(z_t, t, both, **residuals)
        if copies == 2:
            without, with_prompt = estimate.chunk(2)
            estimate = without + guidance * (with_prompt - without)
        z = scheduler.step(estimate, t, z).prev_sample
    if not bool(z.isfinite().all()):
        raise FloatingPointError("sampling gave NaN or infinity")
    return base.decode(z)


def resized(alpha_BHW: np.ndarray, px: int) -> np.ndarray:
    """Soft masks resized to [B, px, px]."""
    alpha = torch.from_numpy(np.ascontiguousarray(alpha_BHW))[:, None]
    return np.asarray(F.interpolate(alpha, (px, px), mode="bilinear", antialias=True)[:, 0])
