"""How alike an image is to be to its identity: CemiFace's condition m and its loss (METHODS 2).

m is asked for in training (CemiFace), or measured of each training image (measured_similarity.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

GRID = torch.arange(-25, 26) * 0.04
"""Values of m in training, -1 to 1: drawn from a continuous range they collapse (CemiFace)."""
QUANTILES = (0.0, 0.005, 0.05, 0.25, 0.5, 0.75, 0.95, 0.995, 1.0)
"""Of measured labels, kept in checkpoint.json."""
LOW, HIGH = "0.005", "0.995"
"""Quantiles that bound the similarities: one mislabeled image in 200 does not widen the range."""
MARGIN = 0.02
"""How far beyond these m may be asked for: half a step of GRID."""


def draw_similarities(count: int, generator: torch.Generator) -> torch.Tensor:
    """m of a batch [count], uniform over GRID."""
    return GRID[torch.randint(len(GRID), (count,), generator=generator)]


def similarity_loss(
    unit_BD: torch.Tensor, identity_BD: torch.Tensor, m_B: torch.Tensor, g_B: torch.Tensor
) -> torch.Tensor:
    """L_SimMat [B] = (1-g)*(1-s)^2 + g*(m-s)^2, with s the cosine of x0^ to the identity.

    g = t/T: noisy steps aim at m, the last ones at the identity itself.
    """
    s_B = F.cosine_similarity(unit_BD, identity_BD)
    return (1 - g_B) * (1 - s_B).square() + g_B * (m_B - s_B).square()


@dataclass(frozen=True)
class TrainingSimilarities:
    """Which measured similarities a generator learned from: `similarity` in checkpoint.json."""

    quantiles: dict[str, float]
    """Labels by the fraction of images below them, as QUANTILES."""
    num_images: int
    """Images and their mirrors with a label."""
    num_alone: int
    """Images whose person has no other, so that nothing is measured."""
    recognizers: tuple[str, ...]
    """sha256 of those that measured, the conditioning one first."""

    @classmethod
    def of(
        cls, m_N: np.ndarray, num_alone: int, recognizers: Sequence[str]
    ) -> TrainingSimilarities:
        """Those of labels [N]."""
        values = np.quantile(m_N.astype(np.float64), QUANTILES)
        named = {f"{q:g}": round(float(m), 4) for q, m in zip(QUANTILES, values, strict=True)}
        return cls(named, len(m_N), num_alone, tuple(recognizers))

    @classmethod
    def from_checkpoint(cls, config: dict[str, Any]) -> TrainingSimilarities | None:
        """What the config in a checkpoint.json keeps; None where similarities were asked for."""
        stored = config.get("similarity")
        if stored is None:
            return None
        kept = {name: stored[name] for name in ("quantiles", "num_images", "num_alone")}
        return cls(**kept, recognizers=tuple(stored["recognizers"]))

    def to_json(self) -> dict[str, Any]:
        return {"label": "measured", "center": "leave_one_out", **asdict(self)}

    @property
    def summary(self) -> str:
        """A line for the log of a training."""
        low, high = self.range
        return (
            f"similarities: {self.num_images} measured by {len(self.recognizers)} recognizers, "
            f"median {self.median:.3f}, {LOW} to {HIGH} of them from {low:.3f} to {high:.3f}; "
            f"{self.num_alone} images without others of their person"
        )

    @property
    def median(self) -> float:
        return self.quantiles["0.5"]

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest, a few images at both ends left out."""
        return self.quantiles[LOW], self.quantiles[HIGH]

    def is_outside(self, m: float) -> bool:
        """Whether m is farther than MARGIN outside the range."""
        low, high = self.range
        return not low - MARGIN <= m <= high + MARGIN
