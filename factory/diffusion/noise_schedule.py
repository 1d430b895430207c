"""The noise schedule and its three predictions (Ho et al. 2020).

The schedule is the cosine one of Nichol & Dhariwal 2021, eq 17; v is that of Salimans & Ho 2022.

x_t = sqrt(a_t)*x + sqrt(1-a_t)*eps, with a_t the cumulative product (alpha-bar) at timestep t.
"""

from __future__ import annotations

import math

import torch


class NoiseSchedule:
    """Cosine schedule of `num_timesteps` steps, betas capped at .999; a_t in float64."""

    def __init__(self, num_timesteps: int) -> None:
        self.num_timesteps = num_timesteps
        grid = torch.arange(num_timesteps + 1, dtype=torch.float64) / num_timesteps
        level = torch.cos((grid + 0.008) / 1.008 * math.pi / 2).square()
        betas = (1 - level[1:] / level[:-1]).clamp(max=0.999)
        self.alpha_bar_T = torch.cumprod(1 - betas, 0)
        self._copies: dict[torch.device, torch.Tensor] = {}
        self._alpha_bar: list[float] = self.alpha_bar_T.tolist()

    def alpha_bar_on(self, device: torch.device) -> torch.Tensor:
        """a_t [T] on a device, copied there once: a copy at every step would wait for a GPU."""
        if device not in self._copies:
            self._copies[device] = self.alpha_bar_T.to(device)
        return self._copies[device]

    def scales(self, t_B: torch.Tensor, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(sqrt(a_t), sqrt(1-a_t)) shaped to multiply `like` [B, ...]."""
        alpha_bar = self.alpha_bar_on(t_B.device)[t_B].view(-1, *[1] * (like.ndim - 1))
        return alpha_bar.sqrt().to(like.dtype), (1 - alpha_bar).sqrt().to(like.dtype)

    def add_noise(self, x: torch.Tensor, noise: torch.Tensor, t_B: torch.Tensor) -> torch.Tensor:
        """The noisy x_t of x."""
        signal, sigma = self.scales(t_B, x)
        return signal * x + sigma * noise

    def target(
        self, x: torch.Tensor, noise: torch.Tensor, t_B: torch.Tensor, prediction: str
    ) -> torch.Tensor:
        """What a network should predict: x, eps, or v = sqrt(a)*eps - sqrt(1-a)*x."""
        if prediction == "x0":
            return x
        if prediction == "epsilon":
            return noise
        signal, sigma = self.scales(t_B, x)
        return signal * noise - sigma * x

    def x0(
        self, output: torch.Tensor, x_t: torch.Tensor, t_B: torch.Tensor, prediction: str
    ) -> torch.Tensor:
        """The estimate x0^ by a network's output."""
        if prediction == "x0":
            return output
        signal, sigma = self.scales(t_B, x_t)
        if prediction == "epsilon":
            return (x_t - sigma * output) / signal
        return signal * x_t - sigma * output

    def x0_at(
        self, output: torch.Tensor, x_t: torch.Tensor, t: int, prediction: str
    ) -> torch.Tensor:
        """The same at one timestep of all samples, whose factors are plain numbers."""
        if prediction == "x0":
            return output
        signal, sigma = math.sqrt(self._alpha_bar[t]), math.sqrt(1 - self._alpha_bar[t])
        if prediction == "epsilon":
            return (x_t - sigma * output) / signal
        return signal * x_t - sigma * output

    def noise(self, x0: torch.Tensor, x_t: torch.Tensor, t_B: torch.Tensor) -> torch.Tensor:
        """The noise eps^ that belongs to an estimate x0^."""
        signal, sigma = self.scales(t_B, x_t)
        return (x_t - signal * x0) / sigma

    def loss_weight(self, t_B: torch.Tensor, weighting: str, prediction: str) -> torch.Tensor:
        """Weight of a sample's squared error in the network's own prediction.

        min_snr is min(snr, 5) on the x0 error (Hang et al. 2023), x0 is 1 on the x0 error; both are
        carried over to the prediction by the factor between the two errors.
        """
        alpha_bar_B = self.alpha_bar_on(t_B.device)[t_B]
        if weighting == "none":
            return torch.ones_like(alpha_bar_B)
        snr_B = alpha_bar_B / (1 - alpha_bar_B)
        one_B = torch.ones_like(snr_B)
        weight_B = snr_B.clamp(max=5) if weighting == "min_snr" else one_B
        return weight_B * {"x0": one_B, "epsilon": 1 / snr_B, "v": 1 - alpha_bar_B}[prediction]


def draw_timesteps(
    count: int, num_timesteps: int, law: str, generator: torch.Generator
) -> torch.Tensor:
    """Timesteps of a batch [count]: uniform, or t/T = sigmoid(N(0, 1)) (Esser et al. 2024)."""
    if law == "uniform":
        level_B = torch.rand(count, generator=generator)
    else:
        level_B = torch.sigmoid(torch.randn(count, generator=generator))
    return (level_B * num_timesteps).long().clamp(max=num_timesteps - 1)
