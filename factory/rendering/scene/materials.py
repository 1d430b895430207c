"""Surfaces as BSDFs of Mitsuba 3: Disney's principled one (Burley 2012), or a matte one.

Nothing here scatters light under a surface; the soft look of skin is the principled BSDF's
`flatness`, an approximation of subsurface scattering by a flatter diffuse lobe.
"""

from __future__ import annotations

from typing import Any

from factory.errors import ConfigError
from factory.rendering.parts import Material

KINDS: dict[str, dict[str, float]] = {
    "skin": {"flatness": 0.5, "sheen": 0.15},
    "cornea": {"clearcoat": 1.0, "clearcoat_gloss": 0.98},
    "glass": {"clearcoat": 1.0, "clearcoat_gloss": 1.0},
    "metal": {"metallic": 1.0},
    "cloth": {"sheen": 0.6, "flatness": 0.3},
    "plastic": {},
    "matte": {},
    "hair": {},
}
"""What each kind of Material adds to the principled BSDF; `matte` is diffuse alone."""

MIN_ROUGHNESS = 0.03
"""Smoother surfaces mirror small lights into single pixels, which no number of samples calms."""


def bsdf_of(material: Material, color: Any, roughness: Any = None) -> dict[str, Any]:
    """The BSDF of a material as a Mitsuba dictionary; ConfigError for an unknown kind.

    `color` and `roughness` are textures of Mitsuba; without the latter the material's holds.
    Opacity is not part of it: scene.py mixes two images, because a mask before a surface takes its
    light from it (a shadow ray does not see through one).
    """
    if material.kind not in KINDS:
        raise ConfigError(f"material.kind: found {material.kind!r}, want one of {', '.join(KINDS)}")
    if material.kind == "matte":
        return {"type": "diffuse", "reflectance": color}
    rough = max(material.roughness, MIN_ROUGHNESS) if roughness is None else roughness
    return {
        "type": "principled",
        "base_color": color,
        "roughness": rough,
        "specular": material.specular,
        **KINDS[material.kind],
    }
