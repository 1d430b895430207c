"""Sharpness and brightness of a batch against the formulas for one image in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory.quality.pixels import sharpness_and_brightness

GRAY = np.array([0.299, 0.587, 0.114])


def of_one(image_HWC: np.ndarray) -> tuple[float, float]:
    gray = image_HWC @ GRAY
    laplacian = (
        gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * gray[1:-1, 1:-1]
    )
    return laplacian.var(), gray.mean()


@pytest.mark.parametrize("side", [(16, 16), (9, 21), (512, 512)])
def test_a_batch_is_measured_as_each_of_its_images(side):
    images = np.random.default_rng(0).integers(0, 256, (3, *side, 3), np.uint8)
    images[1] = np.indices(side).sum(0)[..., None] % 2 * 255  # the largest Laplacian there is
    sharp, bright = sharpness_and_brightness(torch.from_numpy(images))
    wanted = [of_one(image) for image in images]
    np.testing.assert_allclose(sharp, [one[0] for one in wanted], rtol=1e-11)
    np.testing.assert_allclose(bright, [one[1] for one in wanted], rtol=1e-12)


def test_sharpness_of_a_checkerboard_beats_a_ramp():
    board = np.indices((16, 16)).sum(0) % 2 * 255
    ramp = np.tile(np.arange(16) * 16, (16, 1))
    images = np.stack([board, ramp])[..., None].repeat(3, 3).astype(np.uint8)
    (sharp, flat), bright = sharpness_and_brightness(images)
    assert sharp == (4 * 2 * 127.5) ** 2  # every pixel differs from its four neighbors by 255
    assert flat == 0
    assert bright == [127.5, 120]
