"""What a rendered person is made of: facts that stay the same in all of the person's images.

Lengths are centimeters, colors linear RGB reflectances in [0, 1], amounts fractions in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

Color = tuple[float, float, float]
"""Linear RGB."""


@dataclass(frozen=True)
class SkinTraits:
    """Pigment, relief and marks of a skin."""

    melanin: float
    haemoglobin: float
    freckles: float = 0.0
    num_moles: int = 0
    wrinkles: float = 0.0
    pores: float = 0.3
    oil: float = 0.3
    """How much the T-zone shines."""
    blemishes: float = 0.0
    num_scars: int = 0
    lip_color: Color = (0.45, 0.22, 0.2)
    lip_strength: float = 0.6


@dataclass(frozen=True)
class EyeTraits:
    """Irises, sclera and lids' lashes."""

    iris_color: Color
    inner_color: Color
    """Around the pupil."""
    limbal_ring: float = 0.5
    iris_radius: float = 0.6
    pupil_radius: float = 0.22
    sclera_redness: float = 0.1
    lash_length: float = 0.7
    makeup: float = 0.0


@dataclass(frozen=True)
class HairTraits:
    """Hair of the head, as it habitually is; `style` is a name of hair_styles.STYLES."""

    style: str
    color: Color
    gray_fraction: float = 0.0
    curl: float = 0.0
    """0 straight, .3 wavy, .6 curly, 1 coily."""
    length: float = 6.0
    density: float = 1.0
    thickness: float = 0.5
    parting: float = 0.0
    """x of the parting, centimeters; positive to the image's right in a frontal view."""
    hairline: float = 0.5
    """Height of the hairline: 0 low, 1 high."""
    recession: float = 0.0
    """Temples and crown without hair."""
    fringe: float = 0.0
    """Of hair longer than 10 cm: 0 none, 1 down to the brows."""


@dataclass(frozen=True)
class BrowTraits:
    """Eyebrows."""

    color: Color
    density: float = 0.7
    thickness: float = 0.5
    arch: float = 0.5
    spacing: float = 0.5


@dataclass(frozen=True)
class BeardTraits:
    """Hair of the lower face; `style` is a name of beards.STYLES."""

    style: str = "none"
    color: Color = (0.05, 0.03, 0.02)
    density: float = 0.0
    length: float = 0.0
    shadow: float = 0.0
    """Darkening of shaved skin."""


@dataclass(frozen=True)
class GlassesTraits:
    """Glasses that a person habitually wears."""

    shape: str
    """round, square, rectangle, aviator, cat_eye or rimless."""
    color: Color
    rim: float
    """Radius of the rim, centimeters."""
    metallic: float = 0.0
    tint: float = 0.0
    """0 clear, 1 black."""


@dataclass(frozen=True)
class Person:
    """Somebody who does not exist; all that follows from the seed and the number."""

    index: int
    seed: int
    """Of what is drawn finer than the traits: positions of moles, strands of hair."""
    group: str
    """Skin tone and presentation, the key of rendering.groups."""
    age: float
    """Years."""
    presentation: float
    """0 feminine, 1 masculine."""
    shape: tuple[float, ...]
    """100 coefficients of the head's shape, in standard deviations."""
    skin: SkinTraits
    eyes: EyeTraits
    hair: HairTraits
    brows: BrowTraits
    beard: BeardTraits
    glasses: GlassesTraits | None = None
