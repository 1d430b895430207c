"""Images between uint8 and [-1, 1]."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from factory.images import to_network, to_uint8


def test_every_level_comes_back_and_the_ends_are_minus_one_and_one():
    images = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    x_BCHW = to_network(images)
    assert (float(x_BCHW.min()), float(x_BCHW.max())) == (-1.0, 1.0)
    assert np.array_equal(to_uint8(x_BCHW), images)
    divided = images.astype(np.float32) / np.float32(127.5) - np.float32(1)
    assert np.array_equal(x_BCHW.permute(0, 2, 3, 1).numpy(), divided)


def test_channels_come_first_and_last_in_memory():
    image = np.zeros((1, 2, 3, 3), np.uint8)
    image[0, 1, 2] = (255, 0, 51)
    x_BCHW = to_network(image)
    assert x_BCHW.shape == (1, 3, 2, 3)
    assert x_BCHW[0, :, 1, 2].tolist() == pytest.approx([1.0, -1.0, -0.6])
    assert x_BCHW.is_contiguous(memory_format=torch.channels_last)


def test_what_lies_outside_is_clamped_and_the_rest_rounded():
    x = torch.tensor([-3.0, -1.0, 0.0, 0.9999, 3.0]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    assert to_uint8(x)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]
