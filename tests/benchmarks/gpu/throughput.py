"""Faces a second by micro-batch and roster, the share of the card's peak, and where time goes."""

from __future__ import annotations

from typing import Any

import torch

from tests.benchmarks.gpu.machine import (
    Budget,
    median_s,
    operations,
    peak_memory,
    reset_peak,
    share_of_peak,
)
from tests.benchmarks.gpu.starter_maker import StarterMaker, open_maker, random_people, shots_for

SIZES = (8, 32, 128, 512, 1024, 2048)
ROSTERS = (100, 500_000)


def faces_per_s(device: torch.device, budget: Budget) -> list[dict[str, Any]]:
    """Drawn, embedded and scored faces a second, as a maker makes them; bare: drawn alone."""
    rows = []
    for roster in (100, 300) if budget.small else ROSTERS:
        reset_peak(device)
        real = random_people(roster // 5, seed=2)
        maker = open_maker(device, "bf16", random_people(roster), real)
        for size in (2,) if budget.small else SIZES:
            row: dict[str, Any] = {"micro_batch": size, "roster": roster, "real": len(real)}
            if budget.left_s > 0:
                row |= of_size(device, maker, size, budget.small)
            else:
                row["skipped"] = "no time was left"
            rows.append(row)
    return rows


def of_size(device: torch.device, maker: StarterMaker, size: int, small: bool) -> dict[str, Any]:
    """Rates of a micro-batch; the peak is that of the products and convolutions counted."""
    shots, repeats = shots_for(size, small), 1 if small else 2
    reset_peak(device)
    bare_s = median_s(device, lambda: maker.images(shots, size), repeats)
    whole_s = median_s(device, lambda: maker.whole(shots, size), repeats)
    few = min(size, 8)
    an_image = operations(lambda: maker.images(shots_for(few, small), few)) / few
    return {
        "faces_per_s": round(size / whole_s, 2),
        "bare_faces_per_s": round(size / bare_s, 2),
        "operations_a_face": an_image,
        "bare_share_of_peak": share_of_peak(device, size * an_image, bare_s),
        "peak_memory_bytes": peak_memory(device),
    }


def seconds_by_stage(device: torch.device, budget: Budget) -> list[dict[str, Any]]:
    """Seconds of a batch by stage."""
    rows, repeats = [], 1 if budget.small else 2
    for roster in (100,) if budget.small else ROSTERS:
        real = random_people(roster // 5, seed=2)
        maker = open_maker(device, "bf16", random_people(roster), real)
        for size in (2,) if budget.small else (8, 128, 1024):
            row: dict[str, Any] = {"micro_batch": size, "roster": roster}
            if budget.left_s > 0:
                stages = maker.stages(shots_for(size, budget.small), size)
                row |= {n: round(median_s(device, run, repeats), 6) for n, run in stages.items()}
            rows.append(row)
    return rows
