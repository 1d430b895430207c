"""From the light that a camera catches to the bytes of a photograph, in a camera's own order.

1. Lens, in linear light: defocus (Gaussian), motion (a line), flare.
2. Exposure: metered on the face, and the camera's own stops added to it.
3. Sensor, at the size that the face had in the photograph: shot noise and read noise. Noise before
   white balance, so that the weak channel of warm light is the noisy one (Healey & Kondepudy 1994,
   "Radiometric CCD camera calibration and noise estimation": a variance linear in the signal).
4. White balance and saturation.
5. Tone curve with a shoulder, encoding of sRGB (IEC 61966-2-1), 8 bits.
6. JPEG, whose blocks do not start at the image's corner.
7. Scaling to the size of the image, bilinear as alignment does it.
"""

from __future__ import annotations

import io

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering.view import Camera

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Of linear sRGB (Rec. 709)."""
MIDDLE = 0.22
"""Linear value, of 1, that a face of FACE_LEVEL gets, and the pivot of contrast; LFW's faces have a
median of .24."""
FACE_LEVEL = 0.18
"""Luminance of a face of middling skin in light of irradiance pi (lights.balanced)."""
METERING = 0.55
"""Part of a face's own darkness that metering takes back, in stops. At 1 all skins would come out
alike; photographers and cameras look at the whole image too."""
MOST_GAIN = 8.0
"""Exposure never more than this relative to the usual one: what is darker stays dark."""
KNEE = 0.5
"""Linear value where the tone curve's shoulder begins."""
READ_FRACTION = 0.25
"""Of the noise's variance at mid-gray, what does not come from photons."""
SUBSAMPLING = 2
"""Pillow's number of 4:2:0, as telephones and the web store colors."""
BLOCK_PX = 16
"""Side of a JPEG block with 4:2:0."""
SRGB_LINEAR, SRGB_SLOPE, SRGB_OFFSET, SRGB_GAMMA = 0.0031308, 12.92, 0.055, 2.4
NEAREST_CM, FARTHEST_CM = 40.0, 300.0
"""A telephone at arm's length or nearer, and a telephoto lens."""
SMALLEST_PX, LARGEST_PX = 60, 320
"""Sides of a face in photographs: web thumbnails to portraits."""


def draw_camera(config: RenderingConfig, rng: np.random.Generator) -> Camera:
    """A camera for one image; its white balance is a residual, beside that of the light.

    With camera=clean only the distance varies. All is drawn in either case, so that both stand at
    the same place.
    """
    iso = float(rng.beta(1.2, 3.0))
    camera = Camera(
        distance=_log_normal(rng, 110.0, 0.5, NEAREST_CM, FARTHEST_CM),
        exposure=float(np.clip(0.36 * rng.standard_normal(), -1.2, 0.7)),
        white_balance=_residual(rng),
        contrast=float(np.clip(1.42 + 0.15 * rng.standard_normal(), 0.95, 1.8)),
        saturation=float(np.clip(1.0 + 0.12 * rng.standard_normal(), 0.75, 1.45)),
        defocus_px=_log_normal(rng, 0.62, 0.17, 0.4, 1.1),
        motion_px=float(min(rng.exponential(1.1), 4.0)) if rng.random() < 0.08 else 0.0,
        motion_angle=float(rng.uniform(0, 180)),
        noise=0.002 + 0.02 * iso**2,
        captured_px=round(_log_normal(rng, 125.0, 0.26, SMALLEST_PX, LARGEST_PX)),
        jpeg_quality=int(rng.integers(60, 96)),
        flare=float(0.04 * rng.beta(1.0, 3.0)),
        adaptation=float(rng.uniform(0.7, 1.0)),
    )
    return Camera(distance=camera.distance) if config.camera == "clean" else camera


def _log_normal(
    rng: np.random.Generator, median: float, std: float, low: float, high: float
) -> float:
    """`std` is that of the natural logarithm; what is beyond the bounds is drawn again."""
    while True:
        value = median * float(np.exp(std * rng.standard_normal()))
        if low <= value <= high:
            return value


def _residual(rng: np.random.Generator) -> tuple[float, float, float]:
    """Gains by which a white balance is wrong: mostly from blue to amber, little green."""
    amber, green = 0.035 * rng.standard_normal(), 0.012 * rng.standard_normal()
    return float(np.exp(amber)), float(np.exp(green)), float(np.exp(-1.3 * amber))


def developed(light_HWC: np.ndarray, face_HW: np.ndarray, camera: Camera, seed: int) -> np.ndarray:
    """RGB uint8 [H, W, 3] of linear light float [H, W, 3], exposed for the pixels of `face_HW`.

    In the order of this module. Blurs scale with H / 112; without a face all pixels are metered.
    """
    rng = np.random.default_rng([seed, 41])
    image = through_lens(np.maximum(light_HWC, 0).astype(np.float64), camera)
    image = image * exposure_gain(light_HWC, face_HW, camera.exposure)
    image = sampled(image, min(camera.captured_px, len(image)))
    image = noisy(image, camera.noise, camera.contrast, rng)
    image = saturated(image * np.array(camera.white_balance), camera.saturation)
    encoded = encode_srgb(tone_curve(image, camera.contrast))
    stored = jpeg((encoded * 255 + 0.5).astype(np.uint8), camera.jpeg_quality, rng)
    return _enlarged(stored, len(light_HWC))


def through_lens(light_HWC: np.ndarray, camera: Camera) -> np.ndarray:
    """Light after defocus, motion and flare, float64 [H, W, 3]; its sum stays the same inside."""
    import cv2

    scale = len(light_HWC) / 112
    image = light_HWC
    if camera.defocus_px > 0:
        std = camera.defocus_px * scale
        image = cv2.GaussianBlur(image, (0, 0), std, borderType=cv2.BORDER_REPLICATE)
    if camera.motion_px > 0:
        kernel = motion_kernel(camera.motion_px * scale, camera.motion_angle)
        image = cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(image + camera.flare * (image.mean((0, 1)) - image))


def motion_kernel(length_px: float, angle_deg: float) -> np.ndarray:
    """Path of a point that moves evenly along a line, [K, K] with K odd, of sum 1."""
    reach = int(np.ceil(length_px / 2)) + 1
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    along = np.linspace(-length_px / 2, length_px / 2, 8 * reach + 1)
    x = reach + along * np.cos(np.radians(angle_deg))
    y = reach - along * np.sin(np.radians(angle_deg))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):  # bilinear
        part = np.abs(1 - right - (x - left)) * np.abs(1 - below - (y - top))
        np.add.at(kernel, (top + below, left + right), part)
    return np.asarray(kernel / kernel.sum())


def exposure_gain(light_HWC: np.ndarray, face_HW: np.ndarray, stops: float) -> float:
    """What light is multiplied by: a face of luminance FACE_LEVEL (median) becomes MIDDLE.

    A face darker by n stops comes out darker by (1 - METERING) * n.
    """
    luminance = light_HWC @ LUMINANCE
    metered = luminance[face_HW] if face_HW.any() else luminance
    relative = max(float(np.median(metered)), 1e-6) / FACE_LEVEL
    gain = min(relative**-METERING, MOST_GAIN)
    return float(MIDDLE / FACE_LEVEL * gain * 2**stops)


def sampled(image_HWC: np.ndarray, side_px: int) -> np.ndarray:
    """An image as a sensor of fewer pixels sees it: [side, side, 3], each pixel an average."""
    import cv2

    if side_px >= len(image_HWC):
        return image_HWC
    return np.asarray(cv2.resize(image_HWC, (side_px, side_px), interpolation=cv2.INTER_AREA))


def noisy(
    image_HWC: np.ndarray, noise: float, contrast: float, rng: np.random.Generator
) -> np.ndarray:
    """Exposed linear light with shot and read noise, of which `noise` is left at mid-gray.

    `noise` is a standard deviation of encoded values, so it is divided by the slope of tone curve
    and encoding at MIDDLE.
    """
    if noise == 0:
        return image_HWC
    std = noise / (contrast * srgb_slope(MIDDLE))
    photons = np.maximum(image_HWC, 0) / MIDDLE * (1 - READ_FRACTION)
    return np.asarray(
        image_HWC + std * np.sqrt(photons + READ_FRACTION) * rng.standard_normal(image_HWC.shape)
    )


def saturated(image_HWC: np.ndarray, saturation: float) -> np.ndarray:
    """Linear light with colors farther from their gray: 0 is gray, 1 as it was."""
    gray = (image_HWC @ LUMINANCE)[..., None]
    return np.asarray(gray + saturation * (image_HWC - gray))


def tone_curve(linear: np.ndarray, contrast: float) -> np.ndarray:
    """A power about MIDDLE, and above KNEE a shoulder toward 1; rises everywhere.

    MIDDLE stays as it is, with a slope of `contrast`. The shoulder is an exponential that goes on
    with the power's own slope, so highlights fade as on film in the place of burning out.
    """
    power = MIDDLE * (np.maximum(linear, 0) / MIDDLE) ** contrast
    shoulder = 1 - (1 - KNEE) * np.exp(-np.maximum(power - KNEE, 0) / (1 - KNEE))
    return np.asarray(np.where(power < KNEE, power, shoulder))


def encode_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] as sRGB stores it, IEC 61966-2-1."""
    value = np.clip(linear, 0, 1)
    curve = (1 + SRGB_OFFSET) * value ** (1 / SRGB_GAMMA) - SRGB_OFFSET
    return np.asarray(np.where(value <= SRGB_LINEAR, SRGB_SLOPE * value, curve))


def srgb_slope(linear: float) -> float:
    """Derivative of `encode_srgb` above SRGB_LINEAR."""
    return float((1 + SRGB_OFFSET) / SRGB_GAMMA * linear ** (1 / SRGB_GAMMA - 1))


def jpeg(image_HWC: np.ndarray, quality: int, rng: np.random.Generator) -> np.ndarray:
    """What JPEG leaves of an RGB uint8 image, of which the blocks start anywhere; 100: all of it.

    A photograph's blocks do not know where the face is, so the image is moved before.
    """
    from PIL import Image

    left, top = (int(shift) for shift in rng.integers(0, BLOCK_PX, 2))
    if quality >= 100:
        return image_HWC
    padded = np.pad(image_HWC, ((top, 0), (left, 0), (0, 0)), mode="edge")
    file = io.BytesIO()
    Image.fromarray(padded).save(file, "JPEG", quality=quality, subsampling=SUBSAMPLING)
    return np.asarray(Image.open(file).convert("RGB"))[top:, left:]


def _enlarged(image_HWC: np.ndarray, side_px: int) -> np.ndarray:
    import cv2

    if len(image_HWC) == side_px:
        return image_HWC
    size = (side_px, side_px)
    return np.asarray(cv2.resize(image_HWC, size, interpolation=cv2.INTER_LINEAR))
