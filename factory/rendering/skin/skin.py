"""Skin: pigment, marks and relief, painted once for a person and carried by the moving face."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from factory.rendering.hair.scalp import hair_shadow
from factory.rendering.head.head import Head, HeadModel
from factory.rendering.parts import Label, Material, MeshPart
from factory.rendering.skin.face_zones import Zones, face_zones, smooth
from factory.rendering.skin.noise import noise
from factory.rendering.skin.skin_atlas import SkinAtlas, skin_atlas
from factory.rendering.skin.skin_color import skin_color
from factory.rendering.skin.skin_marks import Marks, draw_marks
from factory.rendering.skin.wrinkles import Fold, draw_folds, shade
from factory.rendering.traits import Person

SEED = 41
"""Sets the noise of a skin apart from others of the same person."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
MUCOSA = np.array([0.98, 0.84, 0.86], np.float32)
"""What the thin skin of lips shows more of its blood than skin of the face would."""
EYESHADOW = np.array([0.06, 0.04, 0.04], np.float32)
FOLD_CM = 0.05
"""Depth of the deepest fold."""
COVERED = {"bald": 0.0, "shaved": 0.45, "buzz": 0.7}
"""How much of the scalp's color is hair's where hair grows, by style."""
COVERED_ELSEWHERE = 0.6


@dataclass(frozen=True)
class SkinPaint:
    """What is fixed of a person's skin; the arrays are not written to again."""

    texture_HWC: np.ndarray
    roughness_HW: np.ndarray
    tilt_V3: np.ndarray
    """What is taken from the unit normals of the skin's vertices, by folds and pores."""


def skin_part(model: HeadModel, head: Head, person: Person) -> MeshPart:
    """The skin of face, ears, scalp and neck. The same person has the very same texture arrays."""
    atlas, paint = skin_atlas(model), skin_paint(model, person)
    normals = head.normals_V3[atlas.vertices_V] - paint.tilt_V3
    return MeshPart(
        "skin",
        Label.SKIN,
        head.vertices_V3[atlas.vertices_V],
        atlas.faces_G3,
        Material("skin", roughness=0.5, specular=0.3),
        normals_V3=normals / np.linalg.norm(normals, axis=1, keepdims=True),
        uv_V2=atlas.uv_V2,
        texture_HWC=paint.texture_HWC,
        roughness_HW=paint.roughness_HW,
    )


@lru_cache(maxsize=4)
def skin_paint(model: HeadModel, person: Person) -> SkinPaint:
    """The textures of a person's skin, painted at the first call."""
    atlas, zones = skin_atlas(model), face_zones(model)
    folds = draw_folds(atlas.landmarks_68x3, person)
    color = skin_colors(atlas, zones, person, folds)
    return SkinPaint(
        atlas.image(color), atlas.image(_roughness(atlas, zones, person)),
        _tilt(model, atlas, person, folds),
    )  # fmt: skip


def skin_colors(atlas: SkinAtlas, zones: Zones, person: Person, folds: list[Fold]) -> np.ndarray:
    """Linear RGB float32 [T, 3] of an atlas's texels."""
    melanin, haemoglobin = pigments(atlas, zones, person, draw_marks(atlas, zones, person))
    color = skin_color(melanin, haemoglobin)
    color = _lips(color, atlas, zones, person)
    color = _stubble(color, atlas, zones, person)
    depth = shade(atlas.points_T3, folds) * (1 - 0.7 * zones.lips)
    shadow = (
        depth[:, None] * [0.30, 0.38, 0.42]
        + zones.crease[:, None] * [0.26, 0.33, 0.36]
        + zones.mouth_line[:, None] * [0.28, 0.34, 0.34]
    )
    color = color * (1 - np.clip(shadow, 0, 0.7))
    color = color + _eyeshadow(zones, person)[:, None] * (EYESHADOW - color)
    rim = np.flatnonzero(zones.waterline > 0.01)
    wet = 0.65 * zones.waterline[rim, None]
    color[rim] *= 1 - wet
    color[rim] += wet * skin_color(0.45 * melanin[rim], haemoglobin[rim] + 0.9)
    return np.asarray(np.clip(color, 0, 1), np.float32)


def pigments(
    atlas: SkinAtlas, zones: Zones, person: Person, marks: Marks
) -> tuple[np.ndarray, np.ndarray]:
    """Melanin and haemoglobin [T] of texels, as amounts that skin_color knows."""
    skin, seed = person.skin, [person.seed, SEED]
    broad = atlas.spread(noise(atlas.mean_V3, 0.35, [*seed, 0], octaves=2))
    patchy = atlas.spread(noise(atlas.mean_V3, 0.9, [*seed, 1], octaves=2))
    fine = noise(atlas.points_T3, 5.0, [*seed, 2])
    # Equal changes of lightness take less melanin where there is much.
    spread = 0.03 + 0.02 * skin.melanin
    melanin = skin.melanin + spread * (0.5 * broad + 0.35 * fine)
    melanin += 0.05 * zones.sockets + 0.025 * zones.forehead + 0.05 * zones.lips * skin.melanin
    melanin += marks.melanin - 0.1 * marks.pale
    red = 0.95 * zones.redness - 0.35 * zones.forehead - 0.12 * zones.jaw - 0.3 * zones.neck
    haemoglobin = skin.haemoglobin * (1 + red) + 0.16 * zones.redness
    haemoglobin += 0.10 * patchy * (0.5 + zones.redness) + 0.04 * fine
    haemoglobin += 0.22 * zones.sockets + 0.18 * zones.lids
    haemoglobin += 1.1 * marks.haemoglobin - 0.2 * marks.pale
    return np.maximum(melanin, 0), np.maximum(haemoglobin, 0)


def _lips(color: np.ndarray, atlas: SkinAtlas, zones: Zones, person: Person) -> np.ndarray:
    """Lips in their color, with vertical lines, a pale border and a dark line between them."""
    skin, close = person.skin, np.flatnonzero(zones.lip_depth > -0.5)
    points, depth = atlas.points_T3[close], zones.lip_depth[close]
    own = (
        skin_color(
            np.full(len(close), 0.78 * skin.melanin + 0.06),
            np.full(len(close), 1.1 + skin.haemoglobin),
        )
        * MUCOSA
    )
    lip = own + (np.array(skin.lip_color, np.float32) - own) * skin.lip_strength
    lines = noise(points * [1, 0.12, 0.3], 5.5, [person.seed, SEED, 3])
    inner = smooth(0.15, 0.6, depth)
    lip = lip * (1 + 0.07 * np.clip(lines, -2, 2) + 0.06 * inner)[:, None]
    weight = zones.lips[close][:, None]
    border = np.exp(-(((depth + 0.09) / 0.07) ** 2))[:, None]
    color = color.copy()
    color[close] = color[close] * (1 + 0.08 * border) * (1 - weight) + weight * lip
    return color


def _stubble(color: np.ndarray, atlas: SkinAtlas, zones: Zones, person: Person) -> np.ndarray:
    """The shadow of a shaved beard, and of hair on the scalp that it grows from."""
    grain = noise(atlas.points_T3, 6.0, [person.seed, SEED, 4])
    patches = atlas.spread(noise(atlas.mean_V3, 0.8, [person.seed, SEED, 5]))
    texture = np.clip(0.85 + 0.16 * grain + 0.07 * patches, 0, 1.3)
    shadow = (zones.beard * person.beard.shadow * texture)[:, None]
    # Hair under the skin looks blue, as veins do: what is below scatters red away.
    gray = (color @ LUMINANCE)[:, None] * np.array([0.97, 0.99, 1.06], np.float32)
    shaved = 0.52 * (0.4 * color + 0.6 * gray) + 0.06 * np.array(person.beard.color, np.float32)
    color = color + np.clip(shadow, 0, 1) * (shaved - color)
    hair = person.hair
    covered = COVERED.get(hair.style, COVERED_ELSEWHERE) * min(1.0, hair.density)
    own = np.array(hair.color) * (1 - hair.gray_fraction) + 0.42 * hair.gray_fraction
    wavy = atlas.points_T3 + 0.35 * patches[:, None] * np.array([0, 1, 0], np.float32)
    roots = (hair_shadow(wavy, hair, person.seed) * covered * np.clip(texture, 0.5, 1.2))[:, None]
    under = 0.18 * color + 0.82 * own.astype(np.float32)
    return np.asarray(color + np.clip(roots, 0, 0.95) * (under - color))


def _eyeshadow(zones: Zones, person: Person) -> np.ndarray:
    """How much [T] of the makeup of the lids, and of a line along their rims."""
    return np.asarray(person.eyes.makeup * np.clip(0.35 * zones.lids + 0.3 * zones.crease, 0, 1))


def _roughness(atlas: SkinAtlas, zones: Zones, person: Person) -> np.ndarray:
    """Roughness float32 [T]: oily skin, lips and the rims of the lids shine."""
    rough = 0.56 - zones.oil * (0.05 + 0.24 * person.skin.oil) - 0.08 * person.skin.oil
    rough += 0.03 * atlas.spread(noise(atlas.mean_V3, 1.6, [person.seed, SEED, 6]))
    rough = rough + zones.lips * (0.36 - rough)
    rough = rough + zones.waterline * (0.2 - rough)
    return np.clip(rough, 0.15, 0.8).astype(np.float32)


def _tilt(model: HeadModel, atlas: SkinAtlas, person: Person, folds: list[Fold]) -> np.ndarray:
    """How the relief tilts normals float32 [V, 3]: the height's gradient along the surface."""
    points = atlas.mean_V3
    step, gradient = 0.08, np.zeros_like(points)
    for axis in (0, 1):
        ahead = np.zeros(3, np.float32)
        ahead[axis] = step
        rise = shade(points - ahead, folds) - shade(points + ahead, folds)
        gradient[:, axis] = FOLD_CM * rise / (2 * step)
    rng = np.random.default_rng([person.seed, SEED, 7])
    pores = rng.standard_normal(model.mean_V3.shape).astype(np.float32)[atlas.vertices_V]
    return np.asarray(gradient + 0.05 * person.skin.pores * pores, np.float32)
