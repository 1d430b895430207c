"""What an image of a rendered person is made of: facts that change from image to image.

The world has its y axis up and its z axis toward the camera; the head turns in it. Lengths are
centimeters, angles degrees, radiances linear RGB.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from factory.rendering.traits import Color

Direction = tuple[float, float, float]
"""A unit vector in the world, from the head."""


@dataclass(frozen=True)
class Pose:
    """How the head is turned in the world, as sources.pose calls it."""

    yaw: float = 0.0
    """Positive when the nose moves to the right in the image."""
    pitch: float = 0.0
    """Positive when the face looks up."""
    roll: float = 0.0
    """Positive when the head tilts clockwise in the image. Alignment turns it back, and the world
    with it."""


@dataclass(frozen=True)
class AreaLight:
    """A square that shines at the head."""

    direction: Direction
    distance: float
    size: float
    radiance: Color


@dataclass(frozen=True)
class Sun:
    """Light from far away that throws a shadow."""

    direction: Direction
    irradiance: Color
    angle: float = 0.5
    """Degrees that it takes in the sky: small is a hard shadow."""


@dataclass(frozen=True)
class Light:
    """A sky, lights and perhaps a sun."""

    name: str = "studio"
    """What kind of light it is: a name of lights.KINDS."""
    sky_top: Color = (0.6, 0.6, 0.62)
    sky_bottom: Color = (0.3, 0.29, 0.28)
    areas: tuple[AreaLight, ...] = ()
    sun: Sun | None = None
    behind: Color = (1.0, 1.0, 1.0)
    """Light on what lies behind the head; 1 is as much as on the face."""


@dataclass(frozen=True)
class Camera:
    """Where the camera stands, and what it does to the light that it catches."""

    distance: float = 120.0
    """From the middle of the eyes to the lens; small is a strong perspective."""
    exposure: float = 0.0
    """Stops relative to the automatic exposure."""
    white_balance: Color = (1.0, 1.0, 1.0)
    """Gains."""
    contrast: float = 1.0
    saturation: float = 1.0
    defocus_px: float = 0.0
    """Standard deviation of the blur, in pixels of a 112-pixel image."""
    motion_px: float = 0.0
    motion_angle: float = 0.0
    noise: float = 0.0
    """Standard deviation of the noise at mid-gray, of 1."""
    captured_px: int = 112
    """Side that the face had in the photograph before it was scaled to its size."""
    jpeg_quality: int = 100
    """Of the photograph, before the release's own encoding; 100: not compressed."""
    flare: float = 0.0
    """Part of the light that the lens scatters over the whole image."""
    adaptation: float = 1.0
    """Part of the light's color that the white balance takes back, from 0 to 1."""


@dataclass(frozen=True)
class Wear:
    """What is worn or held in this image; None: nothing of the kind."""

    glasses: bool = False
    """The person's own."""
    sunglasses: str | None = None
    hat: str | None = None
    mask: str | None = None
    scarf: str | None = None
    hand: str | None = None
    clothes: str = "crew_neck"
    clothes_color: Color = (0.2, 0.2, 0.25)
    hat_color: Color = (0.1, 0.1, 0.12)
    seed: int = 0


@dataclass(frozen=True)
class HairState:
    """How the hair is today."""

    tousled: float = 0.0
    tied: bool = False
    length_factor: float = 1.0


@dataclass(frozen=True)
class View:
    """One image of a person: everything that its pixels follow from, in addition to the person."""

    image: int
    seed: int
    """Of what is drawn finer: the background's clutter, the noise of pixels."""
    pose: Pose = field(default_factory=Pose)
    expression_name: str = "neutral"
    expression: tuple[tuple[str, float], ...] = ()
    """Weights of the head's 53 expressions by name."""
    gaze: tuple[float, float] = (0.0, 0.0)
    """Degrees to the image's right and up, relative to the head's own direction."""
    light: Light = field(default_factory=Light)
    camera: Camera = field(default_factory=Camera)
    wear: Wear = field(default_factory=Wear)
    hair: HairState = field(default_factory=HairState)
    background: str = "plain"
    """A name of backgrounds.KINDS."""
    age_drift: float = 0.0
    """Years added to the person's age."""
    landmark_noise: tuple[tuple[float, float], ...] = ()
    """Pixels by which the five points that the image is aligned by are wrong; empty: none."""
