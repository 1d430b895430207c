"""Painters of what stands behind people: rectangles, gradients and spots in a world's colors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

CANVAS_PX = 176
"""Side of what is painted: an image of 112 px turned by any roll below 50 degrees lies within."""
Rng = np.random.Generator

NEUTRALS = np.array(
    [
        (0.30, 0.26, 0.20), (0.42, 0.38, 0.31), (0.20, 0.18, 0.16), (0.11, 0.10, 0.10),
        (0.24, 0.26, 0.28), (0.14, 0.17, 0.21), (0.36, 0.33, 0.24), (0.17, 0.11, 0.07),
        (0.09, 0.05, 0.03), (0.50, 0.48, 0.44), (0.22, 0.13, 0.08), (0.06, 0.07, 0.09),
    ]
)  # fmt: skip
"""Walls, wood, stone and furniture."""
ACCENTS = np.array(
    [
        (0.35, 0.04, 0.03), (0.03, 0.08, 0.25), (0.05, 0.15, 0.07), (0.40, 0.25, 0.04),
        (0.02, 0.15, 0.22), (0.22, 0.05, 0.12), (0.12, 0.22, 0.40), (0.55, 0.50, 0.10),
    ]
)  # fmt: skip
"""Flags, posters, cars and clothes."""
SKINS = np.array([(0.45, 0.28, 0.2), (0.3, 0.17, 0.11), (0.12, 0.06, 0.04), (0.55, 0.36, 0.27)])
LEAVES = np.array([(0.05, 0.10, 0.02), (0.10, 0.16, 0.04), (0.02, 0.04, 0.015), (0.2, 0.24, 0.07)])


class Canvas:
    """A picture in linear RGB float32 that is painted from far to near."""

    def __init__(self, rng: Rng) -> None:
        self.picture_HWC = np.zeros((CANVAS_PX, CANVAS_PX, 3), np.float32)
        self.glints_HWC = np.zeros((CANVAS_PX, CANVAS_PX, 3), np.float32)
        """Points of light that a lens spreads to discs."""
        self.glints = 0
        self.least_blur_px = 0.5
        self.nearness = 1.5
        """How much larger than painted it may appear: people are photographed at all distances."""
        self._rng = rng

    def gradient(self, top: np.ndarray, bottom: np.ndarray, turn: float = 0.0) -> None:
        """Fill everything from one color to another; turn 1: from left to right."""
        at = np.linspace(0, 1, CANVAS_PX)
        down = (at[:, None] * (1 - turn) + at[None] * turn)[..., None]
        self.picture_HWC[:] = top * (1 - down) + bottom * down

    def box(self, x: float, y: float, wide: float, tall: float, color: np.ndarray) -> None:
        """A rectangle by its middle, shaded a little from one side to the other."""
        x0, x1 = np.clip([round(x - wide / 2), round(x + wide / 2)], 0, CANVAS_PX)
        y0, y1 = np.clip([round(y - tall / 2), round(y + tall / 2)], 0, CANVAS_PX)
        if x1 <= x0 or y1 <= y0:
            return
        ends = self._rng.uniform(0.8, 1.2, 2)
        shade = np.linspace(ends[0], ends[1], x1 - x0)[:, None]
        self.picture_HWC[y0:y1, x0:x1] = color * shade

    def box_somewhere(self, smallest: float, largest: float, color: np.ndarray) -> None:
        """A rectangle with sides between two lengths."""
        x, y = somewhere(self._rng)
        wide, tall = self._rng.uniform(smallest, largest, 2)
        self.box(x, y, float(wide), float(tall), color)

    def blob(self, x: float, y: float, wide: float, tall: float, color: np.ndarray) -> None:
        """An ellipse by its middle and half axes."""
        x0, x1 = np.clip([int(x - wide), int(x + wide) + 2], 0, CANVAS_PX)
        y0, y1 = np.clip([int(y - tall), int(y + tall) + 2], 0, CANVAS_PX)
        rows, columns = np.mgrid[y0:y1, x0:x1]
        inside = ((columns - x) / wide) ** 2 + ((rows - y) / tall) ** 2 < 1
        self.picture_HWC[y0:y1, x0:x1][inside] = color

    def glint(self, x: float, y: float, light: np.ndarray) -> None:
        """A point of light."""
        if 0 <= x < CANVAS_PX and 0 <= y < CANVAS_PX:
            self.glints_HWC[int(y), int(x)] += light
            self.glints += 1

    def mottle(self, amount: float, cell_px: int) -> None:
        """Uneven brightness in cells of a size: plaster, leaves, crowds."""
        import cv2

        few = max(CANVAS_PX // cell_px, 2)
        cells = 1 + amount * self._rng.standard_normal((few, few)).astype(np.float32)
        wide = cv2.resize(cells, (CANVAS_PX, CANVAS_PX), interpolation=cv2.INTER_CUBIC)
        self.picture_HWC *= np.maximum(wide, 0.1)[..., None]

    def lit_from_a_side(self) -> None:
        """Light that falls off across the picture, as from a window or a lamp."""
        angle, depth = self._rng.uniform(0, 2 * np.pi), self._rng.uniform(0.1, 0.8)
        at = np.linspace(-1, 1, CANVAS_PX)
        fall = np.cos(angle) * at[None] + np.sin(angle) * at[:, None]
        self.picture_HWC *= np.maximum(1 + depth * fall, 0.15)[..., None].astype(np.float32)


def tone(rng: Rng, palette: np.ndarray = NEUTRALS, spread: float = 0.7) -> np.ndarray:
    """A color near one of a palette's, lighter or darker."""
    color = palette[rng.integers(len(palette))] * np.exp(spread * rng.standard_normal())
    return np.asarray(np.clip(color * (1 + 0.08 * rng.standard_normal(3)), 0.004, 0.9))


def somewhere(rng: Rng) -> tuple[float, float]:
    """A place on the canvas."""
    return float(rng.uniform(0, CANVAS_PX)), float(rng.uniform(0, CANVAS_PX))


def wall(canvas: Canvas, rng: Rng) -> None:
    """A wall with a shadow, perhaps a frame, a door's edge or a corner."""
    color = tone(rng)
    canvas.gradient(color * rng.uniform(0.8, 1.2), color * rng.uniform(0.6, 1.0), rng.uniform(0, 1))
    if rng.random() < 0.5:
        x = rng.uniform(0, CANVAS_PX)
        canvas.box(x, CANVAS_PX / 2, rng.uniform(20, 90), CANVAS_PX, color * rng.uniform(0.5, 1.3))
    if rng.random() < 0.5:
        x, y = somewhere(rng)
        wide, tall = rng.uniform(25, 70, 2)
        canvas.box(x, y, wide + 6, tall + 6, tone(rng) * 0.5)
        canvas.box(x, y, wide, tall, tone(rng))
        canvas.box(x, y, wide * 0.6, tall * 0.5, tone(rng, ACCENTS))
    canvas.mottle(0.05, 6)
    canvas.lit_from_a_side()


def office(canvas: Canvas, rng: Rng) -> None:
    """Shelves, a window with blinds, screens and ceiling lights."""
    canvas.gradient(tone(rng), tone(rng))
    if rng.random() < 0.6:
        _shelf(canvas, rng)
    if rng.random() < 0.45:
        _window(canvas, rng)
    for _ in range(rng.integers(2, 7)):
        canvas.box_somewhere(8, 50, tone(rng, NEUTRALS if rng.random() < 0.75 else ACCENTS))
    if rng.random() < 0.35:
        for k in range(rng.integers(1, 4)):
            canvas.box(
                rng.uniform(0, CANVAS_PX), 30 + 14 * k, rng.uniform(14, 45), 5, np.full(3, 1.8)
            )
    canvas.lit_from_a_side()


def room(canvas: Canvas, rng: Rng) -> None:
    """Furniture before a wall, lamps, perhaps a window."""
    color = tone(rng)
    canvas.gradient(color, color * 0.6)
    floor = rng.uniform(95, 150)
    canvas.box(
        CANVAS_PX / 2, (floor + CANVAS_PX) / 2, CANVAS_PX, CANVAS_PX - floor, tone(rng) * 0.6
    )
    if rng.random() < 0.4:
        _window(canvas, rng)
    for _ in range(rng.integers(2, 6)):
        tall = rng.uniform(20, 100)
        canvas.box(
            rng.uniform(0, CANVAS_PX),
            floor - tall / 2 + 10,
            rng.uniform(14, 60),
            tall,
            tone(rng) * 0.7,
        )
    for _ in range(rng.integers(0, 3)):
        x, y = rng.uniform(0, CANVAS_PX), rng.uniform(30, 100)
        wide, tall = rng.uniform(5, 12, 2)
        canvas.blob(x, y, wide, tall, np.array([1.8, 1.3, 0.8]) * rng.uniform(0.5, 1.3))
    canvas.lit_from_a_side()


def curtain(canvas: Canvas, rng: Rng) -> None:
    """Folds of cloth."""
    color = tone(rng, NEUTRALS if rng.random() < 0.6 else ACCENTS)
    x = np.arange(CANVAS_PX)
    folds = np.zeros(CANVAS_PX)
    for _ in range(3):
        folds += np.sin(2 * np.pi * x / rng.uniform(12, 55) + rng.uniform(0, 6))
    shade = np.exp(rng.uniform(0.12, 0.35) * folds)[None, :, None]
    canvas.picture_HWC[:] = color * shade
    if rng.random() < 0.4:
        canvas.box(
            rng.uniform(0, CANVAS_PX), CANVAS_PX / 2, rng.uniform(20, 60), CANVAS_PX, tone(rng)
        )
    canvas.lit_from_a_side()


def press(canvas: Canvas, rng: Rng) -> None:
    """A wall of logos and lines of writing behind a speaker."""
    ground, ink = tone(rng, np.concatenate([ACCENTS, NEUTRALS])), tone(rng)
    if rng.random() < 0.6:
        ink = (
            np.full(3, rng.uniform(0.45, 0.85)) if ground.mean() < 0.2 else tone(rng, ACCENTS) * 0.5
        )
    canvas.gradient(ground, ground * 0.8)
    size, gap = rng.uniform(5, 13), rng.uniform(1.6, 3.0)
    for y in np.arange(rng.uniform(0, 10), CANVAS_PX, size * gap):
        x = rng.uniform(-40, 0)
        while x < CANVAS_PX:
            for _ in range(rng.integers(3, 9)):  # letters
                wide = size * rng.uniform(0.3, 0.7)
                canvas.box(x, y, wide * 0.45, size, ink)
                canvas.box(
                    x + wide * 0.3, y + size * rng.uniform(-0.4, 0.4), wide * 0.6, size * 0.25, ink
                )
                x += wide * 1.25
            x += size * rng.uniform(1, 4)
    canvas.lit_from_a_side()


def crowd(canvas: Canvas, rng: Rng) -> None:
    """Other people: clothes, skin and hair."""
    canvas.least_blur_px = 3.0  # sharper ones would be taken for faces
    canvas.gradient(tone(rng) * 0.8, tone(rng) * 0.4)
    for _ in range(rng.integers(1, 5)):
        canvas.box_somewhere(15, 70, tone(rng))
    for y in np.sort(rng.uniform(50, 150, rng.integers(3, 10))):
        x, size = rng.uniform(0, CANVAS_PX), rng.uniform(9, 28)
        cloth = tone(rng, ACCENTS if rng.random() < 0.35 else NEUTRALS) * 0.7
        canvas.blob(x, y + 2.6 * size, size * 1.9, size * 1.7, cloth)
        canvas.blob(x, y, size * 0.76, size, tone(rng, NEUTRALS[6:9]) * 0.3)
        canvas.blob(
            x + rng.uniform(-3, 3), y + 0.2 * size, size * 0.64, size * 0.8, tone(rng, SKINS)
        )
    canvas.lit_from_a_side()


def street(canvas: Canvas, rng: Rng) -> None:
    """Buildings with windows, a road, cars and a piece of sky."""
    bright = rng.uniform(0.6, 1.8)
    canvas.gradient(np.array([0.5, 0.62, 0.8]) * bright, np.array([0.8, 0.8, 0.78]) * bright)
    horizon = rng.uniform(85, 125)
    for _ in range(rng.integers(3, 8)):
        x, wide, tall = rng.uniform(0, CANVAS_PX), rng.uniform(25, 80), rng.uniform(40, 150)
        color = tone(rng)
        canvas.box(x, horizon - tall / 2, wide, tall, color)
        step = rng.uniform(7, 14)
        for wx in np.arange(x - wide / 2 + 4, x + wide / 2 - 3, step):
            for wy in np.arange(horizon - tall + 5, horizon - 4, step * 1.4):
                canvas.box(wx, wy, step * 0.5, step * 0.8, color * rng.choice([0.3, 0.4, 1.7]))
    canvas.box(
        CANVAS_PX / 2, (horizon + CANVAS_PX) / 2, CANVAS_PX, CANVAS_PX - horizon, np.full(3, 0.16)
    )
    for _ in range(rng.integers(0, 5)):
        x, size = rng.uniform(0, CANVAS_PX), rng.uniform(12, 35)
        canvas.box(x, horizon, size * 2, size * 0.6, tone(rng, ACCENTS))
        canvas.box(x, horizon - size * 0.4, size * 1.1, size * 0.4, np.full(3, 0.08))
    for _ in range(rng.integers(0, 3)):
        _foliage(canvas, rng, *somewhere(rng), rng.uniform(15, 40))


def park(canvas: Canvas, rng: Rng) -> None:
    """Trees, grass and light through leaves."""
    canvas.least_blur_px, canvas.nearness = 1.5, 0.7
    canvas.gradient(tone(rng, LEAVES) * 1.5, tone(rng, LEAVES))
    for _ in range(rng.integers(5, 10)):
        _foliage(canvas, rng, *somewhere(rng), rng.uniform(20, 60))
    for _ in range(rng.integers(0, 4)):
        x = rng.uniform(0, CANVAS_PX)
        canvas.box(x, CANVAS_PX / 2, rng.uniform(3, 14), CANVAS_PX, np.array([0.06, 0.045, 0.03]))
    canvas.mottle(0.35, 7)
    for _ in range(rng.integers(10, 60)):
        x, y = somewhere(rng)
        canvas.glint(x, y * 0.7, np.array([1.0, 1.1, 0.85]) * rng.uniform(3, 30))


def night(canvas: Canvas, rng: Rng) -> None:
    """Lights in the dark."""
    canvas.least_blur_px, canvas.nearness = 2.0, 0.5
    canvas.gradient(np.array([0.012, 0.013, 0.02]), np.array([0.03, 0.025, 0.02]))
    for _ in range(rng.integers(2, 6)):
        canvas.box_somewhere(15, 70, tone(rng) * 0.15)
    hues = np.array([(1, 0.6, 0.25), (1, 0.8, 0.55), (1, 0.15, 0.1), (0.3, 0.6, 1), (0.3, 1, 0.5)])
    for _ in range(rng.integers(12, 45)):
        hue = hues[rng.choice(5, p=[0.35, 0.35, 0.12, 0.12, 0.06])]
        canvas.glint(*somewhere(rng), hue * rng.lognormal(3, 0.8))


def sky(canvas: Canvas, rng: Rng) -> None:
    """Sky, perhaps with clouds and a far horizon."""
    bright = rng.uniform(0.5, 1.4)
    pale = np.array([0.75, 0.8, 0.85])
    blue = pale * (1 - (k := rng.uniform(0, 1))) + np.array([0.16, 0.33, 0.68]) * k
    canvas.gradient(blue * bright, pale * bright)
    canvas.mottle(0.12 * k, 30)
    if rng.random() < 0.4:
        y = rng.uniform(110, 150)
        canvas.box(CANVAS_PX / 2, (y + CANVAS_PX) / 2, CANVAS_PX, CANVAS_PX - y, tone(rng, LEAVES))


def dark(canvas: Canvas, rng: Rng) -> None:
    """A dark hall or stage behind somebody in the light."""
    canvas.gradient(tone(rng) * 0.06, tone(rng) * 0.12)
    for _ in range(rng.integers(0, 5)):
        canvas.box_somewhere(15, 90, tone(rng) * 0.15)


def beside(canvas: Canvas, rng: Rng) -> None:
    """Something large at one side of the head: a door, a curtain, a pillar, somebody's back."""
    wide = rng.uniform(25, 75)
    x = rng.choice([CANVAS_PX / 2 - 18 - wide / 2, CANVAS_PX / 2 + 18 + wide / 2])
    y = CANVAS_PX / 2 + rng.choice([0.0, 0.0, 60.0])
    color = tone(rng, NEUTRALS if rng.random() < 0.8 else ACCENTS, 0.9)
    canvas.box(x + rng.uniform(-12, 12), y, wide, CANVAS_PX, color)
    for _ in range(rng.integers(0, 5)):  # what hangs or stands there
        across, tall = rng.uniform(4, 22, 2)
        canvas.box(x + rng.uniform(-0.5, 0.5) * wide, somewhere(rng)[1], across, tall, tone(rng))


def _shelf(canvas: Canvas, rng: Rng) -> None:
    x0, wide, step = rng.uniform(-40, 120), rng.uniform(50, 120), rng.uniform(22, 40)
    wood = tone(rng, NEUTRALS[6:9])
    canvas.box(x0 + wide / 2, CANVAS_PX / 2, wide, CANVAS_PX, wood * 0.5)
    for y in np.arange(rng.uniform(0, step), CANVAS_PX, step):
        x = x0
        while x < x0 + wide:
            book, tall = rng.uniform(2, 7), step * rng.uniform(0.55, 0.85)
            color = tone(rng, ACCENTS if rng.random() < 0.4 else NEUTRALS) * 0.8
            canvas.box(x + book / 2, y - tall / 2, book, tall, color)
            x += book * rng.choice([1.0, 1.0, 1.0, 2.5])
        canvas.box(x0 + wide / 2, y + 1, wide, 3, wood)


def _window(canvas: Canvas, rng: Rng) -> None:
    x, y = rng.uniform(0, CANVAS_PX), rng.uniform(30, 90)
    wide, tall = rng.uniform(35, 80), rng.uniform(60, 120)
    glow = np.array([0.9, 1.0, 1.15]) * rng.uniform(0.4, 2.2)
    canvas.box(x, y, wide + 8, tall + 8, tone(rng))
    canvas.box(x, y, wide, tall, glow)
    if rng.random() < 0.5:
        for line in np.arange(y - tall / 2, y + tall / 2, rng.uniform(5, 9)):
            canvas.box(x, line, wide, 2.5, glow * 0.45)
    else:
        canvas.box(x, y, 4, tall, tone(rng))
        canvas.box(x, y, wide, 4, tone(rng))


def _foliage(canvas: Canvas, rng: Rng, x: float, y: float, size: float) -> None:
    for _ in range(14):
        at = rng.normal(0, size * 0.5, 2)
        wide, tall = rng.uniform(3, size * 0.3, 2)
        canvas.blob(x + at[0], y + at[1], wide, tall, tone(rng, LEAVES, 0.6))


PAINTERS: dict[str, Callable[[Canvas, Rng], None]] = {
    "wall": wall,
    "office": office,
    "room": room,
    "curtain": curtain,
    "press": press,
    "crowd": crowd,
    "street": street,
    "park": park,
    "night": night,
    "sky": sky,
    "dark": dark,
}
