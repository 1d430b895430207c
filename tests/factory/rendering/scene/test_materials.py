"""Materials: which BSDF, and what a surface of each kind looks like under light from everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from factory.errors import ConfigError
from factory.rendering.parts import Material
from factory.rendering.scene.materials import KINDS, MIN_ROUGHNESS, bsdf_of
from tests.factory.rendering.scenes import PX, WHITE, quad, straight_frame

RED = {"type": "rgb", "value": [0.5, 0.1, 0.1]}


def test_an_unknown_kind_is_named_in_one_line():
    with pytest.raises(ConfigError, match=r"material.kind: found 'velvet', want one of skin"):
        bsdf_of(Material("velvet"), RED)


def test_a_material_s_roughness_holds_unless_a_texture_takes_its_place():
    texture = {"type": "bitmap"}
    assert bsdf_of(Material("skin", roughness=0.4), RED)["roughness"] == 0.4
    assert bsdf_of(Material("skin", roughness=0.4), RED, texture)["roughness"] is texture


def test_nothing_is_so_smooth_that_it_sparkles():
    assert bsdf_of(Material("cornea", roughness=0.0), RED)["roughness"] == MIN_ROUGHNESS


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_surface_reflects_no_more_light_than_falls_on_it(kind):
    pytest.importorskip("mitsuba", reason="renders: pip install 'face-factory[render]'")
    from factory.rendering.scene.scene import SceneRenderer

    part = quad(-20, 20, -20, 20, material=Material(kind, (0.6, 0.3, 0.1), 0.4))
    traced = SceneRenderer("scalar_rgb", 64, 3).render([part], WHITE, straight_frame(), 1)
    red, green, blue = traced.light_HWC.mean((0, 1))
    # Facing the camera, specular reflection adds little: color shows, and energy is kept.
    assert 0.3 < red < 1.02
    assert red > green > blue > 0.05


def test_matte_returns_its_color_of_the_light_from_everywhere():
    pytest.importorskip("mitsuba", reason="renders: pip install 'face-factory[render]'")
    from factory.rendering.scene.scene import SceneRenderer

    part = quad(-20, 20, -20, 20, material=Material("matte", (0.6, 0.3, 0.1)))
    traced = SceneRenderer("scalar_rgb", 16, 2).render([part], WHITE, straight_frame(), 1)
    expected = np.full((PX, PX, 3), [0.6, 0.3, 0.1])
    np.testing.assert_allclose(traced.light_HWC, expected, rtol=0.05)
    np.testing.assert_allclose(traced.light_HWC.mean((0, 1)), [0.6, 0.3, 0.1], rtol=0.01)
