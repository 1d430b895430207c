"""Do images of rendered people vary as photographs do? The same statistics of both, and ratios.

    python -m tests.benchmarks.view_statistics PHOTOGRAPHS OTHERS --images 400

PHOTOGRAPHS and OTHERS are folders or tars of aligned 112-pixel faces, or `rendered:PEOPLE:IMAGES`.
Prints JSON: for each statistic its mean, standard deviation and percentiles on both sides, the
ratio of the standard deviations (others' to the photographs'), and the largest distance of the two
cumulative distributions (Kolmogorov-Smirnov: 0 alike, 1 disjoint). Where one side is gray, the
other is made gray. Yaw and pitch are estimates from YuNet's five points, by `sources.pose`.
"""

from __future__ import annotations

import argparse
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from factory.sources.alignment import TEMPLATE_52
from factory.sources.detector import DETECT_PX, YuNet
from factory.sources.pose import pitch_degrees, yaw_degrees

PERCENTILES = (5, 25, 50, 75, 95)
LUMA = np.array([0.299, 0.587, 0.114])
PAD = 32
GRAY_SPREAD = 2.0
"""Mean difference of channels, of 255, below which images are gray."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("photographs")
    parser.add_argument("others")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("dotlist", nargs="*", help="rendering keys, such as light=studio")
    arguments = parser.parse_intermixed_args()
    sides = [
        list(images_of(which, arguments.images, arguments.dotlist))
        for which in (arguments.photographs, arguments.others)
    ]
    if any(is_gray(images) for images in sides):
        sides = [[grayed(image) for image in images] for images in sides]
    detector = YuNet("starter", enlarge_to=DETECT_PX)
    print(json.dumps(compared(*(table(images, detector) for images in sides)), indent=1))


def images_of(which: str, limit: int, dotlist: list[str]) -> Iterator[np.ndarray]:
    """RGB uint8 [112, 112, 3] of a folder, a tar or rendered people, evenly chosen."""
    if which.startswith("rendered:"):
        yield from rendered(*(int(part) for part in which.split(":")[1:]), dotlist)
    elif Path(which).is_dir():
        files = sorted(f for f in Path(which).rglob("*") if f.suffix in (".jpg", ".png"))
        yield from (opened(f.read_bytes()) for f in evenly(files, limit))
    else:
        with tarfile.open(which) as tar:
            members = sorted((m for m in tar if m.isfile()), key=lambda member: member.name)
            for member in evenly(members, limit):
                file = tar.extractfile(member)
                assert file is not None
                yield opened(file.read())


def evenly(items: list, limit: int) -> list:
    places = np.linspace(0, len(items) - 1, min(limit, len(items))).astype(int)
    return [items[place] for place in places]


def opened(content: bytes) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def rendered(people: int, images: int, dotlist: list[str]) -> Iterator[np.ndarray]:
    from omegaconf import OmegaConf

    from factory.config.rendering import RenderingConfig
    from factory.rendering.people.people import draw_person
    from factory.rendering.renderer import Renderer
    from factory.rendering.views.images import draw_view

    merged = OmegaConf.merge(OmegaConf.structured(RenderingConfig), OmegaConf.from_dotlist(dotlist))
    config = OmegaConf.to_object(merged)
    assert isinstance(config, RenderingConfig)
    renderer = Renderer(config)
    for person in (draw_person(config, number) for number in range(people)):
        for image in range(images):
            yield renderer.render(person, draw_view(config, person, image)).image_HWC


def is_gray(images: list[np.ndarray]) -> bool:
    spread = [np.ptp(image.astype(float), axis=-1).mean() for image in images[:20]]
    return float(np.mean(spread)) < GRAY_SPREAD


def grayed(image_HWC: np.ndarray) -> np.ndarray:
    gray = (image_HWC @ LUMA + 0.5).astype(np.uint8)
    return np.repeat(gray[..., None], 3, -1)


def table(images: list[np.ndarray], detector: YuNet) -> dict[str, np.ndarray]:
    """Each statistic of each image [N]; NaN where no face was found."""
    rows = [pixel_statistics(image) | point_statistics(image, detector) for image in images]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def pixel_statistics(image_HWC: np.ndarray) -> dict[str, float]:
    """Of the ellipse that a face fills, of the upper corners, and of the whole image."""
    gray = image_HWC @ LUMA
    linear = linear_of(image_HWC / 255.0)
    light = linear @ np.array([0.2126, 0.7152, 0.0722])
    y, x = np.mgrid[:112, :112]
    face = ((x - 56) / 27) ** 2 + ((y - 70) / 36) ** 2 < 1
    corners = (y < 24) & ((x < 18) | (x > 93))
    cheeks = (y > 58) & (y < 88) & face
    low, high = np.percentile(gray[face], [5, 95])
    red, green, blue = linear[face].mean(0)
    largest = linear[face].max(-1)
    return {
        "face_median": float(np.median(gray[face])),
        "face_spread": float(high - low),
        "face_burned": float((gray[face] > 250).mean()),
        "face_black": float((gray[face] < 8).mean()),
        "left_to_right_stops": ratio_stops(light, cheeks & (x < 50), cheeks & (x > 62)),
        "upper_to_lower_stops": ratio_stops(light, face & (y < 48), face & (y > 92)),
        "corner_mean": float(gray[corners].mean()),
        "corner_spread": float(gray[corners].std()),
        "log_sharpness": float(np.log(laplacian(gray)[1:-1, 1:-1].var() + 1e-3)),
        "noise": noise_of(gray),
        "red_to_green_stops": float(np.log2((red + 1e-4) / (green + 1e-4))),
        "blue_to_green_stops": float(np.log2((blue + 1e-4) / (green + 1e-4))),
        "face_saturation": float(((largest - linear[face].min(-1)) / (largest + 1e-4)).mean()),
    }


def ratio_stops(light_HW: np.ndarray, one: np.ndarray, other: np.ndarray) -> float:
    return float(np.log2((np.median(light_HW[one]) + 1e-3) / (np.median(light_HW[other]) + 1e-3)))


def linear_of(encoded: np.ndarray) -> np.ndarray:
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def laplacian(gray_HW: np.ndarray) -> np.ndarray:
    around = sum(np.roll(gray_HW, shift, axis) for shift in (1, -1) for axis in (0, 1))
    return np.asarray(around - 4 * gray_HW)


def noise_of(gray_HW: np.ndarray) -> float:
    """Standard deviation of the noise (Immerkaer 1996), by the median over tiles of 16 pixels."""
    rows = np.diff(gray_HW, 2, axis=0)
    second = np.abs(np.diff(rows, 2, axis=1))[:96, :96]
    tiles = second.reshape(6, 16, 6, 16).mean((1, 3)) * np.sqrt(np.pi / 2) / 6
    return float(np.percentile(tiles, 25))


def point_statistics(image_HWC: np.ndarray, detector: YuNet) -> dict[str, float]:
    points = detector.landmarks(np.pad(image_HWC, ((PAD, PAD), (PAD, PAD), (0, 0)), mode="edge"))
    if points is None:
        return dict.fromkeys(("found", "yaw", "pitch", "mouth_width", "point_error_px"), np.nan)
    points = points - PAD
    eyes, mouth = points[1] - points[0], points[4] - points[3]
    return {
        "found": 1.0,
        "yaw": yaw_degrees(points),
        "pitch": pitch_degrees(points),
        "mouth_width": float(np.hypot(*mouth) / np.hypot(*eyes)),
        "point_error_px": float(np.hypot(*(points - TEMPLATE_52).T).mean()),
    }


def compared(
    photographs: dict[str, np.ndarray], others: dict[str, np.ndarray]
) -> dict[str, dict[str, object]]:
    result: dict[str, dict[str, object]] = {}
    for name, one in photographs.items():
        known, other = one[np.isfinite(one)], others[name][np.isfinite(others[name])]
        result[name] = {
            "photographs": summary(known),
            "others": summary(other),
            "std_ratio": round(float(other.std() / (known.std() + 1e-12)), 3),
            "distance": round(distance(known, other), 3),
        }
    result["found"] = {
        "photographs": float(np.isfinite(photographs["found"]).mean()),
        "others": float(np.isfinite(others["found"]).mean()),
    }
    return result


def summary(values: np.ndarray) -> dict[str, object]:
    percentiles = np.percentile(values, PERCENTILES).round(3).tolist()
    return {"mean": round(float(values.mean()), 3), "std": round(float(values.std()), 3),
            "percentiles": percentiles}  # fmt: skip


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Largest distance of two cumulative distributions."""
    at = np.sort(np.concatenate([one, other]))
    cdfs = [np.searchsorted(np.sort(side), at, "right") / len(side) for side in (one, other)]
    return float(np.abs(cdfs[0] - cdfs[1]).max())


if __name__ == "__main__":
    main()
