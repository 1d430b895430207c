"""PSNR and identity cosine of reconstructions, by known errors and known vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from factory.diffusion.reconstruction import (
    HELDOUT,
    LARGEST_DB,
    TRAINING,
    evenly_spaced,
    measure,
    measured_faces,
    psnr_db,
)


class Shifted:
    """An autoencoder that gives faces back some gray levels brighter."""

    def __init__(self, levels: float) -> None:
        self.levels = levels

    def encode(self, images_NHWC: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(images_NHWC.astype(np.float32)).permute(0, 3, 1, 2)

    def decode(self, z_BCHW: torch.Tensor) -> torch.Tensor:
        return (z_BCHW + self.levels) / 127.5 - 1


class Turning:
    """A recognizer by which every face after the first call is 60 degrees from what it was."""

    device, image_px = torch.device("cpu"), 8

    def __init__(self) -> None:
        self.calls = 0

    def embed(self, images_NHWC: np.ndarray) -> np.ndarray:
        angle = math.pi / 3 * self.calls
        self.calls += 1
        return np.tile(np.float32([math.cos(angle), math.sin(angle)]), (len(images_NHWC), 1))


class Faces:
    def __init__(self, count: int, level: int = 100) -> None:
        self.images_NHWC = np.full((count, 8, 8, 3), level, np.uint8)

    def __len__(self) -> int:
        return len(self.images_NHWC)


@pytest.mark.parametrize("levels", [1, 5, 51])
def test_psnr_of_a_known_error(levels):
    """An error of d levels everywhere has 20 log10(255 / d) dB: 48.13, 34.15, 13.98."""
    images = np.full((3, 4, 4, 3), 100, np.uint8)
    worse = np.stack([images[0], images[1] + levels, images[2] - levels])
    exact, one, two = psnr_db(images, worse)
    assert exact == pytest.approx(LARGEST_DB)
    assert one == two == pytest.approx(20 * math.log10(255 / levels))


def test_an_autoencoder_is_measured_by_its_error_and_its_cosine():
    measured = measure(Shifted(51), Turning(), Faces(3), HELDOUT)
    assert measured["psnr_db"] == pytest.approx(20 * math.log10(5), abs=1e-4)
    assert measured["identity_cosine_mean"] == pytest.approx(0.5, abs=1e-6)
    assert (measured["num_images"], measured["faces"]) == (3, "held-out faces")


def test_faces_held_out_are_measured_where_there_are_some():
    training, heldout, nobody = Faces(4), Faces(2), Faces(0)
    assert measured_faces(training, heldout) == (heldout, HELDOUT)
    assert measured_faces(training, nobody) == (training, TRAINING)


def test_many_faces_are_thinned_out_evenly():
    assert evenly_spaced(9, 5).tolist() == [0, 2, 4, 6, 8]
    assert evenly_spaced(3, 5).tolist() == [0, 1, 2]
