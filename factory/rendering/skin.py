"""Skin: pigment, marks and relief."""

from __future__ import annotations

import numpy as np

from factory.rendering.head import Head, HeadModel
from factory.rendering.parts import Label, Material, MeshPart
from factory.rendering.traits import Person


def skin_part(model: HeadModel, head: Head, person: Person) -> MeshPart:
    """The skin of face and neck."""
    vertices, faces = model.region("M_Face", "M_BackHead")
    light, dark = np.array([0.80, 0.56, 0.45]), np.array([0.20, 0.105, 0.07])
    color = light * (1 - person.skin.melanin) + dark * person.skin.melanin
    return MeshPart(
        "skin",
        Label.SKIN,
        head.vertices_V3[vertices],
        faces,
        Material("skin", roughness=0.45, specular=0.45),
        normals_V3=head.normals_V3[vertices],
        colors_V3=np.tile(color, (len(vertices), 1)),
    )
