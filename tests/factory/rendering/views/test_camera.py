from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from factory.config.rendering import RenderingConfig
from factory.rendering.view import Camera
from factory.rendering.views.camera import (
    BLOCK_PX,
    FACE_LEVEL,
    FARTHEST_CM,
    KNEE,
    METERING,
    MIDDLE,
    NEAREST_CM,
    READ_FRACTION,
    developed,
    draw_camera,
    encode_srgb,
    exposure_gain,
    jpeg,
    motion_kernel,
    noisy,
    sampled,
    saturated,
    srgb_slope,
    through_lens,
    tone_curve,
)

CAMERAS = [draw_camera(RenderingConfig(), np.random.default_rng([3, n])) for n in range(600)]
ALL = np.ones((112, 112), bool)


def _picture() -> np.ndarray:
    """Linear light with smooth and fine structure."""
    y, x = np.mgrid[:112, :112] / 112
    waves = 0.25 + 0.15 * np.sin(9 * x + 4 * y) + 0.08 * np.sin(90 * x) * np.sin(70 * y)
    return np.stack([waves, 0.8 * waves, 0.6 * waves + 0.1 * x], -1)


def test_srgb_is_that_of_the_standard() -> None:
    values = encode_srgb(np.array([0, 0.0031308, 0.2140411, 0.5, 1.0, 3.0, -1.0]))
    assert values == pytest.approx([0, 0.0404499, 0.5, 0.7353570, 1, 1, 0], abs=1e-6)
    encoded = np.linspace(0, 1, 1001)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    assert encode_srgb(linear) == pytest.approx(encoded, abs=2e-7)


def test_slope_of_srgb_is_its_derivative() -> None:
    above, below = encode_srgb(np.array([MIDDLE + 1e-6, MIDDLE - 1e-6]))
    assert srgb_slope(MIDDLE) == pytest.approx((above - below) / 2e-6, rel=1e-5)


@pytest.mark.parametrize("contrast", [0.8, 1.0, 1.3])
def test_tone_curve_rises_stays_below_one_and_keeps_the_middle(contrast: float) -> None:
    linear = np.linspace(0, 4, 4001)
    curve = tone_curve(linear, contrast)
    assert (np.diff(curve[curve < 1 - 1e-9]) > 0).all()
    assert curve[0] == 0
    assert curve[-1] <= 1
    assert tone_curve(np.array([MIDDLE]), contrast)[0] == pytest.approx(MIDDLE)
    above, below = tone_curve(np.array([MIDDLE + 1e-6, MIDDLE - 1e-6]), contrast)
    assert (above - below) / 2e-6 == pytest.approx(contrast, rel=1e-4)


def test_the_shoulder_continues_the_curve_without_a_bend() -> None:
    at = KNEE + np.array([-2e-5, -1e-5, 1e-5, 2e-5])
    values = tone_curve(at, 1.0)
    assert values == pytest.approx(at, abs=1e-8)
    assert tone_curve(np.array([1.0]), 1.0)[0] == pytest.approx(1 - 0.5 * np.exp(-1))


def test_exposure_brings_a_face_to_its_level() -> None:
    light = np.full((20, 20, 3), FACE_LEVEL)
    face = np.zeros((20, 20), bool)
    face[5:15, 5:15] = True
    light[~face] = 40.0  # which nobody meters
    assert FACE_LEVEL * exposure_gain(light, face, 0.0) == pytest.approx(MIDDLE)
    assert FACE_LEVEL * exposure_gain(light, face, -1.0) == pytest.approx(MIDDLE / 2)
    dark = light / 4
    brought = FACE_LEVEL / 4 * exposure_gain(dark, face, 0.0)
    assert np.log2(brought / MIDDLE) == pytest.approx(-2 * (1 - METERING))


def test_a_face_darker_by_two_stops_comes_out_darker_by_nine_tenths_of_one() -> None:
    """Metering takes back .55 of them: 2 * .45 = .9."""
    face = np.ones((4, 4), bool)
    lights = [np.full((4, 4, 3), 0.18 / factor) for factor in (1, 4)]
    shown = [float((light * exposure_gain(light, face, 0.0)).mean()) for light in lights]
    assert np.log2(shown[0] / shown[1]) == pytest.approx(0.9)


def test_a_middling_face_is_developed_to_the_middle() -> None:
    light = np.full((112, 112, 3), FACE_LEVEL)
    image = developed(light, ALL, Camera(), 1)
    assert (image == round(255 * float(encode_srgb(np.array(MIDDLE))))).all()


def test_without_a_face_the_image_is_metered_and_black_stays_black() -> None:
    nobody = np.zeros((112, 112), bool)
    light = np.full((112, 112, 3), FACE_LEVEL)
    assert (developed(light, nobody, Camera(), 1) == developed(light, ALL, Camera(), 1)).all()
    assert (developed(np.zeros((112, 112, 3)), nobody, Camera(), 1) == 0).all()


def test_white_balance_are_gains_of_exposed_light() -> None:
    light = np.full((112, 112, 3), FACE_LEVEL) * [1.2, 1.0, 0.7]
    gains = tuple(float(gain) for gain in 1 / np.array([1.2, 1.0, 0.7]))
    image = developed(light, ALL, Camera(white_balance=gains), 1)
    assert np.ptp(image, axis=-1).max() == 0


def test_saturation_keeps_gray_and_luminance() -> None:
    colors = np.random.default_rng(1).random((5, 5, 3))
    luminance = [0.2126, 0.7152, 0.0722]
    assert saturated(colors, 1.4) @ luminance == pytest.approx(colors @ luminance)
    assert np.ptp(saturated(colors, 0.0), axis=-1) == pytest.approx(0)
    assert np.ptp(saturated(colors, 2.0), axis=-1) == pytest.approx(2 * np.ptp(colors, axis=-1))


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_noise_at_the_middle_is_what_was_asked_for(noise: float) -> None:
    light = np.full((112, 112, 3), FACE_LEVEL)
    image = developed(light, ALL, Camera(noise=noise, contrast=1.2), 5) / 255
    quantized = np.sqrt(noise**2 + (1 / 255) ** 2 / 12)
    assert image.std() == pytest.approx(quantized, rel=0.02)


def test_variance_of_noise_is_linear_in_the_light() -> None:
    variances = []
    for level in (0.0, MIDDLE, 3 * MIDDLE):
        light = np.full((200, 200, 3), level)
        variances.append((noisy(light, 0.02, 1.0, np.random.default_rng(2)) - light).var())
    std = 0.02 / srgb_slope(MIDDLE)
    expected = std**2 * np.array([READ_FRACTION, 1, 3 - 2 * READ_FRACTION])
    assert variances == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("side_px", [112, 56, 168])
def test_defocus_is_a_gaussian_of_its_width(side_px: int) -> None:
    light = np.zeros((side_px, side_px, 3))
    light[side_px // 2, side_px // 2] = 1
    blurred = through_lens(light, Camera(defocus_px=2.0))[..., 0]
    x = np.arange(side_px) - side_px // 2
    assert blurred.sum() == pytest.approx(1)
    for axis in (0, 1):
        variance = (blurred.sum(axis) * x**2).sum()
        assert np.sqrt(variance) == pytest.approx(2 * side_px / 112, rel=0.02)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
def test_motion_goes_along_its_angle(angle: float) -> None:
    kernel = motion_kernel(6.0, angle)
    y, x = np.indices(kernel.shape) - len(kernel) // 2
    assert kernel.sum() == pytest.approx(1)
    along = x * np.cos(np.radians(angle)) - y * np.sin(np.radians(angle))
    across = x * np.sin(np.radians(angle)) + y * np.cos(np.radians(angle))
    assert (kernel * x).sum() == pytest.approx(0, abs=1e-9)
    assert (kernel * along**2).sum() == pytest.approx(6**2 / 12, abs=0.5)
    assert (kernel * across**2).sum() < 0.4


def test_flare_lifts_shadows_and_keeps_the_whole_light() -> None:
    light = _picture()
    hazy = through_lens(light, Camera(flare=0.2))
    assert hazy.mean((0, 1)) == pytest.approx(light.mean((0, 1)))
    assert hazy.std() == pytest.approx(0.8 * light.std(), rel=0.1)
    assert hazy.min() > light.min()


def test_pixels_of_a_smaller_sensor_are_averages() -> None:
    light = np.random.default_rng(0).random((8, 8, 3))
    mean = light.reshape(4, 2, 4, 2, 3).mean((1, 3))
    assert sampled(light, 4) == pytest.approx(mean)
    assert sampled(light, 8) is light


def test_small_faces_lose_detail() -> None:
    def sharpness(captured_px: int) -> float:
        image = developed(_picture(), ALL, Camera(captured_px=captured_px), 1)[..., 1]
        return float(np.diff(image.astype(float), axis=1).var())

    assert image_shape(40) == (112, 112, 3)
    assert sharpness(32) < 0.5 * sharpness(64) < 0.9 * sharpness(112)
    assert sharpness(112) == sharpness(300)


def image_shape(captured_px: int) -> tuple[int, ...]:
    return developed(_picture(), ALL, Camera(captured_px=captured_px), 1).shape


def test_jpeg_is_the_worse_the_lower_its_quality() -> None:
    image = developed(_picture(), ALL, Camera(), 1)

    def error(quality: int) -> float:
        kept = jpeg(image, quality, np.random.default_rng(0))
        assert kept.shape == image.shape
        return float(np.square(kept.astype(float) - image).mean())

    errors = [error(quality) for quality in (30, 60, 75, 90, 95, 100)]
    assert all(one > other for one, other in pairwise(errors))
    assert errors[-1] == 0


def test_blocks_of_jpeg_start_anywhere() -> None:
    image = developed(_picture(), ALL, Camera(), 1)
    kinds = {jpeg(image, 30, np.random.default_rng(seed)).tobytes() for seed in range(6)}
    assert len(kinds) == 6
    assert BLOCK_PX == 16


def test_the_same_seed_develops_the_same_bytes() -> None:
    camera = CAMERAS[0]
    images = [developed(_picture(), ALL, camera, seed) for seed in (4, 4, 5)]
    assert images[0].tobytes() == images[1].tobytes() != images[2].tobytes()
    assert images[0].dtype == np.uint8


def test_light_is_not_changed_by_developing() -> None:
    light = _picture()
    before = light.copy()
    developed(light, ALL, CAMERAS[1], 1)
    assert (light == before).all()


def test_cameras_are_drawn_within_their_ranges() -> None:
    distances = np.array([camera.distance for camera in CAMERAS])
    assert NEAREST_CM <= distances.min()
    assert distances.max() <= FARTHEST_CM
    assert np.exp(np.log(distances).mean()) == pytest.approx(110, rel=0.06)
    assert {60, 95} <= {camera.jpeg_quality for camera in CAMERAS}
    assert all(60 <= camera.jpeg_quality <= 95 for camera in CAMERAS)
    stops = np.array([camera.exposure for camera in CAMERAS])
    assert stops.mean() == pytest.approx(0, abs=0.05)
    assert stops.std() == pytest.approx(0.35, abs=0.03)
    moved = np.mean([camera.motion_px > 0 for camera in CAMERAS])
    assert moved == pytest.approx(0.08, abs=0.035)
    gains = np.log([camera.white_balance for camera in CAMERAS])
    assert np.abs(gains.mean(0)).max() < 0.006
    assert (gains[:, 0] * gains[:, 2] <= 0).all()  # amber or blue, not both


def test_a_clean_camera_stands_where_the_other_one_does() -> None:
    config = replace(RenderingConfig(), camera="clean")
    for number, camera in enumerate(CAMERAS[:20]):
        clean = draw_camera(config, np.random.default_rng([3, number]))
        assert clean == Camera(distance=camera.distance)
        assert clean.noise == clean.defocus_px == clean.motion_px == clean.flare == 0
