"""Noise of few paths a pixel, taken away without taking edges away.

Non-local means on two independent halves of the samples, whose difference tells how noisy each
pixel is (Rousselle, Knaus & Zwicker 2012, "Adaptive rendering with non-local means filtering"),
with normals and albedo of the first surface as a guide (Rousselle et al. 2013). Where strands lie,
whose normals say nothing, light is averaged along them and not across.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RADIUS = 2
"""Of the window in pixels. 3 costs twice the time for 2 % less error."""
STRENGTH = 1.0
"""How many standard deviations of noise two pixels may differ by."""
NORMAL_STD = 0.4
ALBEDO_STD = 0.1
ACROSS_STD_PX = 0.6
"""Across strands light is averaged over about one strand."""
STRAND_STD = 0.5
"""Difference of the share of strands in the neighborhood at which two pixels have no more to do
with each other."""
FLOOR = 0.02
"""Of brightness relative to the median, below which differences are not seen."""
SPIKE = 2.0
"""A sample path that is this much brighter than the other half is anywhere around is clipped."""


@dataclass(frozen=True)
class Guide:
    """What is known of each pixel's first surface without noise."""

    normals_HW3: np.ndarray
    albedo_HW3: np.ndarray
    strands_HW: np.ndarray
    """Bool: a strand shows."""
    tangents_HW2: np.ndarray
    """Unit direction of the strand in the image (x, y); zero elsewhere."""


def denoised(first_HWC: np.ndarray, second_HWC: np.ndarray, guide: Guide) -> np.ndarray:
    """Premultiplied linear RGBA float32 [H, W, 4] of two halves of the samples."""
    first_HWC, second_HWC = clipped(first_HWC, second_HWC), clipped(second_HWC, first_HWC)
    mean_HWC = (first_HWC + second_HWC) / 2
    tones = [_tone(half, mean_HWC) for half in (first_HWC, second_HWC)]
    noise_HW = _blur(((tones[0] - tones[1]) ** 2).mean(-1) / 4, 7)
    features = _Features(guide)
    tone_HWC = (tones[0] + tones[1]) / 2
    total_HWC, weight_HW = np.zeros_like(mean_HWC), np.zeros_like(noise_HW)
    tone_wide, noise_wide, mean_wide = _wide(tone_HWC), _wide(noise_HW), _wide(mean_HWC)
    for dy, dx in np.ndindex(2 * RADIUS + 1, 2 * RADIUS + 1):
        there = np.s_[dy : dy + noise_HW.shape[0], dx : dx + noise_HW.shape[1]]
        both_HW = noise_HW + noise_wide[there]
        expected = noise_HW + np.minimum(noise_HW, noise_wide[there])
        apart = ((tone_HWC - tone_wide[there]) ** 2).mean(-1) - expected
        apart = np.maximum(_blur(apart / (1e-4 + STRENGTH * both_HW), 3), 0)
        weight = np.exp(-apart - features.apart(there, dy - RADIUS, dx - RADIUS))
        total_HWC += weight[..., None] * mean_wide[there]
        weight_HW += weight
    return np.asarray(total_HWC / weight_HW[..., None], np.float32)


def clipped(half_HWC: np.ndarray, other_HWC: np.ndarray) -> np.ndarray:
    """One half without paths of rare luck that the other half has nothing like nearby."""
    import cv2

    near = cv2.dilate(np.ascontiguousarray(other_HWC, np.float32), np.ones((3, 3), np.uint8))
    limit = SPIKE * near + FLOOR * float(np.median(near[..., :3]))
    return np.asarray(np.minimum(half_HWC, limit))


class _Features:
    """How far the first surfaces of two pixels are apart."""

    def __init__(self, guide: Guide) -> None:
        strands = guide.strands_HW.astype(np.float32)
        self._share = _blur(strands, 3)
        surface = 1 - strands[..., None]
        self._plain = np.concatenate(
            [guide.normals_HW3 / NORMAL_STD, guide.albedo_HW3 / ALBEDO_STD], -1
        ).astype(np.float32)
        self._plain *= surface
        self._strands, self._strands_wide = strands, _wide(strands)
        self._plain_wide, self._share_wide = _wide(self._plain), _wide(self._share)
        x, y = guide.tangents_HW2[..., 0], guide.tangents_HW2[..., 1]
        self._tensor = [_blur(part.astype(np.float32), 3) for part in (x * x, x * y, y * y)]

    def apart(self, there: tuple[slice, slice], dy: int, dx: int) -> np.ndarray:
        both_plain = (1 - self._strands) * (1 - self._strands_wide[there])
        surface = ((self._plain - self._plain_wide[there]) ** 2).sum(-1) * both_plain
        share = ((self._share - self._share_wide[there]) / STRAND_STD) ** 2
        xx, xy, yy = self._tensor
        across = np.maximum(yy * dx * dx - 2 * xy * dx * dy + xx * dy * dy, 0)
        return np.asarray(surface + share + across / (2 * ACROSS_STD_PX**2))


def _tone(light_HWC: np.ndarray, mean_HWC: np.ndarray) -> np.ndarray:
    """Brightness as the eye sees it, about its square root, in medians of the picture's."""
    shown = mean_HWC[..., 3] > 0.5
    level = float(np.median(mean_HWC[shown][:, :3])) if shown.any() else 1.0
    scaled = np.maximum(light_HWC, 0) / [*([max(level, 1e-6)] * 3), 1.0]
    return np.asarray(np.sqrt(scaled + FLOOR), np.float32)


def _blur(values: np.ndarray, side: int) -> np.ndarray:
    import cv2

    return np.asarray(cv2.blur(np.ascontiguousarray(values, np.float32), (side, side)))


def _wide(values: np.ndarray) -> np.ndarray:
    pad = [(RADIUS, RADIUS)] * 2 + [(0, 0)] * (values.ndim - 2)
    return np.pad(values, pad, mode="reflect")
