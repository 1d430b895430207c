"""What padding costs a release: kept faces a second by the size of a unit and of top-up batches.

    python -m tests.benchmarks.topups

Units are drawn at random: each shot is kept with the demo's probability on an H100 (.62). A batch
takes as long as it took that GPU (results/gpu_h100_2026-11-26.json), smaller ones than 8 as long as
8: a model, not a run.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from factory.config import PlanConfig
from factory.planning.batches import used_fraction

MEASURED = Path(__file__).parent / "results" / "gpu_h100_2026-11-26.json"
KEPT, IMAGES, UNITS = 0.62, 16, 200


def main() -> None:
    rates = [row for row in json.loads(MEASURED.read_text())["faces_per_s"] if row["roster"] == 100]
    sizes = [row["micro_batch"] for row in rates]
    seconds = [row["micro_batch"] / row["faces_per_s"] for row in rates]
    for micro, topup in ((128, 4), (128, None), (512, 4), (512, None), (1024, None)):
        for people in (10, 40, 160, 640):
            plan = PlanConfig(identities_per_unit=people, micro_batch=micro, topup_batch=topup)
            rate = kept_per_s(people * IMAGES, plan, sizes, seconds)
            used = used_fraction(people * IMAGES, plan, KEPT)
            line = {"micro_batch": micro, "topup_batch": topup, "identities_per_unit": people}
            print(json.dumps(line | {"used": round(used, 2), "kept_faces_per_s": round(rate, 1)}))


def kept_per_s(shots: int, plan: PlanConfig, sizes: list[int], seconds: list[float]) -> float:
    """Kept faces a second of UNITS units."""
    assert plan.micro_batch is not None
    draw, kept, took = np.random.default_rng(0), 0, 0.0
    for _ in range(UNITS):
        missing = shots
        for attempt in range(plan.max_rounds):
            size = (plan.topup_batch or plan.micro_batch) if attempt else plan.micro_batch
            took += -(-missing // size) * float(np.interp(size, sizes, seconds))
            found = int(draw.binomial(missing, KEPT))
            kept, missing = kept + found, missing - found
    return kept / took


if __name__ == "__main__":
    main()
