"""Whether a device draws the same twice, and how far other batch shapes change an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from factory.records import Shot
from tests.benchmarks.gpu.machine import Budget
from tests.benchmarks.gpu.starter_maker import StarterMaker, open_maker, random_people, shots_for


def measure(device: torch.device, budget: Budget) -> dict[str, Any]:
    """By precision: the same batch twice, and its first images in larger batches."""
    sizes = (2, 3) if budget.small else (8, 32, 128, 512)
    precisions = ("bf16",) if budget.small else ("fp32", "bf16")
    return {p: of_precision(device, p, sizes, budget.small) for p in precisions}


def of_precision(
    device: torch.device, precision: str, sizes: tuple[int, ...], small: bool
) -> dict[str, Any]:
    maker = open_maker(device, precision, random_people(100))
    first = drawn(maker, shots_for(sizes[0], small))
    figures: dict[str, Any] = {
        "same_bytes_twice": same(first, drawn(maker, shots_for(sizes[0], small)))
    }
    figures["batch_shapes"] = [
        {"micro_batch": size} | difference(first, drawn(maker, shots_for(size, small), sizes[0]))
        for size in sizes[1:]
    ]
    return figures


def drawn(maker: StarterMaker, shots: list[Shot], count: int | None = None) -> list[np.ndarray]:
    """Images, embeddings and cosines of the first `count` slots of a batch."""
    batch, unit_BD, scores = maker.whole(shots, len(shots))
    columns = [batch.images_BHWC, unit_BD, np.array([one.own_cosine for one in scores])]
    return [np.asarray(column)[:count] for column in columns]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def difference(one: list[np.ndarray], other: list[np.ndarray]) -> dict[str, float]:
    """Grey levels between the images, the lowest cosine of embeddings, and that of the scores."""
    gray = np.abs(one[0].astype(np.int16) - other[0].astype(np.int16))
    return {
        "same_bytes": float(same(one, other)),
        "grey_levels_mean": float(gray.mean()),
        "grey_levels_max": float(gray.max()),
        "face_cosine_min": float((one[1] * other[1]).sum(1).min()),
        "score_difference_max": float(np.abs(one[2] - other[2]).max()),
    }
