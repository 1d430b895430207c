"""What a student of few calls learns: several guided steps of its teacher as one (METHODS 1).

Guidance distillation is Meng et al. 2023 (section 3.1, here at one fixed weight), merging of steps
progressive distillation (Salimans & Ho 2022, algorithm 2 and appendix G). Both keep the teacher's
ODE: a student draws from the same noise what the teacher draws, and needs no further noise.

With a = alpha_bar, a step of DDIM (eta 0) from t to s is, for an estimate x0^ at t,

    x_s = sqrt(a_s)*x0^ + sqrt(1-a_s)/sqrt(1-a_t) * (x_t - sqrt(a_t)*x0^)

and s = CLEAN has a_s = 1, so that x_s is x0^ itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from factory.diffusion.guidance import Network
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.sampler import spaced_timesteps
from factory.diffusion.uvit import UViT
from factory.errors import CheckpointError

CLEAN = -1
"""The timestep after the last one, where there is no noise."""


@dataclass(frozen=True)
class Conditions:
    """What the faces of a batch are drawn from, in addition to guidance."""

    identity_BD: torch.Tensor
    similarity_B: torch.Tensor | None = None
    hint_BSHW: torch.Tensor | None = None

    def rows(self, chosen: slice) -> Conditions:
        """Those of some of the batch."""
        parts = (self.identity_BD, self.similarity_B, self.hint_BSHW)
        return Conditions(*(None if part is None else part[chosen] for part in parts))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Denoiser:
    """A network that estimates x0, and its guidance; with 1 it is called once, with no other."""

    network: Network
    schedule: NoiseSchedule
    prediction: str
    guidance: float = 1.0

    def x0(self, x_t: torch.Tensor, t_B: torch.Tensor, given: Conditions) -> torch.Tensor:
        """u + g*(c - u) [B, C, H, W], with u the answer without an identity (at similarity 0)."""
        if self.guidance == 1:
            return self._unguided(x_t, t_B, given)
        twice = Conditions(
            torch.cat([given.identity_BD, torch.zeros_like(given.identity_BD)]),
            _with_zeros(given.similarity_B),
            None if given.hint_BSHW is None else torch.cat([given.hint_BSHW] * 2),
        )
        x_twice, t_twice = torch.cat([x_t, x_t]), torch.cat([t_B, t_B])
        wanted, nobody = self._unguided(x_twice, t_twice, twice).chunk(2)
        return nobody + self.guidance * (wanted - nobody)

    def _unguided(self, x_t: torch.Tensor, t_B: torch.Tensor, given: Conditions) -> torch.Tensor:
        """The answer under `given` alone, at timesteps of their own."""
        hints = {} if given.hint_BSHW is None else {"hint_BSHW": given.hint_BSHW}
        output = self.network(x_t, t_B, given.identity_BD, given.similarity_B, **hints)
        return self.schedule.x0(output, x_t, t_B, self.prediction)


def step_grid(schedule: NoiseSchedule, num_steps: int, substeps: int) -> torch.Tensor:
    """Timesteps [num_steps, substeps + 1] from the begin of each student's step to its end.

    Those of the teacher are "trailing", so a row's first entries are the student's own trailing
    timesteps, and each row ends where the next begins, the last one at CLEAN.
    """
    fine = [*spaced_timesteps(schedule, num_steps * substeps, "trailing"), CLEAN]
    return torch.tensor([fine[i * substeps : (i + 1) * substeps + 1] for i in range(num_steps)])


def draw_stages(count: int, num_steps: int, generator: torch.Generator) -> torch.Tensor:
    """Which step of the student each sample is of [count], ascending.

    Systematic sampling: each step is expected count / num_steps times, and comes at most one time
    more or less often.
    """
    offset = torch.rand((), generator=generator, dtype=torch.float64)
    return ((torch.arange(count) + offset) * num_steps / count).long().clamp(max=num_steps - 1)


def scales_at(
    schedule: NoiseSchedule, t_B: torch.Tensor, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(sqrt(a_t), sqrt(1-a_t)) shaped to multiply `like`, 1 and 0 at CLEAN."""
    signal, sigma = schedule.scales(t_B.clamp(min=0), like)
    clean = (t_B == CLEAN).view(signal.shape)
    return torch.where(clean, 1.0, signal), torch.where(clean, 0.0, sigma)


def ddim_step(
    schedule: NoiseSchedule,
    x0: torch.Tensor,
    x_t: torch.Tensor,
    t_B: torch.Tensor,
    next_B: torch.Tensor,
) -> torch.Tensor:
    """x at timesteps `next_B`, from that at `t_B`; next_B = t_B gives x_t back."""
    signal, sigma = scales_at(schedule, t_B, x_t)
    next_signal, next_sigma = scales_at(schedule, next_B, x_t)
    return next_signal * x0 + next_sigma / sigma * (x_t - signal * x0)


def slope_2m(
    schedule: NoiseSchedule, x0: torch.Tensor, before: torch.Tensor, times_B3: torch.Tensor
) -> torch.Tensor:
    """The x0 of a step of DPM-Solver++ 2M (Lu et al. 2022, algorithm 2), which `ddim_step` makes.

    x0 + (x0 - before) * h/(2*h'), with h the step in lambda = log(sqrt(a)/sqrt(1-a)) from the
    second of three timesteps to the third, and h' from the first, where `before` was estimated, to
    the second. x0 itself where the third is CLEAN.
    """
    alpha_bar = schedule.alpha_bar_on(times_B3.device)[times_B3.clamp(min=0)]
    lambda_B3 = (alpha_bar.log() - (1 - alpha_bar).log()) / 2
    ratio_B = (lambda_B3[:, 2] - lambda_B3[:, 1]) / (lambda_B3[:, 1] - lambda_B3[:, 0]) / 2
    ratio_B = torch.where(times_B3[:, 2] == CLEAN, 0.0, ratio_B)
    return x0 + (x0 - before) * ratio_B.to(x0.dtype).view(-1, *[1] * (x0.ndim - 1))


def x0_of_step(
    schedule: NoiseSchedule,
    x_end: torch.Tensor,
    x_t: torch.Tensor,
    t_B: torch.Tensor,
    end_B: torch.Tensor,
) -> torch.Tensor:
    """The x0 by which one `ddim_step` from x_t at t_B ends in x_end at end_B (Salimans & Ho, x~).

    x~ = (x_end - r*x_t) / (sqrt(a_end) - r*sqrt(a_t)), r = sqrt(1-a_end) / sqrt(1-a_t).
    """
    signal, sigma = scales_at(schedule, t_B, x_t)
    end_signal, end_sigma = scales_at(schedule, end_B, x_t)
    ratio = end_sigma / sigma
    return (x_end - ratio * x_t) / (end_signal - ratio * signal)


class DistillationLoss(nn.Module):
    """Squared error of the student's x0^ to the x0 by which its step ends where the teacher's do.

    Weighted by SNR + 1 = 1/(1-a_t) (Salimans & Ho, section 4), which is the plain error on v.
    """

    def __init__(
        self,
        network: UViT,
        teacher: Denoiser,
        grid_NS: torch.Tensor,
        *,
        solver: str = "ddim",
        drawn: bool = False,
    ) -> None:
        """The student `network` learns to be called as the teacher is, without its guidance.

        `grid_NS` are the timesteps of `step_grid`, `solver` is distillation.solver, `drawn` is
        distillation.inputs=drawn.
        """
        super().__init__()
        self.network = network
        self._teacher = teacher  # no Module, so that it is none of parameters()
        self._student = replace(teacher, network=network, guidance=1.0)
        self._schedule = teacher.schedule
        self._grid_NS, self._drawn = grid_NS, drawn
        self._second_order = solver == "dpmpp_2m"

    def forward(
        self,
        x_BCHW: torch.Tensor,
        noise: torch.Tensor,
        stage_B: torch.Tensor,
        identity_BD: torch.Tensor,
        similarity_B: torch.Tensor | None = None,
        hint_BSHW: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The mean loss; `stage_B` (ascending) says which of its steps the student is to learn."""
        given = Conditions(identity_BD, similarity_B, hint_BSHW)
        grid_BS = self._grid_NS.to(stage_B.device)[stage_B]
        t_B = grid_BS[:, 0]
        with torch.no_grad():
            if self._drawn:
                x_t = self._rolled(noise, stage_B, given)
            else:
                x_t = self._schedule.add_noise(x_BCHW, noise, t_B)
            target = self.target(x_t, grid_BS, given)
        x0 = self._student.x0(x_t, t_B, given)
        _, sigma = self._schedule.scales(t_B, x_t)
        return ((x0 - target) / sigma).square().mean()

    def target(self, x_t: torch.Tensor, grid_BS: torch.Tensor, given: Conditions) -> torch.Tensor:
        """The x0 by which one step from x_t does what the teacher's along `grid_BS` do."""
        x, before = x_t, None
        for index in range(grid_BS.shape[1] - 1):
            now_B, next_B = grid_BS[:, index], grid_BS[:, index + 1]
            x0 = self._teacher.x0(x, now_B, given)
            slope = x0
            if before is not None and self._second_order:
                slope = slope_2m(self._schedule, x0, before, grid_BS[:, index - 1 : index + 2])
            x, before = ddim_step(self._schedule, slope, x, now_B, next_B), x0
        return x0_of_step(self._schedule, x, x_t, grid_BS[:, 0], grid_BS[:, -1])

    def _rolled(
        self, noise: torch.Tensor, stage_B: torch.Tensor, given: Conditions
    ) -> torch.Tensor:
        """What the student has drawn from `noise` where each sample's stage begins."""
        x, grid_NS = noise.clone(), self._grid_NS.to(noise.device)
        for stage in range(len(grid_NS) - 1):
            later = slice(int((stage_B <= stage).sum()), None)  # because stages ascend
            part = x[later]
            if len(part):
                t_B, next_B = (grid_NS[stage, i].expand(len(part)) for i in (0, -1))
                rows = given.rows(later)
                x0 = self._student.x0(part, t_B, rows)
                x[later] = ddim_step(self._schedule, x0, part, t_B, next_B)
        return x


def distilled_facts(config: dict[str, Any]) -> dict[str, Any] | None:
    """What a generator was distilled for, by the config in its checkpoint.json; None of others."""
    facts = config.get("distilled")
    return dict(facts) if facts else None


def refuse_student(config: dict[str, Any], key: str) -> None:
    """Raise CheckpointError for a student, by its checkpoint's config, where `key` names it.

    It denoises at a few noise levels alone, and answers with the end of a step, not with x0.
    """
    if distilled_facts(config):
        raise CheckpointError(f"{key}: is a distilled student; want its teacher")


def _with_zeros(similarity_B: torch.Tensor | None) -> torch.Tensor | None:
    return None if similarity_B is None else torch.cat([similarity_B, 0 * similarity_B])
