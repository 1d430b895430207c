"""Parts, light and camera as a scene of Mitsuba 3, and the scene as an image.

The only file that imports mitsuba (pip install 'face-factory[render]').
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from factory.rendering.frame import Frame
from factory.rendering.parts import Material, MeshPart, Part, StrandsPart
from factory.rendering.view import Light


class SceneRenderer:
    """Renders parts before a camera with Mitsuba."""

    def __init__(self, variant: str, samples: int, max_depth: int) -> None:
        import mitsuba as mi

        mi.set_variant(variant)
        self._mi: Any = mi
        self._samples, self._max_depth = samples, max_depth

    def render(
        self, parts: list[Part], light: Light, frame: Frame, seed: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Linear light float32 [H, W, 3], alpha [H, W] and the part in each pixel (-1: none).

        The parts are asked for in a pass of its own, because beside light Mitsuba takes seven times
        as long for both.
        """
        mi = self._mi
        path = {"type": "path", "max_depth": self._max_depth, "hide_emitters": True}
        scene: dict[str, Any] = {"type": "scene", "integrator": path}
        for number, part in enumerate(parts):
            scene[f"part{number:03d}"] = self._shape(part, frame)
        scene["camera"] = self._camera(frame)
        loaded = mi.load_dict(scene | self._lights(light, frame))
        image = np.array(mi.render(loaded, spp=self._samples, seed=seed % 2**31))
        which = mi.load_dict({"type": "aov", "aovs": "part:shape_index"})
        shown = np.array(mi.render(loaded, integrator=which, spp=1, seed=0))[..., -1]
        return image[..., :3], image[..., 3], shown.round().astype(int) - 1

    def _camera(self, frame: Frame) -> dict[str, Any]:
        matrix, px = frame.matrix_23, frame.image_px
        scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        down = np.array([matrix[1, 0], -matrix[1, 1], 0]) / scale
        origin, target, above = frame.to_head(
            np.array([[0, 0, frame.distance], [0, 0, 0], [*(-down[:2]), 0]])
        )
        shift = (matrix[:, 2] + 0.5 - px / 2) / px
        return {
            "type": "perspective",
            "fov": float(2 * np.degrees(np.arctan(px / 2 / scale))),
            "principal_point_offset_x": float(shift[0]),
            "principal_point_offset_y": float(shift[1]),
            "to_world": self._mi.ScalarTransform4f().look_at(
                origin=origin.tolist(), target=target.tolist(), up=(above - frame.middle_3).tolist()
            ),
            "film": {"type": "hdrfilm", "width": px, "height": px, "pixel_format": "rgba",
                     "rfilter": {"type": "box"}},
            "sampler": {"type": "independent", "sample_count": self._samples},
        }  # fmt: skip

    def _lights(self, light: Light, frame: Frame) -> dict[str, Any]:
        mi = self._mi
        rows = np.linspace(0, 1, 8)[:, None, None]
        sky = np.tile(np.array(light.sky_top) * (1 - rows) + np.array(light.sky_bottom) * rows,
                      (1, 16, 1)).astype(np.float32)  # fmt: skip
        turn = np.eye(4)
        turn[:3, :3] = frame.rotation_33.T
        lights: dict[str, Any] = {
            "sky": {"type": "envmap", "bitmap": mi.Bitmap(sky),
                    "to_world": mi.ScalarTransform4f(turn.tolist())}
        }  # fmt: skip
        for number, area in enumerate(light.areas):
            at = np.array(area.direction) * area.distance
            origin, target, above = frame.to_head(
                np.array([at, [0, 0, 0], at + np.array([0.01, 1, 0])])
            )
            pose = mi.ScalarTransform4f().look_at(
                origin=origin.tolist(), target=target.tolist(), up=(above - origin).tolist()
            )
            emitter = {"type": "area", "radiance": {"type": "rgb", "value": list(area.radiance)}}
            lights[f"area{number}"] = {
                "type": "rectangle",
                "to_world": pose @ mi.ScalarTransform4f().scale([area.size / 2] * 3),
                "emitter": emitter,
            }
        return lights

    def _shape(self, part: Part, frame: Frame) -> Any:
        return self._strands(part) if isinstance(part, StrandsPart) else self._mesh(part, frame)

    def _bsdf(self, material: Material, color: Any) -> dict[str, Any]:
        return {
            "type": "principled",
            "base_color": color,
            "roughness": material.roughness,
            "specular": material.specular,
        }

    def _mesh(self, part: MeshPart, frame: Frame) -> Any:
        mi = self._mi
        color: Any = {"type": "rgb", "value": list(part.material.color)}
        if part.colors_V3 is not None:
            color = {"type": "mesh_attribute", "name": "vertex_color"}
        properties = mi.Properties()
        properties["bsdf"] = mi.load_dict(
            {"type": "twosided", "bsdf": self._bsdf(part.material, color)}
        )
        mesh = mi.Mesh(
            part.name, len(part.vertices_V3), len(part.faces_F3),
            has_vertex_normals=part.normals_V3 is not None, has_vertex_texcoords=False,
            props=properties,
        )  # fmt: skip
        if part.colors_V3 is not None:
            mesh.add_attribute("vertex_color", 3, part.colors_V3.astype(np.float32).ravel())
        values = mi.traverse(mesh)
        at = frame.to_head(part.vertices_V3) if part.in_world else part.vertices_V3
        values["vertex_positions"] = at.astype(np.float32).ravel()
        values["faces"] = part.faces_F3.astype(np.uint32).ravel()
        if part.normals_V3 is not None:
            values["vertex_normals"] = part.normals_V3.astype(np.float32).ravel()
        values.update()
        return mesh

    def _strands(self, part: StrandsPart) -> Any:
        num, points = part.points_SK3.shape[:2]
        radius = part.radius * np.linspace(1, part.tip, points)
        rows = np.concatenate([part.points_SK3, np.tile(radius[:, None], (num, 1, 1))], -1)
        # Mitsuba 3.9.1 reads past the last segment of a file when a ray meets its very tip (fixed
        # by its pull request 1928): the last strand is one that no ray can meet.
        unseen = rows[-1:] - rows[-1:, :1] + rows.mean((0, 1))
        unseen[..., 3] = 1e-4
        rows = np.concatenate([rows, unseen])
        color = {"type": "rgb", "value": list(part.material.color)}
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            row = "%.4f %.4f %.4f %.4f\n" * points + "\n"
            file.write(row * (num + 1) % tuple(rows.ravel().tolist()))
            file.flush()
            return self._mi.load_dict(
                {"type": "bsplinecurve", "filename": str(Path(file.name)),
                 "bsdf": self._bsdf(part.material, color)}
            )  # fmt: skip
