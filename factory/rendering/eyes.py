"""Eyes, lashes, teeth and tongue."""

from __future__ import annotations

import numpy as np

from factory.rendering.head import Head, HeadModel
from factory.rendering.parts import Label, Material, MeshPart, Part
from factory.rendering.traits import Person


def eye_parts(
    model: HeadModel, head: Head, person: Person, gaze: tuple[float, float]
) -> list[Part]:
    """Eyeballs that look where `gaze` says, wet corneas, lashes."""
    parts: list[Part] = []
    for side in ("Left", "Right"):
        vertices, faces = model.region(f"M_Sclera{side}")
        at = head.vertices_V3[vertices]
        away = np.linalg.norm(at[:, :2] - at[:, :2].mean(0), axis=1)
        front = at[:, 2] > at[:, 2].max() - 0.9
        iris = (away < person.eyes.iris_radius) & front
        pupil = (away < person.eyes.pupil_radius) & front
        colors = np.tile([0.78, 0.74, 0.71], (len(at), 1))
        colors[iris], colors[pupil] = person.eyes.iris_color, 0.01
        parts.append(
            MeshPart(
                f"eye_{side.lower()}",
                Label.EYES,
                at,
                faces,
                Material("cornea", roughness=0.05, specular=0.9),
                normals_V3=head.normals_V3[vertices],
                colors_V3=colors,
            )
        )
    return parts


def mouth_parts(model: HeadModel, head: Head, person: Person) -> list[Part]:
    """Teeth, gums and tongue."""
    parts: list[Part] = []
    for name, material, color in (
        ("teeth", "M_Teeth", (0.75, 0.72, 0.64)),
        ("gums", "M_GumsTongue", (0.38, 0.14, 0.13)),
    ):
        vertices, faces = model.region(material)
        at, normals = head.vertices_V3[vertices], head.normals_V3[vertices]
        surface = Material("plastic", color, roughness=0.25)
        parts.append(MeshPart(name, Label.MOUTH, at, faces, surface, normals_V3=normals))
    return parts
