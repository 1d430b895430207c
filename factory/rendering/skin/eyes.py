"""Eyes: eyeballs that look somewhere, in the shadow of their lids."""

from __future__ import annotations

import numpy as np

from factory.rendering.head.head import Head, HeadModel
from factory.rendering.parts import Label, Material, MeshPart, Part
from factory.rendering.skin.eyeball import SIDES, eye_colors, eyeball, eyeball_mesh, sight
from factory.rendering.skin.face_zones import curve, near
from factory.rendering.skin.mouth import mouth_parts
from factory.rendering.traits import Person

__all__ = ["eye_parts", "mouth_parts"]

LID_SHADOW, LID_SHADOW_CM = 0.55, 0.14
"""Light that the upper lid and its lashes take at its rim, and how far down that reaches."""
CARUNCLE = np.array([0.46, 0.20, 0.17])


def eye_parts(
    model: HeadModel, head: Head, person: Person, gaze: tuple[float, float]
) -> list[Part]:
    """Both eyeballs, turned about their centers by `gaze`: degrees to the image's right and up."""
    parts: list[Part] = []
    turn = sight(gaze)
    for side, lids in SIDES.items():
        ball = eyeball(model, head, side)
        vertices, normals, faces = eyeball_mesh(person.eyes, ball.radius)
        at = vertices @ turn.T + ball.center_3
        colors = eye_colors(person, side, ball.radius)
        parts.append(
            MeshPart(
                f"eye_{side.lower()}",
                Label.EYES,
                at,
                faces,
                Material("cornea", roughness=0.05, specular=0.05),
                normals_V3=normals @ turn.T,
                colors_V3=between_lids(at, colors, head.landmarks_68x3[lids], side),
            )
        )
    return parts


def between_lids(
    points_N3: np.ndarray, colors_N3: np.ndarray, lids_63: np.ndarray, side: str
) -> np.ndarray:
    """Colors [N, 3] in the shadow of the upper lid, with a pink inner corner."""
    upper = curve(lids_63[:4])
    order = np.argsort(upper[:, 0])
    rim = np.interp(points_N3[:, 0], upper[order, 0], upper[order, 1])
    below = np.maximum(rim - points_N3[:, 1], 0)
    light = 1 - LID_SHADOW * np.exp(-below / LID_SHADOW_CM)
    lower = curve(lids_63[[3, 4, 5, 0]])
    light *= 1 - 0.3 * near(points_N3, lower, 0.14)
    light *= 1 - 0.35 * near(points_N3, lids_63[[0, 3]], 0.35)
    inner = lids_63[3] if side == "Right" else lids_63[0]
    pink = near(points_N3, inner, 0.26)[:, None]
    return np.asarray(colors_N3 * light[:, None] * (1 - pink) + pink * CARUNCLE)
