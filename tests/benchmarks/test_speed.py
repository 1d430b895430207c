"""Speed as ratios of two things timed in one run, alternating; each prints a line of JSON.

python -m pytest tests/benchmarks -q -s
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from factory.config import ComputeConfig, SamplerConfig, load
from factory.diffusion.guidance import Conditioning, guided
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.sampler import sample
from factory.diffusion.uvit import Shape, UViT
from factory.training.engine import PlainEngine
from tests.benchmarks.drawing import shot_of
from tests.benchmarks.timing import fastest, report

DEMO = Path(__file__).parent.parent.parent / "configs" / "demo.yaml"
SHAPE = Shape(8, 14, 2, None, 256, 9, 4, 256)


pytestmark = pytest.mark.usefixtures("one_thread")


class Paired:
    """A generator that runs the bare sampling loop on each first-round batch before it draws it.

    So both meet the same moments of a noisy machine.
    """

    def __init__(self, generator):
        self._generator = generator
        self.bare_s, self.bare_shots = 0.0, 0

    @property
    def remarks(self):
        return self._generator.remarks

    def generate(self, shots, batch_size):
        if shots[0].attempt == 0:
            noise, conditioning = self._generator.inputs(shots, batch_size)
            started = time.perf_counter()
            self._generator.sample(noise, conditioning, shots[0])
            self.bare_s += time.perf_counter() - started
            self.bare_shots += len(shots)
        return self._generator.generate(shots, batch_size)


@pytest.mark.timeout(900)
def test_speed_of_light_of_the_demo(tmp_path):
    """Faces/s of two units of the demo, first shot to last commit, over the bare sampling loop."""
    from factory.planning.plan_writer import write_plan
    from factory.planning.preflight import preflight
    from factory.shards.layout import release_store
    from factory.synthesis.loading import load_release
    from factory.synthesis.maker import ShardMaker

    config = load(DEMO, [f"store.url={tmp_path}", "identities.num_virtual=20"])
    store = release_store(config)
    plan = write_plan(config, preflight(config), store)
    release = load_release(config, store)
    paired = Paired(release.generator)
    paired_release = dataclasses.replace(release, generator=paired)
    maker = ShardMaker.at(paired_release, store, config.fleet.max_queued_bytes)
    started = time.perf_counter()
    shards = [shard for unit in plan.units for shard in maker.make(unit.index)] + maker.flush()
    made_s = time.perf_counter() - started - paired.bare_s
    maker.close()
    bare_rate = paired.bare_shots / paired.bare_s
    made_rate = sum(shard.counts.shots for shard in shards) / made_s
    report("speed_of_light", made_rate / bare_rate, 0.8, bare=bare_rate, made=made_rate)


def test_our_sampler_against_diffusers_loop():
    """DPM-Solver++(2M), guided, 15 steps, the same network: their seconds over ours.

    The goal is 1.0; the floor leaves room for this machine's noise, since both make the same calls.
    """
    from diffusers import DPMSolverMultistepScheduler

    torch.manual_seed(0)
    network = UViT(SHAPE).eval().requires_grad_(False)
    schedule, noise, condition = NoiseSchedule(1000), torch.randn(4, 8, 14, 14), torch.randn(4, 256)
    guidance, no_identity = torch.full((4,), 1.5), torch.zeros(4, 256)
    scheduler = DPMSolverMultistepScheduler(
        1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        final_sigmas_type="zero",
    )

    @torch.inference_mode()
    def ours() -> None:
        denoise = guided(network, schedule, "v", Conditioning(condition, no_identity, guidance))
        sample("dpmpp_2m", denoise, noise, schedule, 15)

    @torch.inference_mode()
    def theirs() -> None:
        scheduler.set_timesteps(15)
        x, both = noise, torch.cat([condition, no_identity])
        for t in scheduler.timesteps:
            output = network(torch.cat([x, x]), t.expand(8), both)
            with_identity, without = output.chunk(2)
            mixed = without + 1.5 * (with_identity - without)
            x = scheduler.step(mixed, t, x).prev_sample

    ours_s, theirs_s = fastest(ours, theirs, repeats=8)
    report("sampler_vs_diffusers", theirs_s / ours_s, 0.97, ours_s=ours_s, theirs_s=theirs_s)


class Loss(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = UViT(SHAPE)

    def forward(self, x, t, condition):
        return (self.network(x, t, condition) - x).square().mean()


def test_training_step_against_a_bare_loop():
    """A step of our engine over the same step written out in torch: their seconds over ours."""
    x, t, condition = torch.randn(8, 8, 14, 14), torch.randint(0, 1000, (8,)), torch.randn(8, 256)
    ours, bare = Loss(), Loss()
    compute = ComputeConfig(device="cpu", precision="bf16")
    engine = PlainEngine(ours, torch.optim.AdamW, compute, grad_clip=1.0)
    optimizer = torch.optim.AdamW(bare.parameters())

    def ours() -> None:
        engine.backward(engine(x, t, condition))
        engine.step(lr=1e-4)

    def plain() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = bare(x, t, condition)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(bare.parameters(), 1.0)
        optimizer.step()

    ours_s, plain_s = fastest(ours, plain, repeats=8)
    report("training_step_vs_bare", plain_s / ours_s, 0.95, ours_s=ours_s, plain_s=plain_s)


@pytest.mark.timeout(900)
def test_training_on_cached_embeddings_against_computing_them():
    """A step of the demo's generator on cached latents and embeddings, in seconds.

    The ratio is that of the same step that encodes and embeds its batch over ours.
    """
    from factory.diffusion.autoencoder import Autoencoder
    from factory.diffusion.latent_cache import TrainingCache
    from factory.images import to_network
    from factory.recognition.embed import Recognizer
    from factory.sources import open_source, read_faces

    config, cpu = load(DEMO, ["source.num_identities=8"]), torch.device("cpu")
    faces = read_faces(open_source(config.source), 0.0)
    recognizer = Recognizer.load(config.recognizer.checkpoint, cpu)
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, cpu, "bf16")
    cache = TrainingCache(faces, recognizer, autoencoder, "image")
    engine = PlainEngine(Loss(), torch.optim.AdamW, ComputeConfig(device="cpu"), grad_clip=1.0)
    chosen, draw = np.arange(32), torch.Generator().manual_seed(0)
    t = torch.randint(0, 1000, (len(chosen),), generator=draw)

    def step(x, unit) -> None:
        engine.backward(engine(x, t, unit))
        engine.step(lr=1e-4)

    def ours() -> None:
        mirrored = (torch.rand(len(chosen), generator=draw) < 0.5).long().numpy()
        step(*cache.rows(mirrored, chosen))

    def plain() -> None:
        images = faces.images_NHWC[chosen]
        unit = recognizer.unit_features(to_network(images)).detach()
        step(autoencoder.encode(images), unit)

    ours_s, plain_s = fastest(ours, plain, repeats=5)
    report("cached_vs_computed", plain_s / ours_s, 1.2, ours_s=ours_s, plain_s=plain_s)


@pytest.mark.timeout(900)
def test_the_default_sampler_against_50_steps_of_ddim():
    """Shots a second of the demo's generator with its sampler over guided DDIM at 50 calls.

    Decoding is included (factory/diffusion/README.md has how alike their images are).
    """
    from factory import checkpoint
    from factory.diffusion.autoencoder import Autoencoder
    from factory.synthesis.generators import DiffusionGenerator

    config, cpu = load(DEMO), torch.device("cpu")
    loaded = checkpoint.load(config.generator.checkpoint, "generator", "generator.checkpoint")
    autoencoder = Autoencoder.load(config.autoencoder.checkpoint, cpu, "bf16")
    unit_1D = torch.nn.functional.normalize(torch.randn(1, 256)).numpy()
    generator = DiffusionGenerator(loaded, autoencoder, unit_1D, cpu, "bf16")
    sampler, size = config.sampler, int(config.plan.micro_batch or 8)

    def draw(sampler: SamplerConfig) -> None:
        shots = [dataclasses.replace(shot_of(0, i, sampler, 0, {}), seed=i) for i in range(size)]
        generator.generate(shots, size)

    ddim = dataclasses.replace(sampler, kind="ddim", num_steps=50)
    ours_s, ddim_s = fastest(lambda: draw(sampler), lambda: draw(ddim), repeats=5)
    report("default_vs_ddim50", ddim_s / ours_s, 3.0, ours_s=ours_s, ddim_s=ddim_s)
