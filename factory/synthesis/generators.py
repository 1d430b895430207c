"""What turns shots into images. The diffusion generator draws a person from an embedding."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from factory import checkpoint
from factory.diffusion.autoencoder import Autoencoder
from factory.diffusion.compiled import CompiledNetwork
from factory.diffusion.denoising_error import denoising_error, timestep_at
from factory.diffusion.guidance import Conditioning, Network, guided
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.pose import CHANNELS, PoseModel, landmark_images
from factory.diffusion.sampler import sample
from factory.diffusion.similarity import TrainingSimilarities
from factory.diffusion.turns import TangentFlow, turned
from factory.diffusion.uvit import UViT
from factory.errors import CheckpointError
from factory.images import on_host, to_network, to_pixels
from factory.records import DrawnBatch, Shot, row_of
from factory.seeds import stream_seed
from factory.shots.mixed_batches import SecondConditions, first_condition


class Generator(Protocol):
    """Draws batches of one fixed shape; an image depends on its shot and slot alone."""

    @property
    def remarks(self) -> list[str]:
        """What the commit record of a unit should tell of its making."""
        ...

    def generate(self, shots: list[Shot], batch_size: int) -> DrawnBatch:
        """Images by slot; slots without a shot are padding."""
        ...


@runtime_checkable
class TellsUnrounded(Protocol):
    """A generator that can tell its images before they are rounded to pixels."""

    def unrounded(self, shots: list[Shot], batch_size: int) -> np.ndarray:
        """float32 [B, C, H, W] of what `generate` rounds, padding included."""
        ...


class DiffusionGenerator:
    """U-ViT, sampler and decoder of a checkpoint, conditioned on rows of the roster.

    Its first row is the identity with the index `first_identity`.
    """

    def __init__(
        self,
        loaded: checkpoint.Checkpoint,
        autoencoder: Autoencoder | None,
        unit_roster_ND: np.ndarray,
        device: torch.device,
        precision: str,
        first_identity: int = 0,
        *,
        compiled: bool = False,
        flow: TangentFlow | None = None,
    ) -> None:
        """With a `flow` conditions are turned as it has learned, else at random."""
        self._network = UViT.from_checkpoint(loaded.config, loaded.tensors)
        self._shape = self._network.shape
        if unit_roster_ND.shape[1] != self._shape.embedding_dim:
            raise CheckpointError(
                f"generator.checkpoint: takes embeddings of {self._shape.embedding_dim} values, "
                f"the roster has {unit_roster_ND.shape[1]}; use the recognizer it was trained with"
            )
        self._schedule = NoiseSchedule(int(loaded.config["num_timesteps"]))
        self._prediction = str(loaded.config["prediction"])
        pose = loaded.config.get("pose")
        self._pose = PoseModel.from_json(pose) if pose else None
        self._learned = TrainingSimilarities.from_checkpoint(loaded.config)
        self._autoencoder = autoencoder
        self._roster_ND, self._first, self._flow = unit_roster_ND, first_identity, flow
        self._device, self._precision = device, precision
        self._network.eval().requires_grad_(False).to(device)
        if precision == "bf16":
            self._network.cast_matrices(torch.bfloat16)
        self._call: Network = CompiledNetwork(self._network, device) if compiled else self._network

    @property
    def remarks(self) -> list[str]:
        return []

    @property
    def most_similar(self) -> float:
        """The largest similarity that the network knows: 1, or that of its measured ones.

        Guidance against the same identity leads away from the answer for it.
        """
        return self._learned.range[1] if self._learned else 1.0

    @torch.inference_mode()
    def generate(self, shots: list[Shot], batch_size: int) -> DrawnBatch:
        noise, conditioning = self.inputs(shots, batch_size)
        pixels_BHWC = self.pixels(self.sample(noise, conditioning, shots[0]), shots)
        return DrawnBatch(on_host(pixels_BHWC), device_BHWC=pixels_BHWC)

    @torch.inference_mode()
    def unrounded(self, shots: list[Shot], batch_size: int) -> np.ndarray:
        noise, conditioning = self.inputs(shots, batch_size)
        x0 = self.sample(noise, conditioning, shots[0])
        values = self._autoencoder.decode(x0) if self._autoencoder else x0
        return np.asarray(values.float().cpu().numpy())

    def pixels(self, x0: torch.Tensor, shots: list[Shot]) -> torch.Tensor:
        """RGB uint8 [B, H, W, 3] of a batch, on the device.

        Raises FloatingPointError for a shot that came to nothing.
        """
        finite_B = x0.isfinite().flatten(1).all(1).tolist()
        for shot in shots:
            if not finite_B[shot.slot]:
                raise FloatingPointError(f"{shot.key}: sampling gave NaN or infinity")
        return to_pixels(self._autoencoder.decode(x0) if self._autoencoder else x0)

    def inputs(self, shots: list[Shot], batch_size: int) -> tuple[torch.Tensor, Conditioning]:
        """(noise [B, C, h, w] by Philox from each shot's seed, conditioning)."""
        size = (self._shape.channels, self._shape.side, self._shape.side)
        noise = np.zeros((batch_size, *size), np.float32)
        identity_BD = np.zeros((batch_size, self._shape.embedding_dim), np.float32)
        negative_BD = np.zeros_like(identity_BD)
        similarity_B, negative_similarity_B = np.zeros((2, batch_size), np.float32)
        guidance_B = np.full(batch_size, shots[0].guidance, np.float32)
        for shot in shots:
            slot, stream = shot.slot, np.random.Generator(np.random.Philox(shot.seed))
            stream.standard_normal(dtype=np.float32, out=noise[slot])
            vector_D = self._vector(first_condition(shot))
            identity_BD[slot] = turned(vector_D, shot.perturbation_cos, stream, self._flow)
            guidance_B[slot] = shot.guidance
            similarity_B[slot] = shot.similarity or 0.0
            if shot.negative_identity == shot.identity:
                negative_BD[slot] = identity_BD[slot]
                negative_similarity_B[slot] = self.most_similar
            elif shot.negative_identity >= 0:
                negative_BD[slot] = self._vector(shot.negative_identity)
                negative_similarity_B[slot] = shot.similarity or 0.0
        arrays = (noise, identity_BD, negative_BD, guidance_B, similarity_B, negative_similarity_B)
        noise_BCHW, *conditions = (torch.from_numpy(array).to(self._device) for array in arrays)
        conditioning = Conditioning(*conditions)
        if not self._shape.similarity_tokens:
            conditioning = replace(conditioning, similarity_B=None, negative_similarity_B=None)
        if self._pose:
            hint_BSHW = self._landmarks(shots, batch_size).to(self._device)
            conditioning = replace(conditioning, hint_BSHW=hint_BSHW)
        return noise_BCHW, self._with_second(conditioning, shots)

    def _with_second(self, conditioning: Conditioning, shots: list[Shot]) -> Conditioning:
        """The same with the second parents of mixes, turned as far as the first ones."""

        def condition(identity: int, shot: Shot) -> np.ndarray:
            stream = np.random.Generator(np.random.Philox(stream_seed(shot.seed, "second parent")))
            return turned(self._vector(identity), shot.perturbation_cos, stream, self._flow)

        batch_size, dim = conditioning.identity_BD.shape
        second = SecondConditions.of(shots, batch_size, dim, condition)
        if second is None:
            return conditioning
        second_BD = torch.from_numpy(second.identity_BD).to(self._device)
        weight_B = torch.from_numpy(second.weight_B).to(self._device)
        return replace(conditioning, second_BD=second_BD, weight_B=weight_B)

    def encode(self, images_NHWC: np.ndarray) -> torch.Tensor:
        """Images in the denoised space [N, C, h, w], on the CPU."""
        if self._autoencoder:
            return self._autoencoder.encode(images_NHWC)
        return to_network(images_NHWC)

    @torch.inference_mode()
    def denoising_error(
        self, x_BCHW: torch.Tensor, shots: list[Shot], level: float, seed: int
    ) -> np.ndarray:
        """Mean squared error [B] of the network's prediction for `encode`d images.

        They are at noise level t/T = `level`, with one noise of `seed` for all; each is denoised
        with the condition of the shot in its slot.
        """
        conditioning = self.inputs(shots, len(x_BCHW))[1]
        rng, shape = np.random.Generator(np.random.Philox(seed)), tuple(x_BCHW.shape[1:])
        noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(self._device)
        x = x_BCHW.to(self._device)
        t, schedule = timestep_at(self._schedule, level), self._schedule
        error_B = denoising_error(
            self._call, schedule, self._prediction, x, noise.expand_as(x), t, conditioning
        )
        return np.asarray(error_B.cpu().numpy())

    def _vector(self, identity: int) -> np.ndarray:
        """Unit vector [D] of an identity."""
        return np.asarray(self._roster_ND[row_of(identity, self._first, len(self._roster_ND))])

    def _landmarks(self, shots: list[Shot], batch_size: int) -> torch.Tensor:
        """Images of five points [B, 5, px, px] in the poses of the shots."""
        assert self._pose is not None
        px, points = self._shape.hint_px, np.full((batch_size, CHANNELS, 2), np.nan)
        for shot in shots:
            if shot.yaw is not None and shot.pitch is not None:
                rng = np.random.Generator(np.random.Philox(stream_seed(shot.seed, "points")))
                points[shot.slot] = self._pose.points(shot.yaw, shot.pitch, px, rng)
        return landmark_images(points, px)

    @torch.inference_mode()
    def sample(self, noise: torch.Tensor, conditioning: Conditioning, like: Shot) -> torch.Tensor:
        """The bare sampling loop: x0 of a batch in the denoised space, sampled as `like` says.

        A student (sampler.kind=distilled) has its guidance in it: one plain call a step.
        """
        if like.sampler == "distilled":
            plain_B = torch.ones_like(conditioning.guidance_B)
            conditioning = replace(conditioning, guidance_B=plain_B)
        interval = (like.guidance_from, like.guidance_to)
        ramp = (like.negative_from, like.negative_to)
        denoise = guided(self._call, self._schedule, self._prediction, conditioning, interval, ramp)
        return sample(
            like.sampler, denoise, noise, self._schedule, like.num_steps, like.timestep_spacing
        )


class SplitOnOutOfMemory:
    """A generator that runs its batches in 1, 2, 4... parts once GPU memory did not do for less.

    Only a GPU comes here (on a CPU memory is bounded by the plan); parts change the shape that a
    sample's bytes depend on, so they are remarked upon in the commit record.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self._parts = 1
        self.seconds = 0.0
        """Time spent in the generator, all batches together."""

    @property
    def remarks(self) -> list[str]:
        parts = [f"batches drawn in {self._parts} parts for want of memory"][: self._parts - 1]
        return [*parts, *self.generator.remarks]

    def generate(self, shots: list[Shot], batch_size: int) -> DrawnBatch:
        started = time.perf_counter()
        try:
            while True:
                try:
                    return self._in_parts(shots, batch_size)
                except torch.OutOfMemoryError:
                    if self._parts >= batch_size:
                        raise
                    self._parts *= 2
                torch.cuda.empty_cache()
        finally:
            self.seconds += time.perf_counter() - started

    def _in_parts(self, shots: list[Shot], batch_size: int) -> DrawnBatch:
        size = -(-batch_size // self._parts)
        if size == batch_size:
            return self.generator.generate(shots, batch_size)
        parts: dict[int, DrawnBatch] = {}
        for first in range(0, batch_size, size):
            members = [shot for shot in shots if first <= shot.slot < first + size]
            if members:
                placed = [replace(shot, slot=shot.slot - first) for shot in members]
                parts[first] = self.generator.generate(placed, size)
        return _joined(parts, batch_size)


def _joined(parts: dict[int, DrawnBatch], batch_size: int) -> DrawnBatch:
    """Parts of a batch by their first slots as the whole batch; zeros where no part is."""

    def join(arrays: dict[int, np.ndarray | None]) -> np.ndarray | None:
        whole: np.ndarray | None = None
        for first, part in arrays.items():
            if part is not None:
                if whole is None:
                    whole = np.zeros((batch_size, *part.shape[1:]), part.dtype)
                whole[first : first + len(part)] = part[: batch_size - first]
        return whole

    images = join({first: part.images_BHWC for first, part in parts.items()})
    assert images is not None, "a batch has at least one shot"
    return DrawnBatch(
        images,
        join({first: part.originals_BHWC for first, part in parts.items()}),
        join({first: part.visible_BHWC for first, part in parts.items()}),
        join({first: part.occluded_B for first, part in parts.items()}),
        rendered={
            first + slot: one
            for first, part in parts.items()
            for slot, one in part.rendered.items()
        },
    )
