"""The atlas: every texel lies on the mean head where the mesh's own coordinates say."""

from __future__ import annotations

import numpy as np

from factory.rendering.head.head import head_model
from factory.rendering.skin.skin_atlas import (
    BACK_WIDTH,
    FACE_WIDTH,
    HEIGHT,
    inside_faces,
    skin_atlas,
)

MODEL = head_model()
ATLAS = skin_atlas(MODEL)
WIDTH = FACE_WIDTH + BACK_WIDTH


def test_a_vertex_shows_the_texel_that_lies_where_it_does() -> None:
    column = np.clip((ATLAS.uv_V2[:, 0] * WIDTH).astype(int), 0, WIDTH - 1)
    row = np.clip(((1 - ATLAS.uv_V2[:, 1]) * HEIGHT).astype(int), 0, HEIGHT - 1)
    shown = ATLAS.points_T3[ATLAS.source_HW[row, column]]
    away = np.linalg.norm(shown - MODEL.mean_V3[ATLAS.vertices_V], axis=1)
    across = np.sqrt(ATLAS.area_T[ATLAS.source_HW[row, column]])
    assert np.median(away / across) < 0.6
    assert np.percentile(away / across, 99) < 4  # where the texture is sheared


def test_every_texel_is_covered_once_and_lies_on_the_skin() -> None:
    assert len(np.unique(ATLAS.texel_T)) == len(ATLAS.texel_T)
    points = MODEL.mean_V3[ATLAS.vertices_V]
    assert (ATLAS.points_T3 >= points.min(0) - 1e-3).all()
    assert (ATLAS.points_T3 <= points.max(0) + 1e-3).all()
    assert np.array_equal(ATLAS.source_HW.ravel()[ATLAS.texel_T], np.arange(len(ATLAS.texel_T)))


def test_areas_of_texels_add_up_to_that_of_the_mesh() -> None:
    corners = MODEL.mean_V3[ATLAS.vertices_V][ATLAS.faces_G3]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(across, axis=1).sum() / 2
    assert abs(ATLAS.area_T.sum() / area - 1) < 0.03


def test_the_skin_has_no_lining_of_mouth_and_sockets() -> None:
    inside = inside_faces(MODEL)
    assert not inside[MODEL.materials_F == "M_Face"].any()
    points = MODEL.mean_V3[MODEL.faces_F3[inside]].reshape(-1, 3)
    assert np.abs(points[:, 0]).max() < 5
    assert points[:, 1].min() > -6
    back = MODEL.materials_F == "M_BackHead"
    outer = back.sum() - inside.sum()
    assert len(ATLAS.faces_G3) == outer + (MODEL.materials_F == "M_Face").sum()


def test_images_are_gathered_by_texel() -> None:
    image = ATLAS.image(ATLAS.points_T3)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(image.reshape(-1, 3)[ATLAS.texel_T], ATLAS.points_T3)
