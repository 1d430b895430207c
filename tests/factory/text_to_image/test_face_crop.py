"""The differentiable crops against the ones that read pixels."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from factory.images import to_network, to_uint8
from factory.sources.alignment import TEMPLATE_52, align
from factory.text_to_image.face_crop import FaceCrop, aligned, boxed

POINTS = TEMPLATE_52 * 1.3 + np.array([20.0, 15.0])


def smooth_image(px: int) -> np.ndarray:
    noise = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (1, 3, 12, 12)))
    image = F.interpolate(noise, (px, px), mode="bicubic").clamp(0, 255)
    return image[0].permute(1, 2, 0).round().to(torch.uint8).numpy()


class FixedDetector:
    """A detector with a fixed answer, in pixels of the image it is given."""

    def __init__(self, detection):
        self.detection = detection

    def best(self, image_HWC):
        return self.detection


def test_aligned_is_the_warp_of_the_sources():
    image = smooth_image(200)
    ours = to_uint8(aligned(to_network(image[None])[0], POINTS, 112)[None])[0]
    theirs = align(image, POINTS, 112)
    assert np.abs(ours.astype(int) - theirs).mean() < 0.6


def test_a_large_face_is_averaged_before_it_is_sampled():
    stripes = np.zeros((448, 448, 3), np.uint8)
    stripes[:, ::2] = 255  # bilinear sampling of every fourth pixel would see one color
    crop = aligned(to_network(stripes[None])[0], TEMPLATE_52 * 4, 112)
    assert crop[:, 20:-20, 20:-20].abs().max() < 0.02


def test_a_large_face_is_where_its_points_are():
    """Shrunk three times before the warp: what it averages lies as the pixels did."""
    image = np.zeros((3, 336, 336))
    image[0], image[1] = np.meshgrid(np.arange(336.0), np.arange(336.0))
    points = TEMPLATE_52 * 3 + np.array([1.0, 2.0])
    crop = aligned(torch.from_numpy(image), points, 112)
    inside = slice(10, -10)
    x, y = np.meshgrid(np.arange(112.0), np.arange(112.0))
    np.testing.assert_allclose(crop[0, inside, inside], (3 * x + 1)[inside, inside], atol=0.05)
    np.testing.assert_allclose(crop[1, inside, inside], (3 * y + 2)[inside, inside], atol=0.05)


def test_a_crop_is_clamped_and_the_detector_sees_the_image_as_it_is():
    seen = []

    class Detector(FixedDetector):
        def best(self, image_HWC):
            seen.append(image_HWC)
            return self.detection

    image = to_network(smooth_image(56)[None])[0]
    detection = np.concatenate([[0, 0, 56, 56], (TEMPLATE_52 / 2).ravel(), [1.0]])
    for kind in ("landmarks", "box"):
        crop = FaceCrop(kind, Detector(detection), 56)(image * 3)
        assert crop.abs().max() <= 1
        wanted = FaceCrop(kind, Detector(detection), 56)((image * 3).clamp(-1, 1))
        torch.testing.assert_close(crop, wanted)
    assert (FaceCrop("whole", None, 56)(image * 3).abs() <= 1).all()
    assert np.array_equal(seen[1], to_uint8((image * 3).clamp(-1, 1)[None])[0])


def test_gradients_reach_every_pixel_of_the_face():
    image = torch.zeros(3, 160, 160, requires_grad=True)
    aligned(image, POINTS, 112).sum().backward()
    assert (image.grad[:, 30:140, 30:140] > 0).all()


def test_a_box_is_cut_at_the_edge():
    image = torch.arange(3 * 10 * 10.0).view(3, 10, 10)
    assert boxed(image, np.array([-3.0, 2.0, 7.0, 5.0])).equal(image[:, 2:7, 0:4])


@pytest.mark.parametrize("kind", ["landmarks", "box"])
def test_no_face_is_none_and_a_face_that_fills_the_image_is_all_of_it(kind):
    image = to_network(smooth_image(56)[None])[0]
    assert FaceCrop(kind, FixedDetector(None), 32)(image) is None
    detection = np.concatenate([[0, 0, 56, 56], (TEMPLATE_52 / 2).ravel(), [1.0]])
    whole = FaceCrop("whole", None, 56)(image)
    assert (FaceCrop(kind, FixedDetector(detection), 56)(image) - whole).abs().mean() < 0.02
