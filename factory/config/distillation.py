"""A student of few network calls, which learns what its teacher draws with guidance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from factory.config.field import file_path, knob
from factory.errors import ConfigError

if TYPE_CHECKING:
    from factory.config.release import SamplerConfig

MOST_CALLS = 4
"""Most network calls an image for sampler.kind=distilled; students of more are teachers."""


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """Distillation of a generator: each step of the student is several guided ones of the teacher.

    Guidance is folded in (Meng et al. 2023), steps are merged as in progressive distillation
    (Salimans & Ho 2022): with substeps=1 and num_steps=16 the student learns guidance alone, with
    substeps=2 and that student as the teacher two steps become one, and so on; with num_steps=4 and
    several substeps one training does both.
    """

    teacher: str = file_path("starter:generator", or_name="checkpoint")
    """Generator checkpoint that is learned from and begun with: one as trained, or a student of
    num_steps times substeps calls."""
    guidance: float = knob(1.5, low=0.0, high=20.0)
    """g in x0 = u + g*(c - u) of the teacher, which becomes part of the student for good. A student
    as teacher must have learned the same one."""
    num_steps: int = knob(4, low=1, high=512)
    """Network calls an image of the student; sampler.kind=distilled draws with at most 4."""
    substeps: int = knob(5, low=1, high=512)
    """Steps of the teacher that one of the student replaces."""
    solver: Literal["ddim", "dpmpp_2m"] = "dpmpp_2m"
    """How the teacher goes: by DDIM, as in both papers, or by DPM-Solver++ 2M begun anew in each
    step of the student, which costs as much and comes nearer to the ODE."""
    inputs: Literal["noised", "drawn"] = "noised"
    """What a step begins from in training. noised: faces of the source with noise (Salimans & Ho);
    drawn: what the student itself has drawn so far from pure noise, as when it is used (Imagine
    Flash, Kohler et al. 2024), for which the source gives conditions alone."""
    epochs: float = knob(5.0, low=0.0)
    """Passes over the source."""
    batch_size: int = knob(32, low=1)
    """Images a step over all processes."""
    lr: float = knob(3e-4, low=0.0)
    """Learning rate of AdamW."""
    warmup_steps: int = knob(20, low=0)
    """Steps of linear rise of lr from 0."""
    weight_decay: float = knob(0.0, low=0.0)
    """Decoupled weight decay of AdamW."""
    decay_fraction: float = knob(1.0, low=0.0, high=1.0)
    """Last fraction of the training in which lr falls linearly to 0; all of it as in the paper."""
    grad_clip: float = knob(1.0, low=0.0)
    """Largest gradient norm; 0 switches clipping off."""
    ema: float = knob(0.999, low=0.0, high=0.99999)
    """Decay of the weights' moving average, which is the student: min(ema, (1+t)/(10+t)) at step
    t."""


def check_distilled_sampler(sampler: SamplerConfig, method: str) -> None:
    """Raise ConfigError for what a student cannot be asked for, or what only a student can."""
    if sampler.kind != "distilled":
        if sampler.guidance is None:
            raise ConfigError(
                f"sampler.guidance: got null with sampler.kind={sampler.kind}; want a number, or "
                "sampler.kind=distilled, whose guidance was learned"
            )
        return
    if method != "diffusion":
        raise ConfigError(
            f"sampler.kind: got 'distilled' with release.method={method}; want ddim or unipc, "
            "because students draw people from embeddings alone"
        )
    if sampler.num_steps > MOST_CALLS:
        raise ConfigError(
            f"sampler.num_steps: got {sampler.num_steps} with sampler.kind=distilled; want what "
            f"the generator was distilled for, at most {MOST_CALLS}"
        )
    fixed = {
        "timestep_spacing": "trailing",
        "guidance_interval": (0.0, 1.0),
        "negative_condition": "none",
    }
    for name, wanted in fixed.items():
        got = getattr(sampler, name)
        if (tuple(got) if isinstance(got, list | tuple) else got) != wanted:
            raise ConfigError(
                f"sampler.{name}: got {got!r} with sampler.kind=distilled, which has learned one "
                f"way of drawing; want {wanted!r}"
            )
