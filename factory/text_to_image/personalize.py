"""One person's LoRA (ID-Booth, METHODS 3; Tomasevic et al. 2025).

    L = |e(photograph) - e|^2 + prior_weight |e(prior) - e|^2 + identity_weight w_t L_id

Everything that does not change while a LoRA learns is computed once: latents, prompts, embeddings.
A result depends on the base, the recipe, the priors and the person's photographs, on nobody else.
These are few, a person at a time, and so they are in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from factory.config import PersonalizationConfig
from factory.errors import SourceError
from factory.images import to_network
from factory.recognition.embed import Recognizer
from factory.seeds import stream_seed, torch_generator
from factory.text_to_image.base_model import TextToImage
from factory.text_to_image.face_crop import FaceCrop
from factory.text_to_image.identity_losses import OBJECTIVES, weight_of_time
from factory.text_to_image.lora import Lora
from factory.training.schedules import cosine_decay

BATCH = 8


@dataclass(frozen=True)
class PreparedImages:
    """Images as training needs them."""

    moments: torch.Tensor
    """Mean and deviation of their latents, [N, 2, C, h, w]."""
    unit_ND: torch.Tensor
    """Unit embeddings of their faces; a row of zeros where no face was found."""

    def sample(self, row: int, generator: torch.Generator) -> torch.Tensor:
        """Latents [C, h, w] of an image, drawn as its encoder would."""
        mean, std = self.moments[row]
        return torch.as_tensor(mean + std * torch.randn(mean.shape, generator=generator))

    def has_face(self, row: int) -> bool:
        """Whether a face was found in an image."""
        return bool(self.unit_ND[row].any())


class LoraTrainer:
    """Trains LoRAs on one device, one person after the other."""

    def __init__(
        self,
        config: PersonalizationConfig,
        base: TextToImage,
        recognizer: Recognizer,
        crop: FaceCrop,
        seed: int,
    ) -> None:
        self._config, self._base, self._recognizer = config, base, recognizer
        self._crop, self._seed = crop, seed
        self.lora = Lora(base.unet, config, base.sha256)
        if config.gradient_checkpointing:
            base.enable_gradient_checkpointing()
        self._prompts = base.encode_prompts([config.instance_prompt, config.prior_prompt])
        self._prior: PreparedImages | None = None

    def set_priors(self, images_NHWC: np.ndarray) -> None:
        """Set the prior images [N, px, px, 3]; those without a face serve the denoising alone."""
        self._prior = self.prepare(images_NHWC)

    @property
    def prior(self) -> PreparedImages:
        """The prior images, prepared."""
        assert self._prior is not None, "set_priors comes first"
        return self._prior

    def prepare(self, images_NHWC: np.ndarray) -> PreparedImages:
        """Encode and embed RGB uint8 images of the base's size."""
        moments = self._base.encode(images_NHWC)
        unit_ND = torch.zeros(len(images_NHWC), self._recognizer.dim)
        for row, image_HWC in enumerate(images_NHWC):
            x_CHW = to_network(image_HWC[None]).to(self._base.device)[0]
            with torch.no_grad():
                unit_D = self._embedded(x_CHW)
            if unit_D is not None:
                unit_ND[row] = unit_D.cpu()
        return PreparedImages(moments, unit_ND)

    def train(
        self,
        name: str,
        images_NHWC: np.ndarray,
        beat: Callable[[], None] = lambda: None,
        steps: int | None = None,
    ) -> dict[str, Any]:
        """Train a person's LoRA from their photographs and return metrics; `lora` then holds it.

        It takes the recipe's steps, or `steps`. Raises SourceError when no photograph shows a face.
        """
        config, base, device = self._config, self._base, self._base.device
        learned = _with_mirrors(images_NHWC) if config.mirrors else images_NHWC
        prior, photographs = self.prior, self.prepare(learned)
        if config.objective != "dreambooth" and not photographs.unit_ND.any():
            raise SourceError(f"source.path: no face is found in the images of {name!r}")
        num_steps = steps or config.steps
        self.lora.reset(torch_generator(self._seed, "lora", name))
        optimizer = torch.optim.AdamW(
            self.lora.parameters(), config.lr, weight_decay=config.weight_decay
        )
        last: list[tuple[float, float, float | None]] = []
        no_face = no_identity = 0
        for step in range(num_steps):
            draw = torch_generator(self._seed, "booth", name, step)
            counts = len(photographs.moments), len(prior.moments)
            if config.order == "epochs":
                photograph, other = pair_of_step(step, counts, self._seed, name)
            else:
                photograph, other = (
                    int(torch.randint(count, (1,), generator=draw)) for count in counts
                )
            latents = [photographs.sample(photograph, draw), prior.sample(other, draw)]
            z = torch.stack(latents).to(device)
            noise = torch.randn(z.shape, generator=draw).to(device)
            t_B = torch.randint(base.num_timesteps, (2,), generator=draw).to(device)

            # Denoising errors of the photograph and of the prior image
            z_t = base.add_noise(z, noise, t_B)
            estimate = base.estimate(z_t, t_B, self._prompts)
            error_B = (estimate - base.target(z, noise, t_B)).square().mean((1, 2, 3))
            loss = error_B[0] + config.prior_weight * error_B[1]

            # Identity
            has_identity = photographs.has_face(photograph)
            if config.objective == "idbooth":
                has_identity = has_identity and prior.has_face(other)
            identity = None
            no_identity += not has_identity and config.objective != "dreambooth"
            if config.objective != "dreambooth" and has_identity:
                z0 = base.z0(estimate[:1], z_t[:1], t_B[:1])
                positive, negative = photographs.unit_ND[[photograph]], prior.unit_ND[[other]]
                identity = self._identity(z0, t_B[:1], positive, negative)
                no_face += identity is None
            if identity is not None:
                loss = loss + config.identity_weight * identity

            if not bool(loss.isfinite()):
                raise FloatingPointError(f"{name}: the loss is not a number at step {step}")
            loss.backward()
            if config.grad_clip:
                torch.nn.utils.clip_grad_norm_(self.lora.parameters(), config.grad_clip)
            for group in optimizer.param_groups:
                group["lr"] = config.lr * cosine_decay(step / num_steps)
            optimizer.step()
            optimizer.zero_grad()
            term = None if identity is None else float(identity.detach())
            errors = error_B.detach().tolist()
            last = [*last[-99:], (errors[0], errors[1], term)]
            beat()
        tallies = {
            "num_images": len(images_NHWC),
            "no_face": no_face,
            "no_identity": no_identity,
        }
        return tallies | self._metrics(last)

    def _identity(
        self,
        z0: torch.Tensor,
        t_B: torch.Tensor,
        positive_BD: torch.Tensor,
        negative_BD: torch.Tensor,
    ) -> torch.Tensor | None:
        """The term w_t L_id of one estimate, or None where it shows no face."""
        anchor_D = self._embedded(self._base.decode(z0)[0])
        if anchor_D is None:
            return None
        device = anchor_D.device
        term = OBJECTIVES[self._config.objective](
            anchor_D[None], positive_BD.to(device), negative_BD.to(device), self._config.margin
        )
        return (weight_of_time(t_B, self._base.num_timesteps) * term).mean()

    def _embedded(self, image_CHW: torch.Tensor) -> torch.Tensor | None:
        """Differentiable unit embedding [D] of the face in an image in [-1, 1], or None."""
        face = self._crop(image_CHW)
        return None if face is None else self._recognizer.unit_features(face[None])[0].float()

    def _metrics(self, last: list[tuple[float, float, float | None]]) -> dict[str, Any]:
        """Means of the last hundred steps, None for a term that none of them had.

        `train` also counts how often an estimate showed no face (no_face), and how often the
        photograph or the prior image had none to compare with (no_identity).
        """
        metrics: dict[str, Any] = {"steps": self._config.steps, "prompts_cut": self._base.num_cut}
        for column, name in enumerate(("error", "prior_error", "identity")):
            values = [value for row in last if (value := row[column]) is not None]
            metrics[name] = float(np.mean(values)) if values else None
        return metrics


def draw_prior(
    base: TextToImage, config: PersonalizationConfig, sampler: str, seed: int
) -> np.ndarray:
    """The prior images of a base, RGB uint8 [num_prior, px, px, 3]."""
    prompt = base.encode_prompts([config.prior_prompt])
    negative = base.encode_prompts([base.config.negative_prompt])
    images = []
    for start in range(0, config.num_prior, BATCH):
        seeds = [stream_seed(seed, "prior", start + slot) for slot in range(BATCH)]
        batch = base.draw(
            prompt.rows([0] * BATCH),
            negative.rows([0] * BATCH),
            base.noise(seeds),
            sampler,
            config.prior_steps,
            config.prior_guidance,
        )
        images.append(batch[: config.num_prior - start])
    return np.concatenate(images)


def pair_of_step(step: int, counts: tuple[int, int], seed: int, name: str) -> tuple[int, int]:
    """Which photograph and which prior image a step takes, of so many of each.

    Epochs have max(counts) steps, and each an order of its own. In one all images of the more
    numerous kind come once, the others in turn (ID-Booth's public training code).
    """
    longer = max(counts)
    epoch, place = divmod(step, longer)
    order = torch.randperm(longer, generator=torch_generator(seed, "pairs", name, epoch))
    index = int(order[place])
    return index % counts[0], index % counts[1]


def _with_mirrors(images_NHWC: np.ndarray) -> np.ndarray:
    return np.concatenate([images_NHWC, images_NHWC[:, :, ::-1]])
