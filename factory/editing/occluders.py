"""Occluders painted on a face, and classic augmentation: the baselines of Mask-ControlNet.

The inpainting network learns from painted occluders too (METHODS 4).

Shapes: N images, RGB uint8 [N, H, W, 3]; masks float32 [N, H, W] in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from factory.editing.regions import Regions

NUM_PAINTS = 24
"""Random numbers in [0, 1) that color what is painted."""
MASKS = np.array([[165, 200, 222], [238, 240, 240], [45, 46, 50], [226, 176, 190], [120, 150, 120]])
RIMS = np.array([[25, 22, 22], [92, 60, 38], [150, 120, 62], [40, 52, 92], [120, 122, 126]])
HAIR = np.array([[32, 26, 24], [66, 44, 30], [110, 78, 50], [190, 156, 104], [140, 136, 132]])
"""Usual colors of masks, of rims of glasses and of hair."""
ROTATION_DEG, LEAST_CROP, NOISE = 20.0, 0.8, 10.0
"""Limits of classic augmentation: rotation, fraction of the side kept, deviation of the noise."""


def blend(images_NHWC: np.ndarray, drawn_NHWC: np.ndarray, alpha_NHW: np.ndarray) -> np.ndarray:
    """Blend `drawn` (uint8 or float, 0-255) over `images` by alpha; alpha 0 keeps every bit."""
    original = images_NHWC.astype(np.float32)
    mixed = original + alpha_NHW[..., None] * (drawn_NHWC - original)
    return np.rint(mixed).clip(0, 255).astype(np.uint8)


def draw_over(
    images_NHWC: np.ndarray, masks: Regions, kinds: Sequence[str], draws_NK: np.ndarray
) -> np.ndarray:
    """Paint occluders of `kinds` into their regions, colored by `draws_NK` [N, NUM_PAINTS].

    On gray photographs they are gray.
    """
    paint = np.zeros((*images_NHWC.shape[:3], 3), np.float32)
    draws = np.ascontiguousarray(draws_NK.T, np.float32)[:, :, None, None, None]
    for kind in dict.fromkeys(kinds):
        rows = np.array([k == kind for k in kinds])
        scene = Scene(images_NHWC[rows], masks.alpha_NHW[rows], masks.face_NHW[rows])
        paint[rows] = PAINTS[kind](scene, draws[:, rows])
    spread = images_NHWC.max(3).astype(np.int16) - images_NHWC.min(3)
    gray_N = spread.reshape(len(spread), -1).max(1) <= 2
    paint[gray_N] = paint[gray_N].mean(3, keepdims=True)
    return blend(images_NHWC, paint, masks.alpha_NHW)


def classic(images_NHWC: np.ndarray, draws_NK: np.ndarray) -> np.ndarray:
    """Rotate, mirror, crop and add noise: the paper's random augmentation (RA)."""
    import cv2

    side = images_NHWC.shape[1]
    changed = np.empty_like(images_NHWC)
    for row, (image, u) in enumerate(zip(images_NHWC, draws_NK, strict=True)):
        left = 1 - (1 - LEAST_CROP) * u[1]
        matrix = cv2.getRotationMatrix2D((side / 2, side / 2), ROTATION_DEG * (2 * u[0] - 1), 1)
        matrix = matrix / left
        matrix[:, 2] -= np.array([u[2], u[3]]) * side * (1 / left - 1)
        if u[4] < 0.5:
            image = image[:, ::-1]
        turned = cv2.warpAffine(
            np.ascontiguousarray(image), matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101
        )
        rng = np.random.Generator(np.random.Philox(int(u[5] * 2**53)))
        noise = rng.standard_normal(turned.shape, np.float32) * NOISE * u[6]
        changed[row] = np.rint(turned + noise).clip(0, 255)
    return changed


class Scene:
    """The images that are painted over, with masks of region and face."""

    def __init__(self, images: np.ndarray, alpha: np.ndarray, face: np.ndarray) -> None:
        self._images, self._alpha, self._face = images, alpha, face
        side = np.linspace(-1, 1, images.shape[1], dtype=np.float32)
        self.x, self.y = side[None, None, :, None], side[None, :, None, None]

    def skin(self) -> np.ndarray:
        """Mean color of the visible face around its middle, [N, 1, 1, 3]."""
        near = np.exp(-(self.x**2 + (self.y - 0.2) ** 2) / 0.1)
        weights = (self._face * (1 - self._alpha))[..., None] * near
        whole = np.maximum(weights.sum((1, 2), keepdims=True), 1e-3)
        return np.asarray((self._images * weights).sum((1, 2), keepdims=True) / whole)


Paint = Callable[[Scene, np.ndarray], np.ndarray]
"""Maps (scene, draws [NUM_PAINTS, N, 1, 1, 1]) to colors that broadcast to [N, H, W, 3]."""


def _color(u: np.ndarray) -> np.ndarray:
    """Any color [N, 1, 1, 3], by three draws."""
    return np.concatenate([30 + 200 * value for value in u], axis=-1)


def _pick(palette: np.ndarray, u: np.ndarray) -> np.ndarray:
    """A color of the palette [N, 1, 1, 3], by one draw."""
    index_N = (u[:, 0, 0, 0] * len(palette)).astype(int)
    return np.asarray(palette[index_N][:, None, None].astype(np.float32))


def _medical_mask(scene: Scene, u: np.ndarray) -> np.ndarray:
    pleats = 1 + 0.07 * np.sin(scene.y * (16 + 16 * u[1]) + 2 * scene.x**2)
    round_ = 1 - 0.35 * (scene.x - (u[2] - 0.5)) ** 2
    return np.asarray(_pick(MASKS, u[0]) * pleats * round_)


def _sunglasses(scene: Scene, u: np.ndarray) -> np.ndarray:
    dark = 15 + 45 * u[0] + 25 * (scene.y + 0.3)
    streak = np.exp(-(((scene.x + 0.6 * scene.y - (u[1] - 0.5)) / 0.06) ** 2))
    return np.asarray(dark * (0.8 + 0.4 * _color(u[2:5]) / 255) + 90 * u[5] * streak)


def _glasses(scene: Scene, u: np.ndarray) -> np.ndarray:
    return np.asarray(_pick(RIMS, u[0]) * (1 - 0.3 * scene.y + 0 * scene.x))


def _hat(scene: Scene, u: np.ndarray) -> np.ndarray:
    knit = np.sin(scene.x * (40 + 40 * u[3])) * np.sin(scene.y * (30 + 40 * u[4]))
    band = 1 - 0.25 * (np.sin(scene.y * 9 * u[5]) > 0.4)
    return np.asarray(_color(u[:3]) * (1 + 0.1 * knit) * band * (1 - 0.3 * scene.x**2))


def _bangs(scene: Scene, u: np.ndarray) -> np.ndarray:
    bend = scene.x + 0.15 * (u[8] - 0.5) * scene.y
    strands = sum(
        np.sin(bend * (25 + 35 * i + 20 * u[i]) + 6.3 * u[4 + i]) / (2 + i) for i in range(4)
    )
    tone = _pick(HAIR, u[9]) * (0.8 + 0.4 * u[10])
    return np.asarray(tone * (1 + 0.22 * strands) * (1 - 0.15 * scene.y))


def _scarf(scene: Scene, u: np.ndarray) -> np.ndarray:
    across = np.sin(scene.x * (8 + 20 * u[6]) + scene.y * 3) > 0.3
    down = np.sin(scene.y * (8 + 20 * u[7]) - scene.x * 2) > 0.3
    other = _color(u[3:6])
    base = _color(u[:3])
    return np.asarray(base + 0.35 * (other - base) * (across.astype(np.float32) + down))


def _hand(scene: Scene, u: np.ndarray) -> np.ndarray:
    tone = scene.skin() * (0.9 + 0.25 * u[0])
    shade = 1 + 0.08 * np.sin(scene.x * 14 + 6.3 * u[1]) - 0.12 * scene.y
    return np.asarray(tone * shade)


def _blocks(scene: Scene, u: np.ndarray) -> np.ndarray:
    waves = np.sin(scene.x * 60 * u[3] + scene.y * 60 * u[4]) * 60 * u[5]
    return np.asarray(_color(u[:3]) + waves)


def _background(scene: Scene, u: np.ndarray) -> np.ndarray:
    slope = 0.5 + 0.5 * (scene.x * (2 * u[6] - 1) + scene.y * (2 * u[7] - 1))
    spots = np.sin(scene.x * 9 * u[8] + 6 * u[9]) * np.sin(scene.y * 9 * u[10] + 6 * u[11])
    first, second = _color(u[:3]), _color(u[3:6])
    return np.asarray(first + (second - first) * slope + 18 * spots)


PAINTS: dict[str, Paint] = {
    "mask": _medical_mask,
    "sunglasses": _sunglasses,
    "glasses": _glasses,
    "hat": _hat,
    "bangs": _bangs,
    "scarf": _scarf,
    "hand": _hand,
    "blocks": _blocks,
    "background": _background,
}
"""Every occluder by its name in editing.kinds."""
