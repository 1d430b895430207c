"""Networks and losses written out on the CPU in float64, which devices are compared with."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from factory.config import RecognizerConfig
from factory.recognition.margin import arcface

GRAY = np.array([0.299, 0.587, 0.114])
"""Rec. 601 luma of RGB."""


def relative_error(actual: torch.Tensor, reference: torch.Tensor) -> float:
    """|actual - reference| / |reference| over all values."""
    reference = reference.detach().cpu()
    error = actual.detach().double().cpu() - reference
    return float(error.norm() / reference.norm())


def in_float64(module: nn.Module) -> nn.Module:
    """A copy on the CPU in float64, whose layers take inputs of any precision."""
    module = copy.deepcopy(module).cpu().double()
    for layer in module.modules():
        if next(layer.parameters(recurse=False), None) is not None:
            layer.register_forward_pre_hook(_as_its_weights)
    return module


def _as_its_weights(layer: nn.Module, inputs: tuple) -> tuple:
    return tuple(
        x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in inputs
    )


@contextmanager
def float64_by_default() -> Iterator[None]:
    """Context in which constants that are made are in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def margin_softmax(
    recipe: RecognizerConfig,
    weight_RD: torch.Tensor,
    features_BD: torch.Tensor,
    labels_B: torch.Tensor,
    margin: float,
) -> torch.Tensor:
    """The loss of ArcFace over all classes by torch's own cross-entropy."""
    cosine_BR = F.normalize(features_BD) @ F.normalize(weight_RD).T
    target_B = arcface(cosine_BR.gather(1, labels_B[:, None]).squeeze(1), margin)
    cosine_BR = cosine_BR.scatter(1, labels_B[:, None], target_B[:, None])
    return F.cross_entropy(recipe.scale * cosine_BR, labels_B)


def scores_of(
    images_BHWC: np.ndarray,
    unit_BD: np.ndarray,
    people_B: list[int],
    roster_ND: np.ndarray,
    real_MD: np.ndarray,
) -> dict[str, np.ndarray]:
    """Scores of a batch, one face after the other: the own cosine, the nearest, the image's."""
    unit_BD, roster_ND, real_MD = (x.astype(np.float64) for x in (unit_BD, roster_ND, real_MD))
    columns: dict[str, list[float]] = {}
    for image_HWC, unit_D, person in zip(images_BHWC, unit_BD, people_B, strict=True):
        gray = image_HWC.astype(np.float64) @ GRAY
        around = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:]
        figures = {
            "own_cosine": roster_ND[person] @ unit_D,
            "nearest_other_cosine": np.delete(roster_ND, person, 0).dot(unit_D).max(),
            "nearest_real_cosine": (real_MD @ unit_D).max(),
            "sharpness": (around - 4 * gray[1:-1, 1:-1]).var(),
            "brightness": gray.mean(),
        }
        for name, value in figures.items():
            columns.setdefault(name, []).append(float(value))
    return {name: np.array(values) for name, values in columns.items()}
