"""Plain torch in one process and DeepSpeed in two give the same losses."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

from factory.config import ComputeConfig
from factory.distributed import PlainEngine, mean_over_ranks, pick_device, start_engine
from factory.errors import ConfigError

SCRIPT = """
import json, os, sys, torch
from factory.config import ComputeConfig
from factory.distributed import mean_over_ranks, start_engine
from factory.diffusion.uvit import Shape, UViT

class Loss(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = UViT(Shape(2, 4, 2, None, 16, 3, 2, 4))

    def forward(self, x, t, c, target):
        return (self.network(x, t, c) - target).square().mean()

torch.manual_seed(0)
model = Loss()
compute = ComputeConfig(device="cpu", precision="fp32", zero_stage=int(sys.argv[1]))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
engine = start_engine(model, optimizer, compute, grad_clip=1.0)
draw = torch.Generator().manual_seed(1)
losses = []
for step in range(10):
    x = torch.randn(8, 2, 4, 4, generator=draw)
    t = torch.randint(0, 100, (8,), generator=draw)
    c = torch.randn(8, 4, generator=draw)
    share = slice(engine.rank * 8 // engine.world_size, (engine.rank + 1) * 8 // engine.world_size)
    loss = engine(x[share], t[share], c[share], x.flip(3)[share])
    engine.step(loss, lr=1e-2)
    losses.append(float(mean_over_ranks(loss.detach())))
if engine.rank == 0:
    print("LOSSES", json.dumps(losses), type(engine).__name__)
"""


def run_script(world_size: int, stage: int = 1) -> tuple[list[float], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(world_size):
        placed = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size, "MASTER_PORT": port}
        env = os.environ | {k: str(v) for k, v in placed.items()} | {"MASTER_ADDR": "127.0.0.1"}
        env["OMP_NUM_THREADS"] = "1"
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(stage)]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe, text=True))
    outputs = [process.communicate(timeout=240) for process in processes]
    assert all(process.returncode == 0 for process in processes), outputs[0][1][-2000:]
    line = next(line for line in outputs[0][0].splitlines() if "LOSSES" in line)
    losses, engine = line.split("LOSSES ")[1].rsplit(" ", 1)
    return json.loads(losses), engine


@pytest.mark.timeout(400)
@pytest.mark.parametrize("stage", [0, 2])
def test_ten_steps_of_both_engines_give_the_same_losses(stage):
    plain, plain_name = run_script(1)
    sharded, sharded_name = run_script(2, stage)
    assert (plain_name, sharded_name) == ("PlainEngine", "DeepSpeedEngine")
    assert plain[-1] < plain[0]
    np.testing.assert_allclose(sharded, plain, rtol=1e-4)


class Quadratic(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([3.0]))

    def forward(self, target):
        return (self.w - target).square().sum()


def quadratic_engine(clip: float = 0.0) -> PlainEngine:
    module = Quadratic()
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0, momentum=0.5)
    return PlainEngine(module, optimizer, ComputeConfig(device="cpu", precision="fp32"), clip)


def test_step_uses_the_given_learning_rate_and_clips():
    engine = quadratic_engine(clip=1.0)
    engine.step(engine(torch.tensor([0.0])), lr=0.25)
    assert float(engine.module.w.detach()) == pytest.approx(2.75)  # gradient 6 clipped to 1


def test_resume_goes_on_exactly(tmp_path):
    target = torch.tensor([0.0])
    whole, first, second = (quadratic_engine() for _ in range(3))
    for _ in range(6):
        whole.step(whole(target), lr=0.1)
    for _ in range(3):
        first.step(first(target), lr=0.1)
    first.save(tmp_path, {"step": 3})
    assert second.load(tmp_path) == {"step": 3}
    for _ in range(3):
        second.step(second(target), lr=0.1)
    assert torch.equal(whole.module.w, second.module.w)
    assert quadratic_engine().load(tmp_path / "none") is None


def test_one_process_is_plain_and_means_are_itself(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    module = Quadratic()
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    engine = start_engine(module, optimizer, ComputeConfig(device="cpu"))
    assert isinstance(engine, PlainEngine)
    assert mean_over_ranks(torch.tensor(2.0)) == 2.0


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"compute\.device"):
        pick_device(ComputeConfig(device="cuda"))
