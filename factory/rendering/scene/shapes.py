"""Parts as shapes of Mitsuba 3, filled from arrays; the module is handed in by scene.py."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from factory.errors import ConfigError
from factory.rendering.parts import MeshPart, Part, StrandsPart
from factory.rendering.scene.frame import Frame
from factory.rendering.scene.materials import bsdf_of

PLACEHOLDER = "0 0 0 0.01\n1 0 0 0.01\n"
"""A curve of the file that Mitsuba wants; its points are set from arrays afterwards."""


def shape_of(mi: Any, part: Part, frame: Frame) -> Any:
    """A part in the space of the head as a Mitsuba shape; ConfigError for points that are none."""
    points = part.points_SK3 if isinstance(part, StrandsPart) else part.vertices_V3
    if not np.isfinite(points).all():
        raise ConfigError(
            f"rendering: part {part.name!r} has points that are no numbers; want finite positions"
        )
    return _strands(mi, part) if isinstance(part, StrandsPart) else _mesh(mi, part, frame)


def _mesh(mi: Any, part: MeshPart, frame: Frame) -> Any:
    properties = mi.Properties()
    bsdf = bsdf_of(part.material, _mesh_color(mi, part), _mesh_roughness(mi, part))
    properties["bsdf"] = mi.load_dict({"type": "twosided", "bsdf": bsdf})
    mesh = mi.Mesh(
        part.name,
        len(part.vertices_V3),
        len(part.faces_F3),
        has_vertex_normals=part.normals_V3 is not None,
        has_vertex_texcoords=part.uv_V2 is not None,
        props=properties,
    )
    if _has_vertex_colors(part):
        assert part.colors_V3 is not None
        mesh.add_attribute("vertex_color", 3, np.clip(_flat(part.colors_V3), 0, 1))
    to_head = frame.to_head if part.in_world else np.asarray
    values = mi.traverse(mesh)
    _set(values, "vertex_positions", _flat(to_head(part.vertices_V3)))
    _set(values, "faces", np.ascontiguousarray(part.faces_F3, np.uint32).ravel())
    if part.normals_V3 is not None:
        turned = part.normals_V3 @ frame.rotation_33 if part.in_world else part.normals_V3
        _set(values, "vertex_normals", _flat(turned))
    if part.uv_V2 is not None:
        _set(values, "vertex_texcoords", _flat(part.uv_V2))
    values.update()
    return mesh


def _has_vertex_colors(part: MeshPart) -> bool:
    return part.colors_V3 is not None and part.texture_HWC is None


def _mesh_color(mi: Any, part: MeshPart) -> dict[str, Any]:
    if part.texture_HWC is not None:
        return _bitmap(mi, part, part.texture_HWC)
    if part.colors_V3 is not None:
        return {"type": "mesh_attribute", "name": "vertex_color"}
    return _rgb(part.material.color)


def _mesh_roughness(mi: Any, part: MeshPart) -> dict[str, Any] | None:
    return None if part.roughness_HW is None else _bitmap(mi, part, part.roughness_HW[..., None])


def _bitmap(mi: Any, part: MeshPart, texture_HWC: np.ndarray) -> dict[str, Any]:
    """A texture whose row 0 is at v = 1; Mitsuba's row 0 is at v = 0."""
    if part.uv_V2 is None:
        raise ConfigError(f"rendering: part {part.name!r} has a texture but no uv_V2")
    return _texture(mi, texture_HWC[::-1])


def _strands(mi: Any, part: StrandsPart) -> Any:
    """Round cones that run through all points of each strand.

    Cubic B-splines miss the first and last point by a segment, and cost a fifth more to trace.
    """
    num, count = part.points_SK3.shape[:2]
    radius = part.radius * np.linspace(1, part.tip, count)
    rows = np.concatenate([part.points_SK3, np.tile(radius[:, None], (num, 1, 1))], -1)
    rows = np.concatenate([rows, _unseen(rows)])
    first = np.arange(num + 1)[:, None] * count + np.arange(count - 1)
    bsdf = bsdf_of(part.material, _strands_color(mi, part))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(PLACEHOLDER)
        file.flush()
        curves = mi.load_dict({"type": "linearcurve", "filename": file.name, "bsdf": bsdf})
    values = mi.traverse(curves)
    _set(values, "control_points", _flat(rows))
    _set(values, "segment_indices", first.astype(np.uint32).ravel())
    _set(values, "control_point_count", (num + 1) * count)
    values.update()
    return curves


def _unseen(rows_SK4: np.ndarray) -> np.ndarray:
    """A last strand that no ray meets, [1, K, 4].

    Mitsuba 3.9.1 reads past the last segment of a shape where a ray meets its very tip (repaired by
    its pull request 1928), and some such reads end the process.
    """
    unseen = rows_SK4[-1:] - rows_SK4[-1:, :1] + rows_SK4.mean((0, 1))
    unseen[..., 3] = 1e-4
    return np.asarray(unseen)


def _strands_color(mi: Any, part: StrandsPart) -> dict[str, Any]:
    """One color, or a texture with a row for each point of each strand (v counts the points)."""
    material, num, count = part.material, len(part.points_SK3) + 1, part.points_SK3.shape[1]
    if part.colors_S3 is None and material.tip_color is None:
        return _rgb(material.color)
    roots = np.tile(material.color, (num, 1))
    if part.colors_S3 is not None:
        roots[:-1] = part.colors_S3
    change = np.ones(3)
    if material.tip_color is not None:
        change = np.array(material.tip_color) / np.maximum(material.color, 1e-4)
    along = np.linspace(0, 1, count)[:, None]
    colors = roots[:, None] * (1 + along * (change - 1))
    return _texture(mi, colors.reshape(num * count, 1, 3))


def _texture(mi: Any, texture_HWC: np.ndarray) -> dict[str, Any]:
    values = np.ascontiguousarray(np.clip(texture_HWC, 0, 1), np.float32)
    return {"type": "bitmap", "bitmap": mi.Bitmap(values), "raw": True, "wrap_mode": "clamp"}


def _rgb(color: tuple[float, float, float]) -> dict[str, Any]:
    return {"type": "rgb", "value": [float(np.clip(value, 0, 1)) for value in color]}


def _flat(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32).ravel()


def _set(values: Any, name: str, value: Any) -> None:
    """Set a parameter whatever its size was.

    The assignment of SceneParameters compares old and new value first, which in scalar variants
    fails where sizes differ.
    """
    target, kind, _, _ = values.set_dirty(name)
    if kind is None:
        values.set_property(target, type(target)(value))
    else:
        values.set_property(target, kind, value)
