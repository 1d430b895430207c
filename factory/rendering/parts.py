"""What a scene is put together from: meshes and strands with a material and a label of truth."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from factory.rendering.traits import Color


class Label(IntEnum):
    """What a pixel shows; the values of label images, which never change."""

    BACKGROUND = 0
    SKIN = 1
    EYES = 2
    MOUTH = 3
    """Teeth, gums and tongue."""
    HAIR = 4
    """Of the head; brows, lashes and beards are BROWS and BEARD."""
    BROWS = 5
    BEARD = 6
    GLASSES = 7
    SUNGLASSES = 8
    OCCLUDER = 9
    """Masks, scarves and hands."""
    HAT = 10
    CLOTHES = 11


SOLID = 0.5
"""Opacity from which a pixel is labeled as what it shows first, not as what shines through."""


@dataclass(frozen=True)
class Material:
    """A surface: Disney's principled one, or hair.

    `kind` is skin, cornea, glass, metal, cloth, plastic, matte or hair.
    """

    kind: str = "matte"
    color: Color = (0.5, 0.5, 0.5)
    """Where a mesh has no colors of its own."""
    roughness: float = 0.5
    specular: float = 0.5
    tip_color: Color | None = None
    """Of strands: what their color becomes at the tip."""
    opacity: float = 1.0
    """Below 1: what lies behind shines through, and shows in labels below SOLID."""


@dataclass(frozen=True)
class MeshPart:
    """Triangles. Positions in centimeters in the space of the head."""

    name: str
    label: Label
    vertices_V3: np.ndarray
    faces_F3: np.ndarray
    material: Material
    normals_V3: np.ndarray | None = None
    """None: flat triangles."""
    colors_V3: np.ndarray | None = None
    """Linear RGB of vertices."""
    uv_V2: np.ndarray | None = None
    texture_HWC: np.ndarray | None = None
    """Linear RGB float32, row 0 at v = 1; takes the place of colors_V3."""
    roughness_HW: np.ndarray | None = None
    """Texture of the roughness, in place of the material's."""
    fixed: bool = False
    """Same in all images of a person, so that what was built of it is kept."""
    in_world: bool = False
    """Positions are in the world (see view.py), not in the space of the head."""


@dataclass(frozen=True)
class StrandsPart:
    """Strands of equal numbers of points, round and thinner toward the tip."""

    name: str
    label: Label
    points_SK3: np.ndarray
    radius: float
    """Centimeters at the root."""
    material: Material
    tip: float = 0.3
    """Radius at the tip as a fraction of that at the root."""
    colors_S3: np.ndarray | None = None
    """Linear RGB of each strand at its root, in place of the material's color."""
    fixed: bool = False


Part = MeshPart | StrandsPart
