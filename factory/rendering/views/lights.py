"""Light of an image: which kind, where from, how hard, of what color.

All kinds give the face as much light on the whole (`balanced`), as photographers see to it; what
differs is the direction, the softness, the color, and how much of the light is the key's. Kinds are
about as frequent as in photographs of the press and the web: half of them indoors, a good part with
flash, few studios. Key fractions are chosen so that left and right halves of faces differ as in
LFW (tests/benchmarks/view_statistics.py; rendering/README.md has the figures).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.traits import Color
from factory.rendering.view import AreaLight, Direction, Light, Sun
from factory.rendering.views.color_temperature import daylight, lamp

NORMALS = np.array([[0, 0, 1], [0.6, 0, 0.8], [-0.6, 0, 0.8], [0, 0.6, 0.8], [0, -0.6, 0.8]], float)
"""Where a face looks: straight ahead, its sides, forehead and chin."""
SKY_TILT = 0.5
"""What a normal's height counts in the light of a sky whose radiance goes from top to bottom evenly
by angle: the integral of (1 - 2 a / pi) * 2 sin a cos a over a half sphere."""
LEAST_USE = 0.25
"""Part of what a light could give that counts as given to the face at least, so that lights from
behind are not made to burn."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Of linear sRGB (Rec. 709)."""
STUDIO = Light(
    "studio_fixed",
    (0.55, 0.55, 0.55),
    (0.4, 0.4, 0.4),
    (
        AreaLight((0.55, 0.45, 0.7036), 150.0, 90.0, (3.0, 3.0, 3.0)),
        AreaLight((-0.6, 0.25, 0.76), 180.0, 90.0, (1.6, 1.6, 1.6)),
    ),
)
"""The light of config.light = studio, in all images the same."""


def draw_light(config: RenderingConfig, rng: np.random.Generator) -> Light:
    """Light for one image."""
    if config.light == "studio":
        return balanced(STUDIO)
    fractions = np.array([fraction for fraction, _ in KINDS.values()])
    name = list(KINDS)[int(rng.choice(len(KINDS), p=fractions / fractions.sum()))]
    return balanced(replace(KINDS[name][1](rng), name=name))


def irradiance(light: Light, normal: np.ndarray) -> np.ndarray:
    """Linear RGB [3] that a surface with a normal [3] at the head gets, nothing in the way.

    A square counts as a disk of its area that faces the head: L * s^2 / (d^2 + s^2 / pi).
    """
    top, bottom = np.array(light.sky_top), np.array(light.sky_bottom)
    total = np.pi * ((top + bottom) / 2 + SKY_TILT * normal[1] * (top - bottom) / 2)
    for area in light.areas:
        shines = np.array(area.radiance) * _solid(area.size, area.distance)
        total = total + shines * _cosine(normal, area.direction)
    if light.sun is not None:
        total = total + np.array(light.sun.irradiance) * _cosine(normal, light.sun.direction)
    return np.asarray(total)


def face_irradiance(light: Light) -> np.ndarray:
    """Linear RGB [3] that a face gets on the whole, the mean over NORMALS."""
    return np.asarray(np.mean([irradiance(light, normal) for normal in NORMALS], axis=0))


def balanced(light: Light) -> Light:
    """The same light at the strength that gives a face a mean luminance of pi.

    A white surface would shine with radiance 1. `behind` stays, since it is relative.
    """
    gain = float(np.pi / _luminance(face_irradiance(light)))
    areas = tuple(replace(area, radiance=_times(area.radiance, gain)) for area in light.areas)
    sun = light.sun and replace(light.sun, irradiance=_times(light.sun.irradiance, gain))
    top, bottom = _times(light.sky_top, gain), _times(light.sky_bottom, gain)
    return replace(light, sky_top=top, sky_bottom=bottom, areas=areas, sun=sun)


def white_balance(light: Light, adaptation: float) -> Color:
    """Gains that take back a part of the color of light on a face, and leave its luminance.

    At 1 a gray surface comes out gray; cameras leave warm light a little warm.
    """
    color = face_irradiance(light) / np.pi
    gains = np.maximum(color, 1e-3) ** -adaptation
    red, green, blue = gains / _luminance(gains * color) * _luminance(color)
    return float(red), float(green), float(blue)


def direction(azimuth_deg: float, elevation_deg: float) -> Direction:
    """Unit vector: azimuth 0 toward the camera, 90 to the image's right; elevation 90 is up."""
    azimuth, elevation = np.radians([azimuth_deg, elevation_deg])
    flat = np.cos(elevation)
    return (
        float(flat * np.sin(azimuth)),
        float(np.sin(elevation)),
        float(flat * np.cos(azimuth)),
    )


def _overcast(rng: np.random.Generator) -> Light:
    """A gray sky that is brighter above, and a dark or a bright ground."""
    color = daylight(rng.uniform(5800, 8200))
    ground, behind = rng.uniform(0.1, 0.55), rng.uniform(0.6, 1.8)
    bright = (_area(rng, color, 1.0, _side(rng, 0, 65), (25, 70), (250, 400), (150, 300)),)
    return _of(rng, bright, color, color, rng.uniform(0.3, 0.55), ground, _times(color, behind))


def _indoor(rng: np.random.Generator) -> Light:
    """Two or three lamps below a ceiling, and what walls and floor give back."""
    color = lamp(rng.uniform(3000, 5200))
    lamps = tuple(
        _area(rng, color, rng.uniform(0.4, 1.0), rng.uniform(-130, 130), (25, 70), (130, 260),
              (25, 110))
        for _ in range(int(rng.integers(2, 4)))
    )  # fmt: skip
    key, floor = rng.uniform(0.4, 0.72), rng.uniform(0.2, 0.6)
    return _of(rng, lamps, color, color, key, floor, _times(color, rng.uniform(0.3, 1.1)))


def _window(rng: np.random.Generator) -> Light:
    """A large window aside, and a room that gives little of it back."""
    color = daylight(rng.uniform(5500, 8000))
    window = (_area(rng, color, 1.0, _side(rng, 30, 85), (0, 25), (90, 220), (80, 160)),)
    room = _mixed_color(color, lamp(rng.uniform(2900, 4500)), rng.uniform(0, 0.5))
    key, behind = rng.uniform(0.3, 0.62), rng.uniform(0.25, 0.9)
    return _of(rng, window, room, room, key, rng.uniform(0.35, 0.8), _times(room, behind))


def _flash(rng: np.random.Generator) -> Light:
    """A flash beside or above the lens; the room behind stays darker."""
    color = daylight(rng.uniform(5300, 6200))
    flash = (_area(rng, color, 1.0, rng.normal(0, 5), (2, 14), (80, 250), (5, 16)),)
    room = lamp(rng.uniform(2800, 4500))
    key, behind = rng.uniform(0.5, 0.85), rng.uniform(0.08, 0.55)
    return _of(rng, flash, room, room, key, rng.uniform(0.3, 0.65), _times(room, behind))


def _sun(rng: np.random.Generator) -> Light:
    """The sun before the face or aside of it, blue sky, ground that shines back."""
    color, sky = daylight(rng.uniform(4800, 5700)), daylight(rng.uniform(7500, 11000))
    azimuth, elevation = _side(rng, 10, 85), rng.uniform(18, 62)
    key, behind = rng.uniform(0.35, 0.62), rng.uniform(0.5, 1.4)
    hazy = rng.random() < 0.3
    sun = Sun(direction(azimuth, elevation), color, 6.0 if hazy else 0.6)
    light = _of(rng, (), sky, color, 0.0, rng.uniform(0.4, 0.9), _times(color, behind))
    return with_key(replace(light, sun=sun), key)


def _backlight(rng: np.random.Generator) -> Light:
    """The sun or a bright window behind; the face has what the sky and the ground give."""
    color, sky = daylight(rng.uniform(4600, 6000)), daylight(rng.uniform(6000, 8500))
    behind = _times(color, rng.uniform(1.8, 4.5))
    rim = _area(rng, color, 1.0, _side(rng, 120, 165), (15, 50), (120, 250), (40, 120))
    fill = _area(rng, sky, 1.0, rng.normal(0, 40), (0, 40), (200, 300), (120, 250))
    light = _of(rng, (fill,), sky, color, rng.uniform(0.2, 0.5), rng.uniform(0.5, 0.9), behind)
    strength = rng.uniform(0.8, 2.5) * np.pi / _solid(rim.size, rim.distance)
    return replace(light, areas=(*light.areas, replace(rim, radiance=_times(color, strength))))


def _studio(rng: np.random.Generator) -> Light:
    """A softbox, a weaker one on the other side, sometimes one from behind."""
    color, side = daylight(rng.uniform(5200, 6000)), rng.choice([-1, 1])
    boxes = [
        _area(rng, color, 1.0, side * rng.uniform(20, 60), (15, 45), (110, 200), (60, 130)),
        _area(rng, color, rng.uniform(0.15, 0.7), -side * rng.uniform(25, 70), (0, 30),
              (120, 220), (60, 130)),
    ]  # fmt: skip
    if rng.random() < 0.4:
        boxes.append(_area(rng, color, 0.8, -side * 145, (25, 45), (120, 180), (30, 70)))
    key, behind = rng.uniform(0.5, 0.75), rng.uniform(0.2, 1.6)
    return _of(rng, tuple(boxes), color, color, key, 0.8, _times(color, behind))


def _tungsten(rng: np.random.Generator) -> Light:
    """Warm lamps at the height of a table or above, in a room that they color."""
    color = lamp(rng.uniform(2500, 3200))
    lamps = tuple(
        _area(rng, color, rng.uniform(0.4, 1.0), rng.uniform(-110, 110), (0, 60), (80, 220),
              (15, 50))
        for _ in range(int(rng.integers(1, 4)))
    )  # fmt: skip
    key, behind = rng.uniform(0.35, 0.65), rng.uniform(0.2, 0.8)
    return _of(rng, lamps, color, color, key, rng.uniform(0.3, 0.65), _times(color, behind))


def _mixed(rng: np.random.Generator) -> Light:
    """Daylight from one side and lamps from the other."""
    day, warm = daylight(rng.uniform(6000, 8500)), lamp(rng.uniform(2600, 3600))
    side = rng.choice([-1, 1])
    areas = (
        _area(rng, day, 1.0, side * rng.uniform(30, 85), (0, 30), (100, 220), (70, 150)),
        _area(rng, warm, rng.uniform(0.4, 1.0), -side * rng.uniform(20, 100), (15, 60), (90, 220),
              (20, 60)),
    )  # fmt: skip
    room = _mixed_color(day, warm, rng.uniform(0.3, 0.7))
    key, behind = rng.uniform(0.35, 0.6), rng.uniform(0.3, 0.9)
    return _of(rng, areas, room, room, key, rng.uniform(0.5, 0.8), _times(room, behind))


def _dim(rng: np.random.Generator) -> Light:
    """Evening, a bar, a stage: one or two colored lamps and a dark room."""
    hue = 0.25 * rng.standard_normal(3)
    areas = tuple(
        _area(rng, _tinted(lamp(rng.uniform(2300, 5000)), hue * sign), rng.uniform(0.4, 1.0),
              rng.uniform(-100, 100), (5, 55), (90, 220), (20, 70))
        for sign in (1, -1)
    )  # fmt: skip
    room = lamp(rng.uniform(2300, 4000))
    key, behind = rng.uniform(0.45, 0.7), rng.uniform(0.05, 0.35)
    return _of(rng, areas, room, room, key, rng.uniform(0.3, 0.65), _times(room, behind))


KINDS: dict[str, tuple[float, Callable[[np.random.Generator], Light]]] = {
    "overcast": (0.20, _overcast),
    "indoor": (0.22, _indoor),
    "window": (0.12, _window),
    "flash": (0.16, _flash),
    "sun": (0.08, _sun),
    "backlight": (0.05, _backlight),
    "studio": (0.06, _studio),
    "tungsten": (0.05, _tungsten),
    "mixed": (0.04, _mixed),
    "dim": (0.02, _dim),
}
"""What part of images has each kind of light."""


def _of(
    rng: np.random.Generator,
    areas: tuple[AreaLight, ...],
    sky: Color,
    ground: Color,
    key: float,
    ground_fraction: float,
    behind: Color,
) -> Light:
    """A sky, a ground that gives back a fraction of it, and areas that give `key` of all light.

    Irradiances of the areas keep their ratio.
    """
    gray = float(np.exp(0.08 * rng.standard_normal()))
    light = Light("", sky, _times(ground, ground_fraction * gray), areas, None, behind)
    return with_key(light, key) if areas else light


def with_key(light: Light, key: float) -> Light:
    """The light with areas and sun at the strength that makes them `key` of a face's light."""
    sky = _luminance(face_irradiance(replace(light, areas=(), sun=None)))
    rest = _luminance(face_irradiance(light)) - sky
    peak = sum(_peak(area) for area in light.areas) + (
        _luminance(light.sun.irradiance) if light.sun else 0
    )
    gain = float(key / (1 - key) * sky / max(rest, LEAST_USE * peak))
    areas = tuple(replace(area, radiance=_times(area.radiance, gain)) for area in light.areas)
    sun = light.sun and replace(light.sun, irradiance=_times(light.sun.irradiance, gain))
    return replace(light, areas=areas, sun=sun)


def _area(
    rng: np.random.Generator,
    color: Color,
    strength: float,
    azimuth_deg: float,
    elevations: tuple[float, float],
    distances: tuple[float, float],
    sizes: tuple[float, float],
) -> AreaLight:
    """A square that gives a surface which faces it an irradiance of `strength`."""
    distance, size = rng.uniform(*distances), rng.uniform(*sizes)
    solid = _solid(size, distance)
    where = direction(azimuth_deg, rng.uniform(*elevations))
    return AreaLight(where, float(distance), float(size), _times(color, strength / solid))


def _side(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.choice([-1, 1]) * rng.uniform(low, high))


def _solid(size: float, distance: float) -> float:
    """Irradiance of a surface that faces a square of radiance 1, as of a disk of its area."""
    return size**2 / (distance**2 + size**2 / np.pi)


def _peak(area: AreaLight) -> float:
    return _luminance(area.radiance) * _solid(area.size, area.distance)


def _luminance(color: Color | np.ndarray) -> float:
    return float(np.asarray(color) @ LUMINANCE)


def _cosine(normal: np.ndarray, toward: Direction) -> float:
    return max(0.0, float(normal @ np.array(toward)))


def _times(color: Color, gain: float) -> Color:
    red, green, blue = (float(channel * gain) for channel in color)
    return red, green, blue


def _mixed_color(one: Color, other: Color, fraction: float) -> Color:
    red, green, blue = ((1 - fraction) * a + fraction * b for a, b in zip(one, other, strict=True))
    return red, green, blue


def _tinted(color: Color, hue: np.ndarray) -> Color:
    red, green, blue = (float(c * np.exp(h)) for c, h in zip(color, hue, strict=True))
    return red, green, blue
