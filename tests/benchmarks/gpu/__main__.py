"""What a GPU gives: agreement with the CPU in float64, speed, memory, trainings.

    python -m tests.benchmarks.gpu --out gpu.json                # eight minutes at most
    python -m tests.benchmarks.gpu --only correctness canary
    python -m tests.benchmarks.gpu --train 300                   # and five minutes of a training
    python -m tests.benchmarks.gpu --device cpu --small          # the rehearsal

Needs no network and no Ray. The JSON is written after each part. A part that raises is kept as
{"error": ...}, and one for which no time is left as {"skipped": ...}. Seconds are medians of
several runs after one that warms up, the device idle before and after each.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from factory.config import ComputeConfig
from factory.training.distributed import pick_device
from tests.benchmarks.gpu import canary, correctness, gate, memory, throughput, trainings
from tests.benchmarks.gpu.machine import Budget, machine

PARTS: dict[str, Callable[[torch.device, Budget], Any]] = {
    "correctness": correctness.measure,
    "canary": canary.measure,
    "faces_per_s": throughput.faces_per_s,
    "seconds_by_stage": throughput.seconds_by_stage,
    "out_of_memory": memory.back_off,
    "recognizer_memory": memory.recognizer_step,
    "steps_per_s": trainings.steps_per_s,
    "gate": gate.measure,
}
"""What is measured, in this order: what matters most comes first."""


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure the parts; all figures by part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="few sizes and steps")
    parser.add_argument("--only", nargs="+", choices=sorted(PARTS), help="parts; else all")
    parser.add_argument("--minutes", type=float, default=8.0, help="of all parts but --train")
    parser.add_argument("--train", type=float, metavar="SECONDS", help="train a generator so long")
    parser.add_argument("--out", type=Path, help="JSON file; else standard output")
    given = parser.parse_args(arguments)
    device = pick_device(ComputeConfig(device=given.device))
    budget = Budget(60 * given.minutes, given.small)
    figures: dict[str, Any] = {"machine": machine(device), "took_s": {}}
    parts = {name: part for name, part in PARTS.items() if name in (given.only or PARTS)}
    if given.train:
        parts["training"] = lambda device, _: trainings.recipe(device, given.train, given.small)
    for name, part in parts.items():
        started = time.perf_counter()
        figures[name] = run(part, device, budget, name == "training")
        figures["took_s"][name] = round(time.perf_counter() - started, 1)
        print(json.dumps({name: figures[name]}), flush=True)
        if given.out:
            given.out.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def run(
    part: Callable[[torch.device, Budget], Any], device: torch.device, budget: Budget, extra: bool
) -> Any:
    """The figures of a part; what went wrong where it raised, or that no time was left."""
    if not extra and budget.left_s <= 0:
        return {"skipped": f"no time was left of --minutes {budget.total_s / 60:g}"}
    try:
        return part(device, budget)
    except Exception as error:  # because the other parts are worth their minutes all the same
        return {"error": repr(error), "where": traceback.format_exc().splitlines()[-7:-1]}
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
