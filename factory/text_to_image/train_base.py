"""A text-to-image model from nothing: CLIP-style text encoder and U-Net, trained together on
captioned faces in the latents of an autoencoder of ours (Rombach et al. 2022, in small).

What it writes is an ordinary Stable Diffusion pipeline folder of diffusers, so that everything that
personalises a pretrained model can be tried, and compared, where none can be had.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from factory.config import BaseModelConfig, BaseTrainingConfig, Config
from factory.diffusion.autoencoder import Autoencoder
from factory.errors import CheckpointError
from factory.seeds import torch_generator
from factory.sources import training_faces
from factory.store.local import write_atomically
from factory.text_to_image.base_model import locate
from factory.text_to_image.base_quality import LEAST_FACES, LEAST_ROUND_TRIP, BaseQualityCheck
from factory.text_to_image.captions import Captions
from factory.training.batch_order import BatchOrder, num_steps
from factory.training.distributed import micro_batch, pick_device, rank, world_size
from factory.training.engine import Averaged, join, start_engine
from factory.training.run_state import Log, RunState
from factory.training.schedules import adamw, linear_decay

WARMUP = 200
"""Steps of linear rise of the learning rate."""
DECAY_SHARE = 1 / 3
START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
STORY = "miniature.json"
"""What is known of a pipeline that was trained here, in its folder."""


def train(config: Config, log: Log = print) -> dict[str, Any]:
    """Train to the end of the recipe, write the pipeline to training.out/pipeline, return what is
    measured of it."""
    recipe, seed = config.base_training, config.training.seed
    join(config.compute)
    faces, heldout = training_faces(config.source)

    # Latents of both mirrors, captions, tokens
    device, compute = pick_device(config.compute), config.compute
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, device, compute.precision)
    if autoencoder.block != 1:
        raise CheckpointError(
            "autoencoder.checkpoint: works on pixel blocks, which no text-to-image pipeline does; "
            "train one with autoencoder.block=1"
        )
    examiner = BaseQualityCheck(config)  # whose networks had better be missed now than at the end
    names = [faces.names[label] for label in faces.labels]
    captions = Captions(recipe, faces.keys, names)
    data = f"{faces.fingerprint} {config.source.image_px} {autoencoder.sha256}"
    progress = RunState(config.training, recipe, data, log)
    progress.say(faces.describe(heldout))
    images = faces.images_NHWC
    both = (images, np.ascontiguousarray(images[:, :, ::-1]))
    z_2N = torch.stack([autoencoder.encode(part) for part in both])
    tokenizer = learn_tokenizer(captions.everything(), recipe)

    # Network, engine
    torch.manual_seed(seed)
    model = TextToImageLoss(recipe, tokenizer.vocab_size, tuple(z_2N.shape[2:]))
    if compute.compile:
        model.compile()

    optimizer = adamw(recipe.lr, weight_decay=0.01)
    engine = start_engine(model, optimizer, compute, grad_clip=1.0, resume=progress.folder)
    averaged = Averaged(engine, "networks", recipe.ema, progress.folder)

    # Steps
    order = BatchOrder(seed, len(faces), recipe.batch_size)
    micro_batch(order.batch_size, compute, "base_training.batch_size")
    total = num_steps(len(faces), order.batch_size, recipe.epochs, config.training.max_steps)
    for step in progress.steps(total, order.batch_size, averaged.save):
        chosen = order.rank_batch(step, rank(), world_size())
        draw = torch_generator(seed, "step", step, rank())
        words = np.random.default_rng(draw.initial_seed())
        losses = []
        for part in np.split(chosen, compute.accumulate):
            mirrored = torch.rand(len(part), generator=draw) < 0.5
            z = z_2N[mirrored.long(), torch.from_numpy(part)]
            noise = torch.randn(z.shape, generator=draw)
            t_B = torch.randint(0, model.num_timesteps, (len(z),), generator=draw)
            texts = captions.draw(part, mirrored.numpy(), words)
            batch = (z, noise, t_B, tokens_of(tokenizer, texts))
            loss = engine(*(tensor.to(engine.device, non_blocking=True) for tensor in batch))
            engine.backward(loss)
            losses.append(loss.detach())
        warm = min(1.0, (step + 1) / WARMUP)
        averaged.step(recipe.lr * warm * linear_decay(step / total, DECAY_SHARE))
        progress.record(torch.stack(losses).mean())

    # Write and measure
    weights = averaged.weights()
    if rank() != 0:
        return {}
    final = TextToImageLoss(recipe, tokenizer.vocab_size, tuple(z_2N.shape[2:]))
    final.networks.load_state_dict(weights)
    folder = progress.out / "pipeline"
    pipeline_of(final, tokenizer, autoencoder).save_pretrained(folder)
    metrics = examiner.measure(folder, captions, heldout if len(heldout) else faces)
    metrics |= {"final_loss": progress.final_loss, "hours": round(progress.seconds / 3600, 3)}
    story = {"step": total, "autoencoder": autoencoder.sha256, "metrics": metrics}
    write_atomically(folder / STORY, (json.dumps(story, indent=2) + "\n").encode())
    return metrics


def refuse_poor_base(base_model: BaseModelConfig) -> None:
    """Raise CheckpointError for a pipeline trained here whose figures say that no person can be
    learned on it; nothing is known of others."""
    story = locate(base_model) / STORY
    if not story.is_file():
        return
    metrics = json.loads(story.read_text())["metrics"]
    for name, least in (("round_trip_cosine", LEAST_ROUND_TRIP), ("face_share", LEAST_FACES)):
        if name not in metrics:
            raise CheckpointError(
                f"base_model.path: {name} of {base_model.path} was not measured; train it with "
                "source.detector"
            )
        if metrics[name] < least:
            raise CheckpointError(
                f"base_model.path: {base_model.path} has a {name} of {metrics[name]:.3f}; want at least "
                f"{least}, train it for longer"
            )


class TextToImageLoss(nn.Module):
    """Denoising error of a U-Net that attends to the words of a caption."""

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
        v_wanted = self.scheduler.config.prediction_type == "v_prediction"
        target = self.scheduler.get_velocity(z, noise, t_B) if v_wanted else noise
        return (estimate.float() - target).square().mean()


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


def build_unet(recipe: BaseTrainingConfig, shape: tuple[int, int, int]) -> nn.Module:
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
    """CLIP's byte-level tokenizer with pieces learned from `texts`; no word is unknown to it."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    alphabet = sorted(ByteLevel.alphabet())
    base = [*alphabet, *(letter + WORD_END for letter in alphabet)]
    merges = learn_merges(texts, recipe.vocabulary - len(base) - 2)
    pieces = list(dict.fromkeys([*base, *("".join(pair) for pair in merges)]))
    vocabulary = {piece: place for place, piece in enumerate([*pieces, START, END])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=recipe.max_tokens)


def learn_merges(texts: list[str], at_most: int) -> list[tuple[str, str]]:
    """Byte-pair encoding (Sennrich et al. 2016) of the plain words in `texts`: the commonest pair
    first, ties by spelling. (The tokenizers library breaks ties as its hash tables fall.)"""
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
    found: list[str] = []
    for piece in pieces:
        if found and (found[-1], piece) == pair:
            found[-1] += piece
        else:
            found.append(piece)
    return tuple(found)


def tokens_of(tokenizer: Any, texts: list[str]) -> torch.Tensor:
    """Token ids [B, L], padded to the longest prompt the tokenizer takes."""
    padded = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    return torch.as_tensor(padded.input_ids)


def pipeline_of(model: TextToImageLoss, tokenizer: Any, autoencoder: Autoencoder) -> Any:
    """What was trained as diffusers' StableDiffusionPipeline."""
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
def plain_autoencoder(autoencoder: Autoencoder) -> nn.Module:
    """An AutoencoderKL with normalized latents: mean and spread become its 1x1 convolutions."""
    from diffusers import AutoencoderKL

    config = dict(autoencoder.network.config)  # type: ignore[arg-type]
    asked = {key: value for key, value in config.items() if not key.startswith("_")}
    asked |= {"use_quant_conv": True, "use_post_quant_conv": True, "scaling_factor": 1.0}
    plain = AutoencoderKL(**asked)
    plain.load_state_dict(autoencoder.network.state_dict(), strict=False)
    mean, std = autoencoder.mean, autoencoder.std
    scale = torch.cat([1 / std, torch.ones_like(std)])
    plain.quant_conv.weight.copy_(torch.diag(scale)[:, :, None, None])
    plain.quant_conv.bias.copy_(torch.cat([-mean / std, -2 * std.log()]))  # of a log variance
    plain.post_quant_conv.weight.copy_(torch.diag(std)[:, :, None, None])
    plain.post_quant_conv.bias.copy_(mean)
    return plain
