"""Steps a second of trainings, by plain torch and by DeepSpeed's ZeRO; the starter's recipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from factory.config import load
from factory.diffusion.train import train as train_generator
from tests.benchmarks.gpu.machine import Budget
from tests.benchmarks.gpu.starter_maker import DEMO
from tests.ports import free_ports

ENGINES = ("plain", "0", "1", "2", "3")
LONGEST_S = 120.0
"""Seconds that a process may take to start and measure."""
RECIPE = ("generator.width=240", "generator.num_heads=5", "generator.batch_size=64")


def steps_per_s(device: torch.device, budget: Budget) -> list[dict[str, Any]]:
    """Rates of a recognizer's and a generator's steps by engine, each in a process of its own."""
    engines = ("plain", "2") if budget.small else ENGINES
    return [of_engine(device, engine, budget) for engine in engines]


def of_engine(device: torch.device, engine: str, budget: Budget) -> dict[str, Any]:
    """What tests.benchmarks.gpu.steps prints; why there is nothing where it does not."""
    row: dict[str, Any] = {"engine": engine if engine == "plain" else f"ZeRO {engine}"}
    if budget.left_s <= 0:
        return row | {"skipped": "no time was left"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.gpu.steps", device.type]
    command += [engine] + ["--small"] * budget.small
    group = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1"}
    env = os.environ | group | {"MASTER_PORT": str(free_ports(1)[0])}
    limit_s = budget.left_s if budget.small else min(LONGEST_S, budget.left_s)
    try:
        ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return row | {"skipped": f"it took more than {limit_s:.0f} s"}
    if ended.returncode:
        return row | {"skipped": f"it could not start: {ended.stderr.strip()[-500:]}"}
    return row | dict(json.loads(ended.stdout.splitlines()[-1]))


def recipe(device: torch.device, seconds: float, small: bool) -> dict[str, Any]:
    """The starter generator's recipe on the starter pack for about so long, after a trial."""
    changes = ("generator.batch_size=4", "source.num_identities=2") if small else ()
    trial = 2 if small else 30
    rate = trained(device, trial, *changes)["steps_per_s"]
    return {"seconds_asked": seconds} | trained(device, max(trial, int(rate * seconds)), *changes)


def trained(device: torch.device, steps: int, *changes: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as out:
        settings = [
            f"compute.device={device.type}",
            f"training.out={out}",
            f"training.max_steps={steps}",
            f"training.log_every={max(1, steps // 8)}",
            "generator.epochs=1000000",
        ]
        config = load(DEMO, [*settings, *RECIPE, *changes])
        train_generator(config, lambda line: None)
        lines = (Path(out) / "history.jsonl").read_text().splitlines()
    history = [json.loads(line) for line in lines]
    return {
        "steps": steps,
        "batch_size": config.generator.batch_size,
        "images_per_s": history[-1]["images_per_s"],
        "steps_per_s": history[-1]["images_per_s"] / config.generator.batch_size,
        "losses": [round(line["loss"], 5) for line in history],
    }
