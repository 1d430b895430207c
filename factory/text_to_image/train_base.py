"""A text-to-image model from nothing, trained on captioned faces (Rombach et al. 2022, in small).

A CLIP-style text encoder and a U-Net are trained together, in the latents of an autoencoder of
ours. What it writes is an ordinary Stable Diffusion pipeline folder of diffusers, so that
everything that personalizes a pretrained model can be tried, and compared, where none can be had.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from factory.config import BaseModelConfig, BaseTrainingConfig, Config
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.latent_cache import latents_of
from factory.errors import CheckpointError
from factory.records import Log
from factory.store.json_text import json_text
from factory.store.local import write_atomically
from factory.text_to_image.base_model import digest, locate
from factory.text_to_image.base_provenance import METADATA
from factory.text_to_image.base_quality import LEAST_FACES, LEAST_ROUND_TRIP, BaseQualityCheck
from factory.text_to_image.captions import Captions
from factory.training.distributed import pick_device, rank
from factory.training.run import TrainingRun
from factory.training.schedules import adamw, linear_decay, warmup

WARMUP_STEPS, DECAY_FRACTION = 200, 1 / 3
START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of the recipe, write the pipeline, return its metrics.

    The pipeline is the folder training.out/pipeline.
    """
    recipe = config.base_training
    run = TrainingRun(config, recipe, log)

    # Latents of both mirrors, captions, tokens
    device, precision = pick_device(config.compute), config.compute.precision
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, precision)
    if autoencoder.block != 1:
        raise CheckpointError(
            "autoencoder.checkpoint: works on pixel blocks, which no text-to-image pipeline does; "
            "train one with autoencoder.block=1"
        )
    quality_check = BaseQualityCheck(config)  # now, so that a missing network is not found last
    faces = run.faces
    names = [faces.names[label] for label in faces.labels]
    captions = Captions(recipe, list(faces.keys), names)
    run.resume(autoencoder=autoencoder.sha256, captions=captions.digest)
    z_N2 = latents_of(faces, autoencoder).rows()
    run.read_ahead(z_N2)
    latent = (z_N2.shape[2], z_N2.shape[3], z_N2.shape[4])
    tokenizer = learn_tokenizer(captions.everything(), recipe)

    # Network, engine
    run.seed()
    model = TextToImageLoss(recipe, tokenizer.vocab_size, latent)
    run.start(model, adamw(recipe.lr, weight_decay=0.01), part="networks", ema=recipe.ema)

    # Steps
    for step in run.steps():
        for part in step.parts:
            mirrored = torch.rand(len(part), generator=step.draw) < 0.5
            z = torch.from_numpy(z_N2.pick(part, mirrored.long().numpy()))
            noise = torch.randn(z.shape, generator=step.draw)
            t_B = torch.randint(0, model.num_timesteps, (len(z),), generator=step.draw)
            texts = captions.draw(part, mirrored.numpy(), step.rng)
            run.backward(run(z, noise, t_B, tokens_of(tokenizer, texts)))
        rise = warmup(step.index, WARMUP_STEPS)
        run.update(recipe.lr * rise * linear_decay(step.progress, DECAY_FRACTION))

    # Write and measure
    weights = run.weights()
    if rank() != 0:
        return {}
    final = TextToImageLoss(recipe, tokenizer.vocab_size, latent)
    final.networks.load_state_dict(weights)
    folder = run.out / "pipeline"
    pipeline_of(final, tokenizer, autoencoder).save_pretrained(folder)
    measured = quality_check.measure(folder, captions, run.heldout if len(run.heldout) else faces)
    metrics = measured | run.metrics
    metadata = {"step": run.total, "autoencoder": autoencoder.sha256, "metrics": metrics}
    own, *further = run.provenance("base", {"autoencoder": autoencoder.sha256})
    sha256 = digest(BaseModelConfig(path=str(folder)))
    metadata["provenance"] = [own | {"sha256": sha256}, *further]
    write_atomically(folder / METADATA, (json_text(metadata, indent=2) + "\n").encode())
    run.state.finish()
    return metrics


def refuse_poor_base(base_model: BaseModelConfig) -> None:
    """Raise CheckpointError for a pipeline whose metrics say that no person can be learned on it.

    Only pipelines trained by this job have metrics; others pass.
    """
    metadata = locate(base_model) / METADATA
    if not metadata.is_file():
        return
    metrics = json.loads(metadata.read_text())["metrics"]
    for name, least in (("round_trip_cosine", LEAST_ROUND_TRIP), ("face_share", LEAST_FACES)):
        if name not in metrics:
            raise CheckpointError(
                f"base_model.path: {name} of {base_model.path} was not measured; train it with "
                "a source.detector"
            )
        if metrics[name] < least:
            raise CheckpointError(
                f"base_model.path: {base_model.path} has a {name} of {metrics[name]:.3f}; want at "
                f"least {least}, train it for longer"
            )


class TextToImageLoss(nn.Module):
    """Denoising error of a U-Net that attends to the tokens of a caption."""

    def __init__(
        self, recipe: BaseTrainingConfig, vocab_size: int, shape: tuple[int, int, int]
    ) -> None:
        super().__init__()
        text_encoder = build_text_encoder(recipe, vocab_size)
        unet = build_unet(recipe, shape)
        self.networks = nn.ModuleDict({"text_encoder": text_encoder, "unet": unet})
        self.scheduler = build_scheduler(recipe)
        self.num_timesteps = int(self.scheduler.config.num_train_timesteps)

    def forward(
        self, z: torch.Tensor, noise: torch.Tensor, t_B: torch.Tensor, tokens_BL: torch.Tensor
    ) -> torch.Tensor:
        text_BLD = self.networks["text_encoder"](tokens_BL)[0]
        z_t = self.scheduler.add_noise(z, noise, t_B)
        estimate = self.networks["unet"](z_t, t_B, text_BLD, return_dict=False)[0]
        predicts_v = self.scheduler.config.prediction_type == "v_prediction"
        target = self.scheduler.get_velocity(z, noise, t_B) if predicts_v else noise
        error: torch.Tensor = (estimate.float() - target).square()
        return error.mean()


def build_text_encoder(recipe: BaseTrainingConfig, vocab_size: int) -> nn.Module:
    """A CLIP text model; its last token is the end of the text."""
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocab_size,
            hidden_size=recipe.text_width,
            intermediate_size=4 * recipe.text_width,
            projection_dim=recipe.text_width,
            num_hidden_layers=recipe.text_layers,
            num_attention_heads=recipe.text_width // 32,
            max_position_embeddings=recipe.max_tokens,
            bos_token_id=vocab_size - 2,
            eos_token_id=vocab_size - 1,
            pad_token_id=vocab_size - 1,
        )
    )


def build_unet(recipe: BaseTrainingConfig, shape: tuple[int, int, int]) -> Any:
    """A conditional U-Net for latents of `shape` (C, side, side), attention at every size."""
    from diffusers import UNet2DConditionModel

    levels = len(recipe.widths)
    return UNet2DConditionModel(
        sample_size=shape[1],
        in_channels=shape[0],
        out_channels=shape[0],
        block_out_channels=recipe.widths,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        layers_per_block=1,
        cross_attention_dim=recipe.text_width,
        attention_head_dim=max(1, recipe.widths[0] // 32),
    )


def build_scheduler(recipe: BaseTrainingConfig) -> Any:
    """The noise schedule of Stable Diffusion."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=recipe.prediction,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def learn_tokenizer(texts: list[str], recipe: BaseTrainingConfig) -> Any:
    """CLIP's byte-level tokenizer with pieces learned from `texts`, which can spell any word."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    base = [*alphabet, *(letter + WORD_END for letter in alphabet)]
    merges = learn_merges(texts, recipe.vocabulary - len(base) - 2)
    pieces = list(dict.fromkeys([*base, *("".join(pair) for pair in merges)]))
    vocabulary = {piece: index for index, piece in enumerate([*pieces, START, END])}
    files: dict[str, Any] = {"vocab": vocabulary, "merges": merges}
    return CLIPTokenizer(**files, model_max_length=recipe.max_tokens)


def learn_merges(texts: list[str], at_most: int) -> list[tuple[str, str]]:
    """Byte-pair encoding (Sennrich et al. 2016) of the plain words in `texts`.

    The commonest pair comes first, ties by spelling. (The tokenizers library breaks ties as its
    hash tables fall.)
    """
    counts = Counter(word for text in texts for word in re.findall("[a-z]+", text.lower()))
    spelled = {word: (*word[:-1], word[-1] + WORD_END) for word in sorted(counts)}
    merges: list[tuple[str, str]] = []
    while len(merges) < at_most:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, pieces in spelled.items():
            for pair in pairwise(pieces):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        spelled = {word: _merged(pieces, best) for word, pieces in spelled.items()}
    return merges


def _merged(pieces: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return tuple(merged)


def tokens_of(tokenizer: Any, texts: list[str]) -> torch.Tensor:
    """Token ids [B, L], padded to the longest prompt the tokenizer takes."""
    padded = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    return torch.as_tensor(padded.input_ids)


def pipeline_of(model: TextToImageLoss, tokenizer: Any, autoencoder: Autoencoder) -> Any:
    """The trained networks as diffusers' StableDiffusionPipeline."""
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline(
        vae=plain_autoencoder(autoencoder),
        text_encoder=model.networks["text_encoder"],
        tokenizer=tokenizer,
        unet=model.networks["unet"],
        scheduler=model.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


@torch.no_grad()
def plain_autoencoder(autoencoder: Autoencoder) -> Any:
    """An AutoencoderKL with normalized latents: mean and spread become its 1x1 convolutions."""
    from diffusers import AutoencoderKL

    config = dict(autoencoder.network.config)
    settings = {key: value for key, value in config.items() if not key.startswith("_")}
    settings |= {"use_quant_conv": True, "use_post_quant_conv": True, "scaling_factor": 1.0}
    plain: Any = AutoencoderKL(**settings)
    plain.load_state_dict(autoencoder.network.state_dict(), strict=False)
    mean, std = autoencoder.mean, autoencoder.std
    scale = torch.cat([1 / std, torch.ones_like(std)])
    plain.quant_conv.weight.copy_(torch.diag(scale)[:, :, None, None])
    plain.quant_conv.bias.copy_(torch.cat([-mean / std, -2 * std.log()]))  # of a log variance
    plain.post_quant_conv.weight.copy_(torch.diag(std)[:, :, None, None])
    plain.post_quant_conv.bias.copy_(mean)
    return plain
