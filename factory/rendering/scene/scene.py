"""Parts, light and camera as a scene of Mitsuba 3, and the scene as an image.

The only file that imports mitsuba (pip install 'face-factory[render]').
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from factory.errors import ConfigError, DeviceError
from factory.rendering.parts import SOLID, Part, StrandsPart
from factory.rendering.scene.denoise import Guide, denoised
from factory.rendering.scene.emitters import emitters_of
from factory.rendering.scene.frame import Frame
from factory.rendering.scene.shapes import shape_of
from factory.rendering.view import Light

BLOCK_PX = 16
"""Side of the blocks that threads take; by default Mitsuba chooses it by the number of threads."""
RUSSIAN_ROULETTE_DEPTH = 5
"""Earlier ends of paths save a fifth of the time and cost more than that in noise."""
SEED_STEP = 0x3C6EF372
TRIES = 3
"""With other random numbers, where both halves have no number in a pixel."""
NOTHING = 10**6
"""Index where a ray meets no shape."""
KEPT_SHAPES = 16
AOVS = "part:shape_index,normal:sh_normal,albedo:albedo,uv:uv"


class Traced(NamedTuple):
    """What a camera catches."""

    light_HWC: np.ndarray
    """Linear RGB float32, premultiplied by alpha."""
    alpha_HW: np.ndarray
    shown_HW: np.ndarray
    """Number of the part at each pixel's center; -1: none."""


class SceneRenderer:
    """Renders parts before a camera with Mitsuba; shapes of the last `fixed` parts are kept.

    A fixed part is the same as long as it is the same object.
    """

    def __init__(self, variant: str, samples: int, max_depth: int, denoise: bool = True) -> None:
        self._mi = load_mitsuba(variant)
        self._denoise, self._max_depth = denoise and samples > 1, max_depth
        self._halves = ((samples + 1) // 2, samples // 2) if samples > 1 else (samples,)
        self._kept: dict[int, tuple[Part, Any]] = {}

    def render(self, parts: list[Part], light: Light, frame: Frame, seed: int) -> Traced:
        """Light, alpha and the part at each pixel's center.

        Parts that something shines through are mixed into an image without them, by their opacity.
        Parts are asked for in a pass of its own: beside light Mitsuba takes seven times as long.
        """
        shapes, emitters = self._shapes(parts, frame), emitters_of(self._mi, light, frame)
        solid = [number for number, part in enumerate(parts) if part.material.opacity >= 1]
        first = self._scene([shapes[number] for number in solid], emitters, frame)
        halves, passes = self._traced_halves(first, seed), self._passes(first)
        shown = np.array([*solid, -1])[np.minimum(passes.index_HW, len(solid))]
        labeled = shown
        if len(solid) < len(parts):
            whole = self._scene(shapes, emitters, frame)
            order = np.minimum(self._passes(whole).index_HW, len(parts))
            seen = np.where(order == len(parts), -1, order)
            opacity = np.array([part.material.opacity for part in parts] + [1.0])[seen]
            labeled = np.where(opacity >= SOLID, seen, shown)
            mixed = np.where(opacity < 1, opacity, 0)
            if mixed.any():
                self._mix(halves, whole, mixed, frame, seed)
        image = np.mean(halves, 0)
        if self._denoise:
            image = denoised(halves[0], halves[1], _guide(passes, shown, parts, frame))
        return Traced(image[..., :3], image[..., 3], labeled)

    def _mix(
        self, halves: list[np.ndarray], whole: Any, mixed_HW: np.ndarray, frame: Frame, seed: int
    ) -> None:
        """Mix the image with all parts into the halves by opacity; only its box is traced."""
        rows, columns = (np.flatnonzero(mixed_HW.any(axis)) for axis in (1, 0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        sampler = {"type": "multijitter"}
        camera = self._mi.load_dict(camera_of(self._mi, frame, sampler, box))
        through = self._traced_halves(whole, seed, camera)
        for half, all_parts in zip(halves, through, strict=True):
            half[box] += mixed_HW[box][..., None] * (all_parts - half[box])

    def shown(self, parts: list[Part], frame: Frame) -> np.ndarray:
        """The part at each pixel's center [H, W], -1 for none, without any light."""
        solid = [n for n, part in enumerate(parts) if part.material.opacity >= SOLID]
        shapes = self._shapes([parts[n] for n in solid], frame)
        index = self._passes(self._scene(shapes, {}, frame)).index_HW
        return np.asarray(np.array([*solid, -1])[np.minimum(index, len(solid))])

    def _shapes(self, parts: list[Part], frame: Frame) -> list[Any]:
        return [self._fixed(part, frame) if part.fixed else shape_of(self._mi, part, frame)
                for part in parts]  # fmt: skip

    def _fixed(self, part: Part, frame: Frame) -> Any:
        known = self._kept.pop(id(part), (part, None))[1]
        shape = shape_of(self._mi, part, frame) if known is None else known
        self._kept[id(part)] = part, shape
        if len(self._kept) > KEPT_SHAPES:
            del self._kept[next(iter(self._kept))]
        return shape

    def _scene(self, shapes: list[Any], emitters: dict[str, Any], frame: Frame) -> Any:
        named = {f"part{number:03d}": shape for number, shape in enumerate(shapes)}
        cameras = {
            "camera": camera_of(self._mi, frame, {"type": "multijitter"}),
            "centers": camera_of(self._mi, frame, {"type": "stratified", "jitter": False}),
        }
        # One thread builds the scene: the order of shapes is what labels are numbered by.
        return self._mi.load_dict({"type": "scene", **named, **cameras, **emitters}, parallel=False)

    def _traced_halves(self, scene: Any, seed: int, camera: Any = 0) -> list[np.ndarray]:
        """RGBA of two independent halves of the samples, each finite."""
        path = self._mi.load_dict(
            {"type": "path", "max_depth": self._max_depth, "hide_emitters": True,
             "rr_depth": RUSSIAN_ROULETTE_DEPTH, "block_size": BLOCK_PX}
        )  # fmt: skip
        for attempt in range(TRIES):
            halves = []
            for half, samples in enumerate(self._halves):
                number = (seed + SEED_STEP * (2 * attempt + half)) % 2**31
                image = self._mi.render(
                    scene, sensor=camera, integrator=path, spp=samples, seed=number
                )
                halves.append(np.array(image, np.float32))
            if (repaired := finite(halves)) is not None:
                return repaired
        raise DeviceError(
            f"rendering: pixels that are no numbers in {TRIES} renders with seed {seed}; "
            "want light in each; render another image"
        )

    def _passes(self, scene: Any) -> _Passes:
        """What the ray through each pixel's center meets first."""
        aov = self._mi.load_dict({"type": "aov", "aovs": AOVS, "block_size": BLOCK_PX})
        film = np.array(self._mi.render(scene, sensor=1, integrator=aov, spp=1, seed=0))
        index, normal, albedo, v = np.split(film, [1, 4, 7], axis=-1)
        index_HW = index[..., 0].round().astype(int) - 1
        return _Passes(np.where(index_HW < 0, NOTHING, index_HW), normal, albedo, v[..., 1])


class _Passes(NamedTuple):
    index_HW: np.ndarray
    normal_HW3: np.ndarray
    albedo_HW3: np.ndarray
    v_HW: np.ndarray


def camera_of(
    mi: Any, frame: Frame, sampler: dict[str, Any], box: tuple[slice, slice] | None = None
) -> dict[str, Any]:
    """The frame's camera with a film of its own; pixel centers are whole numbers."""
    matrix, px = frame.matrix_23, frame.image_px
    rows, columns = box or (slice(0, px), slice(0, px))
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    down = np.array([matrix[1, 0], -matrix[1, 1], 0]) / scale
    origin, target, above = frame.to_head(
        np.array([[0, 0, frame.distance], [0, 0, 0], [*(-down[:2]), 0]])
    )
    # Mitsuba shifts the film, not the picture on it.
    shift = -(matrix[:, 2] + 0.5 - px / 2) / px
    return {
        "type": "perspective",
        "fov": float(2 * np.degrees(np.arctan(px / 2 / scale))),
        "principal_point_offset_x": float(shift[0]),
        "principal_point_offset_y": float(shift[1]),
        "to_world": mi.ScalarTransform4f().look_at(
            origin=origin.tolist(), target=target.tolist(), up=(above - frame.middle_3).tolist()
        ),
        "film": {"type": "hdrfilm", "width": px, "height": px, "pixel_format": "rgba",
                 "rfilter": {"type": "box"},
                 "crop_offset_x": columns.start, "crop_width": columns.stop - columns.start,
                 "crop_offset_y": rows.start, "crop_height": rows.stop - rows.start},
        "sampler": sampler,
    }  # fmt: skip


def finite(halves: list[np.ndarray]) -> list[np.ndarray] | None:
    """Pixels that are no numbers taken from the other half; None where no half has one."""
    good = [np.isfinite(half).all(-1, keepdims=True) for half in halves]
    if not np.any(good, 0).all():
        return None
    others = halves[::-1]
    return [np.where(g, half, other) for g, half, other in zip(good, halves, others, strict=True)]


def _guide(passes: _Passes, shown: np.ndarray, parts: list[Part], frame: Frame) -> Guide:
    strands, tangents = np.zeros(shown.shape, bool), np.zeros((*shown.shape, 2))
    for number, part in enumerate(parts):
        here = shown == number
        if isinstance(part, StrandsPart) and here.any():
            strands |= here
            tangents[here] = _tangents(part, passes.v_HW[here], frame)
    return Guide(passes.normal_HW3, passes.albedo_HW3, strands, tangents)


def _tangents(part: StrandsPart, v_N: np.ndarray, frame: Frame) -> np.ndarray:
    """Unit directions [N, 2] in the image of strands at their texture coordinate v."""
    num, count = part.points_SK3.shape[:2]
    before = np.clip(np.floor(v_N * num * count - 0.5).astype(int), 0, num * count - 1)
    strand, point = before // count, np.minimum(before % count, count - 2)
    along = part.points_SK3[strand, point + 1] - part.points_SK3[strand, point]
    plane = (along @ frame.rotation_33.T)[:, :2] * [1, -1] @ frame.matrix_23[:, :2].T
    return np.asarray(plane / np.maximum(np.linalg.norm(plane, axis=1, keepdims=True), 1e-9))


@cache
def load_mitsuba(variant: str) -> Any:
    """Mitsuba with a variant set, which holds for the process; ConfigError if there is none."""
    try:
        import mitsuba as mi
    except ImportError as error:
        raise ConfigError(
            f"rendering: mitsuba is not installed ({error}); pip install 'face-factory[render]'"
        ) from error
    try:
        mi.set_variant(variant)
        mi.set_log_level(mi.LogLevel.Error)
        mi.load_dict({"type": "sphere"})
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError(
            f"rendering.variant: {variant} cannot be used here ({first}); "
            "want scalar_rgb, or cuda_ad_rgb with an NVIDIA driver"
        ) from error
    return mi


def use_threads(count: int) -> None:
    """Render on so many threads of this process; images are the same bytes on any number.

    Actors want one each: what is not tracing (about a third) has one thread anyway.
    """
    import drjit as dr

    dr.set_thread_count(count)
