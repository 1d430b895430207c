"""Teeth, gums, tongue and the mouth's lining, darker the deeper they lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from factory.rendering.head.head import Head, HeadModel
from factory.rendering.parts import Label, Material, MeshPart, Part
from factory.rendering.skin.face_zones import smooth
from factory.rendering.skin.skin_atlas import inside_faces
from factory.rendering.traits import Person

TEETH = np.array([0.66, 0.62, 0.53])
STAINED = np.array([0.56, 0.47, 0.30])
"""Of old teeth."""
GUMS = np.array([0.58, 0.25, 0.24])
LINING = np.array([0.42, 0.13, 0.12])
SOCKET = np.array([0.30, 0.12, 0.10])
FRONT_Z, BACK_Z = 10.2, 3.0
"""On the mean head: where the mouth's depth begins to take light, and where it has taken all."""
SEED = 61


@dataclass(frozen=True)
class _Surface:
    """Vertices [R] of a part of the inside, its triangles, and depth [R]: 1 front, 0 deep."""

    vertices_R: np.ndarray
    faces_G3: np.ndarray
    light_R: np.ndarray


def mouth_parts(model: HeadModel, head: Head, person: Person) -> list[Part]:
    """Teeth, gums with tongue, the lining of the mouth and that of the sockets of the eyes."""
    surfaces, colors = _surfaces(model), mouth_colors(model, person)
    parts: list[Part] = []
    for name, surface in surfaces.items():
        rough = 0.2 if name == "teeth" else 0.35
        parts.append(
            MeshPart(
                name,
                Label.SKIN if name == "sockets" else Label.MOUTH,
                head.vertices_V3[surface.vertices_R],
                surface.faces_G3,
                Material("plastic", roughness=rough, specular=0.4),
                normals_V3=head.normals_V3[surface.vertices_R],
                colors_V3=colors[name],
            )
        )
    return parts


@lru_cache(maxsize=4)
def mouth_colors(model: HeadModel, person: Person) -> dict[str, np.ndarray]:
    """Linear RGB [R, 3] of each surface; teeth yellow with age."""
    surfaces = _surfaces(model)
    rng = np.random.default_rng([person.seed, SEED])
    stain = float(np.clip(0.45 * smooth(20, 80, np.array(person.age)) + 0.3 * rng.random(), 0, 1))
    tooth = (TEETH + stain * (STAINED - TEETH)) * rng.uniform(0.92, 1.08)
    darker = 1 - 0.35 * person.skin.melanin
    own = {"teeth": tooth, "gums": GUMS * darker, "lining": LINING * darker, "sockets": SOCKET}
    return {name: color * surfaces[name].light_R[:, None] for name, color in own.items()}


@cache
def _surfaces(model: HeadModel) -> dict[str, _Surface]:
    lining = inside_faces(model)
    mouth = lining & (np.abs(model.mean_V3[model.faces_F3].mean(1)[:, 1] + 3.2) < 3.2)
    chosen = {
        "teeth": model.materials_F == "M_Teeth",
        "gums": model.materials_F == "M_GumsTongue",
        "lining": mouth,
        "sockets": lining & ~mouth,
    }
    return {name: _surface(model, faces, name) for name, faces in chosen.items()}


def _surface(model: HeadModel, chosen_F: np.ndarray, name: str) -> _Surface:
    vertices, place = np.unique(model.faces_F3[chosen_F], return_inverse=True)
    depth = model.mean_V3[vertices, 2]
    light = np.ones(len(vertices)) if name == "sockets" else smooth(BACK_Z, FRONT_Z, depth)
    return _Surface(vertices, place.reshape(-1, 3), 0.12 + 0.88 * light)
