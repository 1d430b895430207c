"""Speed as ratios of two things timed in one run, alternating; each prints a line of JSON.

python -m pytest tests/benchmarks -q -s
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from factory.config import ComputeConfig, load
from factory.diffusion.process import Process
from factory.diffusion.sampler import SAMPLERS, guided
from factory.diffusion.uvit import Shape, UViT
from factory.distributed import PlainEngine
from tests.benchmarks.timing import fastest, report

DEMO = Path(__file__).parent.parent.parent / "configs" / "demo.yaml"
SHAPE = Shape(8, 14, 2, None, 256, 9, 4, 256)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.timeout(900)
def test_speed_of_light_of_the_demo(tmp_path):
    """Faces/s of a unit of the demo, first shot to last commit, over the bare sampling loop."""
    from factory.identities.plan import first_round
    from factory.identities.roster import Roster
    from factory.planning import write_plan
    from factory.preflight import preflight
    from factory.shards import layout
    from factory.store import open_store
    from factory.synthesis.maker import ShardMaker

    config = load(DEMO, [f"store.url={tmp_path}", "identities.num_virtual=10"])
    prefix = layout.prefix(config.release.dataset, config.release.version)
    store = open_store(config.store).below(prefix)
    plan = write_plan(config, preflight(config), store)
    roster = Roster.read(store.get(layout.ROSTER), store.get(layout.EMBEDDINGS))
    maker = ShardMaker.open(config, prefix)
    bare_generator = maker._generator._generator
    size = config.plan.micro_batch
    shots = first_round(plan.request, plan.units[0], roster)
    batches = [shots[i : i + size] for i in range(0, len(shots), size)]
    inputs = [bare_generator.inputs(batch, size) for batch in batches]

    def bare() -> None:
        for batch, (noise, condition) in zip(batches, inputs, strict=True):
            bare_generator.sample(noise, condition, batch[0])

    bare()
    before_s = fastest(bare, repeats=1)[0]
    started = time.perf_counter()
    shards = [shard for unit in plan.units for shard in maker.make(unit.index)] + maker.flush()
    made_s = time.perf_counter() - started
    maker.close()
    after_s = fastest(bare, repeats=1)[0]
    bare_rate = len(shots) / ((before_s + after_s) / 2)
    made_rate = sum(shard.counts.shots for shard in shards) / made_s
    report("speed_of_light", made_rate / bare_rate, 0.8, bare=bare_rate, made=made_rate)


def test_our_sampler_against_diffusers_loop():
    """DPM-Solver++(2M), guided, 15 steps, the same network: their seconds over ours.

    The goal is 1.0; the floor leaves room for this machine's noise, since both make the same calls.
    """
    from diffusers import DPMSolverMultistepScheduler

    torch.manual_seed(0)
    network = UViT(SHAPE).eval().requires_grad_(False)
    process, noise, condition = Process(1000), torch.randn(4, 8, 14, 14), torch.randn(4, 256)
    guidance, nobody = torch.full((4,), 1.5), torch.zeros(4, 256)
    scheduler = DPMSolverMultistepScheduler(
        1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        final_sigmas_type="zero",
    )

    @torch.inference_mode()
    def ours() -> None:
        denoise = guided(network, process, "v", condition, guidance)
        SAMPLERS["dpmpp_2m"](denoise, noise, process, 15)

    @torch.inference_mode()
    def theirs() -> None:
        scheduler.set_timesteps(15)
        x, both = noise, torch.cat([condition, nobody])
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
    mine, bare = Loss(), Loss()
    compute = ComputeConfig(device="cpu", precision="bf16")
    engine = PlainEngine(mine, torch.optim.AdamW(mine.parameters()), compute, grad_clip=1.0)
    optimizer = torch.optim.AdamW(bare.parameters())

    def ours() -> None:
        engine.step(engine(x, t, condition), lr=1e-4)

    def plain() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = bare(x, t, condition)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(bare.parameters(), 1.0)
        optimizer.step()

    ours_s, plain_s = fastest(ours, plain, repeats=8)
    report("training_step_vs_bare", plain_s / ours_s, 0.95, ours_s=ours_s, plain_s=plain_s)
