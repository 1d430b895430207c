"""The denoising error by noise level: a mean over all levels hides which of them still learns."""

from __future__ import annotations

import torch

from factory.training.distributed import sum_over_ranks

LEVELS = 5


class LossByNoiseLevel:
    """Mean error of samples in LEVELS equal parts of t/T, since it was last taken."""

    def __init__(self, num_timesteps: int) -> None:
        self._num_timesteps = num_timesteps
        self._sums_2L: torch.Tensor | None = None

    def add(self, t_B: torch.Tensor, error_B: torch.Tensor) -> None:
        """Add the timesteps and errors of a batch; a GPU is not waited for."""
        device = error_B.device
        if self._sums_2L is None:
            self._sums_2L = torch.zeros(2, LEVELS, device=device)
        t_B = t_B.to(device, non_blocking=True)
        level_B = (t_B * LEVELS).div(self._num_timesteps, rounding_mode="floor").long()
        both_2B = torch.stack([error_B.float(), torch.ones_like(error_B, dtype=torch.float32)])
        self._sums_2L.index_add_(1, level_B, both_2B)

    def take(self) -> dict[str, list[float | None]]:
        """The means over all ranks, {"error_by_level": [...]}, None where no sample fell."""
        if self._sums_2L is None:
            return {}
        error_L, count_L = sum_over_ranks(self._sums_2L).tolist()
        self._sums_2L = None
        means = [e / c if c else None for e, c in zip(error_L, count_L, strict=True)]
        return {"error_by_level": [None if m is None else round(m, 6) for m in means]}
