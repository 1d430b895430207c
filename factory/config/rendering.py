"""People rendered by number: how they are drawn, and how images of them are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from factory.config.field import knob

LABELS = "labels"
MASKS = (
    *("background", "skin", "eyes", "mouth", "hair", "brows", "beard", "glasses", "sunglasses"),
    *("occluder", "hat", "clothes", LABELS),
)
"""Names of masks by the values of rendering.parts.Label; labels is all of them in one."""


@dataclass(frozen=True, kw_only=True)
class RenderingConfig:
    """Rendered people: release.method=render and source.kind=rendered."""

    seed: int = knob(0, low=0)
    """Another seed gives other people; the same one gives person N the same face for ever."""
    first_person: int = knob(0, low=0)
    """Number of the first person of a release; a source has source.first_person."""
    groups: dict[str, float] = field(default_factory=dict)
    """Share of each group of people (rendering/groups.py); empty: all alike."""
    variant: Literal["scalar_rgb", "cuda_ad_rgb"] = "scalar_rgb"
    """Mitsuba's: on CPU cores, or on a CUDA device."""
    samples: int = knob(8, low=1, high=4096)
    """Paths for each pixel."""
    max_depth: int = knob(3, low=2, high=16)
    """Longest path of light, in segments."""
    denoise: bool = True
    """Filter the noise of few paths away; without it, four times the samples look alike."""
    yaw_std_deg: float = knob(16.0, low=0.0, high=60.0)
    """Standard deviation of yaw among images."""
    pitch_std_deg: float = knob(8.0, low=0.0, high=40.0)
    """Standard deviation of pitch."""
    roll_std_deg: float = knob(6.0, low=0.0, high=40.0)
    """Standard deviation of roll, which alignment turns back."""
    expression: float = knob(1.0, low=0.0, high=2.0)
    """How strong expressions are; 0: all faces are neutral."""
    light: Literal["varied", "studio"] = "varied"
    """studio: the same soft light in all images."""
    background: Literal["varied", "plain"] = "varied"
    """plain: one color behind each head."""
    hair: bool = True
    """Hair of the head, brows and beards; without, heads are bald."""
    camera: Literal["varied", "clean"] = "varied"
    """clean: without defocus, motion, noise and JPEG."""
    glasses_fraction: float = knob(0.15, low=0.0, high=1.0)
    """People who wear glasses."""
    sunglasses_fraction: float = knob(0.03, low=0.0, high=1.0)
    """Images with sunglasses."""
    hat_fraction: float = knob(0.06, low=0.0, high=1.0)
    """Images with a hat."""
    mask_fraction: float = knob(0.02, low=0.0, high=1.0)
    """Images with a mask."""
    scarf_fraction: float = knob(0.03, low=0.0, high=1.0)
    """Images with a scarf before the chin."""
    hand_fraction: float = knob(0.02, low=0.0, high=1.0)
    """Images with a hand before the face."""
    masks: tuple[str, ...] = ()
    """Masks that a release stores beside each image as PNG: background, skin, eyes, mouth, hair,
    brows, beard, glasses, sunglasses, occluder, hat or clothes, white where it is; or labels, all
    of them in one (values of rendering/parts.py)."""
