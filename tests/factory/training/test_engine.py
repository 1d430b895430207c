"""Plain torch in one process and DeepSpeed in two give the same losses.

They go on from each other's states.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from factory.config import ComputeConfig
from factory.diffusion.uvit import Shape, UViT
from factory.training import distributed
from factory.training import engine as engine_module
from factory.training.distributed import mean_over_ranks
from factory.training.engine import STATE, DeepSpeedEngine, PlainEngine, start_engine
from tests.ranks import run_ranks

BATCH = 8


class Loss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.network = UViT(Shape(2, 4, 2, None, 16, 3, 2, 4))

    def forward(self, x, t, c, target):
        return (self.network(x, t, c) - target).square().mean()


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=1e-2)


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=1e-2, momentum=0.9, nesterov=True, weight_decay=0.1)


OPTIMIZERS = {"adamw": adamw, "sgd": sgd}


def steps(
    optimizer,
    first,
    stop,
    *,
    stage=1,
    accumulate=1,
    precision="fp32",
    device="cpu",
    resume=None,
    out=None,
):
    """Losses of steps first..stop-1 of this rank's engine; may go on from a state and leave one."""
    compute = ComputeConfig(
        device=device, precision=precision, zero_stage=stage, accumulate=accumulate
    )
    engine = start_engine(
        Loss(), OPTIMIZERS[optimizer], compute, grad_clip=1.0, resume=resume and Path(resume)
    )
    rank, world = distributed.rank(), distributed.world_size()
    losses, norms = [], []
    for step in range(first, stop):
        draw = torch.Generator().manual_seed(step)
        x = torch.randn(BATCH, 2, 4, 4, generator=draw)
        t = torch.randint(0, 100, (BATCH,), generator=draw)
        c = torch.randn(BATCH, 4, generator=draw)
        parts = []
        for part in torch.arange(BATCH).chunk(world)[rank].chunk(accumulate):
            batch = (tensor[part].to(engine.device) for tensor in (x, t, c, x.flip(3)))
            loss = engine(*batch)
            engine.backward(loss)
            parts.append(loss.detach())
        norm = engine.step(lr=1e-2)
        norms.append(None if norm is None else float(norm))
        losses.append(mean_over_ranks(torch.stack(parts).mean()).item())
    if out:
        Path(out).mkdir(exist_ok=True)
        engine.save(Path(out))
        distributed.wait_for_all()
    with engine.weights() as module:
        total = sum(float(p.detach().abs().sum()) for p in module.parameters())
    kind = type(engine).__name__
    return {"losses": losses, "norms": norms, "weights": total, "engine": kind}


def every_stage(optimizer: str, folder: str) -> dict[str, object]:
    """Ten steps of each ZeRO stage; six, saved, and four more resumed by the next stage."""
    runs = {}
    for stage in range(4):
        runs[f"whole {stage}"] = steps(optimizer, 0, 10, stage=stage)
        out, following = f"{folder}/{optimizer}{stage}", (stage + 1) % 4
        steps(optimizer, 0, 6, stage=stage, out=out)
        runs[f"resumed {stage}"] = steps(optimizer, 6, 10, stage=following, resume=out)
        runs[f"from one {stage}"] = steps(
            optimizer, 6, 10, stage=stage, resume=f"{folder}/one-{optimizer}"
        )
    runs["accumulated"] = steps(optimizer, 0, 10, accumulate=2)
    runs["bf16"] = steps(optimizer, 0, 10, stage=2, precision="bf16")
    return runs


@pytest.mark.timeout(400)
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_two_ranks_of_every_zero_stage_are_one_process(optimizer, tmp_path):
    one = steps(optimizer, 0, 10)
    assert one["engine"] == "PlainEngine"
    untrained = steps(optimizer, 9, 10)["losses"][0]
    assert abs(one["losses"][-1] - untrained) > 0.005  # so that equal losses mean equal steps
    steps(optimizer, 0, 6, out=tmp_path / f"one-{optimizer}")
    arguments = {"optimizer": optimizer, "folder": str(tmp_path)}
    ranks = run_ranks(f"{__name__}:every_stage", 2, arguments)
    for name, two in ranks[0].items():
        assert two["engine"] == "DeepSpeedEngine"
        loose = 0.05 if name == "bf16" else 1e-4
        wanted = one["losses"][-len(two["losses"]) :]
        assert two["losses"] == pytest.approx(wanted, rel=loose), name
        assert two["weights"] == pytest.approx(one["weights"], rel=loose), name
        if two["norms"] != [None] * len(two["norms"]):  # which stage 0 does not know
            assert two["norms"] == pytest.approx(one["norms"][-len(two["norms"]) :], rel=loose)
    with_norms = {name for name, two in ranks[0].items() if None not in two["norms"]}
    assert {f"whole {stage}" for stage in (1, 2, 3)} <= with_norms
    for stage in range(4):  # and back to one process
        back = steps(optimizer, 6, 10, resume=tmp_path / f"{optimizer}{stage}")
        assert back["losses"] == pytest.approx(one["losses"][6:], rel=1e-4)


def test_micro_batches_make_one_step():
    whole, parts = steps("adamw", 0, 5), steps("adamw", 0, 5, accumulate=4)
    assert parts["losses"] == pytest.approx(whole["losses"], rel=1e-5)


class Quadratic(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([3.0]))

    def forward(self, target):
        return (self.w - target).square().sum()


def quadratic_engine(clip: float = 0.0, resume: Path | None = None) -> PlainEngine:
    compute = ComputeConfig(device="cpu", precision="fp32")

    def optimizer(parameters):
        return torch.optim.SGD(parameters, lr=1.0, momentum=0.5)

    return PlainEngine(Quadratic(), optimizer, compute, grad_clip=clip, resume=resume)


def walk(engine: PlainEngine, count: int) -> PlainEngine:
    for _ in range(count):
        engine.backward(engine(torch.tensor([0.0])))
        engine.step(lr=0.1)
    return engine


def test_step_uses_the_given_learning_rate_and_clips():
    engine = quadratic_engine(clip=1.0)
    engine.backward(engine(torch.tensor([0.0])))
    norm = engine.step(lr=0.25)
    assert float(engine.module.w.detach()) == pytest.approx(2.75)  # gradient 6 clipped to 1
    assert float(norm) == pytest.approx(6)  # before it was clipped


def test_without_clipping_no_norm_is_known():
    engine = quadratic_engine()
    engine.backward(engine(torch.tensor([0.0])))
    assert engine.step(lr=0.25) is None
    assert float(engine.module.w.detach()) == pytest.approx(1.5)


@pytest.mark.parametrize(("largest", "bucket"), [(None, "all"), (10, 10)])
def test_deepspeed_sends_gradients_in_a_bucket_no_larger_than_they_are(
    monkeypatch, largest, bucket
):
    """It allocates the bucket whole at every step, 2 GB by its default."""
    import deepspeed

    settings = {}

    def initialize(model, optimizer, config):
        settings.update(config["zero_optimization"])
        return SimpleNamespace(module=model), optimizer, None, None

    monkeypatch.setattr(deepspeed, "initialize", initialize)
    if largest:
        monkeypatch.setattr(engine_module, "LARGEST_BUCKET", largest)
    module = Loss()
    DeepSpeedEngine(module, adamw, ComputeConfig(device="cpu", zero_stage=2))
    num_trained = sum(p.numel() for p in module.parameters())
    wanted = num_trained if bucket == "all" else bucket
    assert settings == {"stage": 2, "reduce_bucket_size": wanted}


def test_resume_goes_on_exactly(tmp_path):
    whole = walk(quadratic_engine(), 6)
    walk(quadratic_engine(), 3).save(tmp_path)
    assert torch.equal(whole.module.w, walk(quadratic_engine(resume=tmp_path), 3).module.w)


def test_a_state_never_unpickles_objects(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("executed",))

    torch.save({"module": Evil(), "moments": {}}, tmp_path / STATE)
    with pytest.raises(pickle.UnpicklingError):
        quadratic_engine(resume=tmp_path)
