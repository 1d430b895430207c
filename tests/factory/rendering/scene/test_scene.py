"""Scenes: what they show by the exact pixel, light, opacity, and the same bytes whatever before."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from factory.errors import ConfigError
from factory.rendering.parts import Label, Material
from factory.rendering.scene.frame import Frame
from factory.rendering.view import AreaLight, Light, Sun
from tests.factory.rendering.scenes import PX, WHITE, quad, rows_of_strands, straight_frame

mitsuba = pytest.importorskip("mitsuba", reason="renders: pip install 'face-factory[render]'")
from factory.rendering.scene import scene  # noqa: E402
from factory.rendering.scene.scene import SceneRenderer, finite  # noqa: E402

DARK = Light("dark", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


def renderer(samples: int = 4, depth: int = 2, **more) -> SceneRenderer:
    return SceneRenderer("scalar_rgb", samples, depth, **more)


def test_a_known_quad_takes_exactly_the_pixels_whose_centers_it_covers():
    """2 pixels a centimeter, the middle at 15.5: x = c is column 15.5 + 2 c."""
    part = quad(-3.1, 2.1, -1.1, 4.1)
    traced = renderer().render([part], WHITE, straight_frame(), 0)
    columns, rows = np.arange(10, 20), np.arange(8, 18)  # 9.3 to 19.7, 7.3 to 17.7
    expected = np.full((PX, PX), -1)
    expected[np.ix_(rows, columns)] = 0
    np.testing.assert_array_equal(traced.shown_HW, expected)


def test_the_principal_point_moves_the_picture_the_way_that_pixels_say():
    frame = straight_frame()
    moved = replace(frame, matrix_23=frame.matrix_23 + np.array([[0, 0, 4.0], [0, 0, -3.0]]))
    here, there = (renderer().shown([quad(-3.1, 2.1, -1.1, 4.1)], f) for f in (frame, moved))
    np.testing.assert_array_equal(there, np.roll(here, (-3, 4), (0, 1)))


def test_a_rolled_frame_turns_the_picture_as_pixels_are_turned():
    frame = straight_frame()
    middle = frame.matrix_23[:, 2:]
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])  # right becomes down: clockwise
    turned = replace(frame, matrix_23=np.hstack([quarter @ frame.matrix_23[:, :2], middle]))
    here, there = (renderer().shown([quad(-3.1, 2.1, -1.1, 4.1)], f) for f in (frame, turned))
    np.testing.assert_array_equal(there, np.rot90(here, -1))


def test_the_nearer_part_shows_and_numbers_are_places_in_the_list():
    far, near = quad(-4, 4, -4, 4, z=-1), quad(-2, 2, -2, 2, z=1)
    shown = renderer().shown([near, far], straight_frame())
    assert shown[16, 16] == 0
    assert shown[10, 10] == 1
    assert shown[0, 0] == -1


def test_lights_change_no_labels_even_those_behind_the_head():
    parts, _ = noisy_scene()
    rim = AreaLight((0.05, 0.05, -1.0), 60.0, 30.0, (9.0, 9.0, 9.0))
    light = replace(WHITE, areas=(rim, rim), sun=Sun((0.0, 0.1, -1.0), (1.0, 1.0, 1.0)))
    traced = renderer().render(parts, light, straight_frame(64), 0)
    np.testing.assert_array_equal(traced.shown_HW, renderer().shown(parts, straight_frame(64)))
    assert set(np.unique(traced.shown_HW)) == {-1, 0, 1}


def test_edges_are_premultiplied_so_that_no_fringe_shows():
    """Over a background of the quad's own light, nothing of the edge is seen."""
    part = quad(-3.1, 2.3, -1.2, 4.4, material=Material("matte", (0.5, 0.5, 0.5)))
    traced = renderer(256, denoise=False).render([part], WHITE, straight_frame(), 3)
    edge = (traced.alpha_HW > 0.05) & (traced.alpha_HW < 0.95)
    assert edge.sum() > 20
    whole = traced.light_HWC + (1 - traced.alpha_HW[..., None]) * 0.5
    np.testing.assert_allclose(whole, 0.5, atol=0.03)


def test_world_parts_stay_where_the_head_turns():
    quarter = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    frame = straight_frame()
    turned = Frame(quarter, np.array([1.0, 2.0, 3.0]), 100.0, frame.matrix_23, PX)
    part = quad(-3.1, 2.1, -1.1, 4.1, in_world=True)
    expected = renderer().shown([part], frame)
    np.testing.assert_array_equal(renderer().shown([part], turned), expected)


def test_a_texture_s_first_row_is_at_v_1_and_its_first_column_at_u_0():
    texture = np.zeros((2, 2, 3), np.float32)
    texture[0, 0], texture[1, 1] = [1, 0, 0], [0, 0, 1]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    part = quad(-8, 8, -8, 8, uv_V2=corners, texture_HWC=texture)
    light = renderer(16).render([part], WHITE, straight_frame(), 0).light_HWC
    assert light[2, 2].argmax() == 0
    assert light[2, 2, 0] > 0.8
    assert light[-3, -3].argmax() == 2
    assert light[-3, -3, 2] > 0.8
    assert light[2, -3].max() < 0.1


def test_a_texture_without_coordinates_is_refused_by_name():
    with pytest.raises(ConfigError, match="part 'quad' has a texture but no uv_V2"):
        renderer().shown([quad(0, 1, 0, 1, texture_HWC=np.ones((2, 2, 3)))], straight_frame())


def test_points_that_are_no_numbers_are_refused_by_name():
    part = quad(0, 1, 0, 1)
    part.vertices_V3[0, 0] = np.nan
    with pytest.raises(ConfigError, match="part 'quad' has points that are no numbers"):
        renderer().shown([part], straight_frame())


def test_colors_of_vertices_are_mixed_between_them():
    colors = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1], [0, 0, 1]], float)
    part = quad(-8, 8, -8, 8, colors_V3=colors)
    light = renderer(16).render([part], WHITE, straight_frame(), 0).light_HWC
    np.testing.assert_allclose(light[16].mean(0)[[0, 2]], [0.5, 0.5], atol=0.05)
    assert light[2, :, 2].mean() > 0.85
    assert light[-3, :, 0].mean() > 0.85


def test_strands_run_through_their_points_and_take_their_colors():
    colors = np.tile([0.9, 0.1, 0.1], (24, 1))
    colors[12:] = [0.1, 0.1, 0.9]
    part = rows_of_strands(colors_S3=colors)
    traced = renderer(16, denoise=False).render([part], WHITE, straight_frame(), 0)
    rows = np.nonzero((traced.shown_HW == 0).any(1))[0]
    assert (rows.min(), rows.max()) == (3, 28)  # y = 6 is row 3.5; round ends of .3 cm
    left, right = (
        traced.light_HWC[8:24, 5:14].mean((0, 1)),
        traced.light_HWC[8:24, 18:27].mean((0, 1)),
    )
    assert left[0] > 3 * left[2]
    assert right[2] > 3 * right[0]


def test_the_tip_has_its_own_color():
    material = Material("hair", (0.1, 0.1, 0.9), tip_color=(0.9, 0.1, 0.1), specular=0.0)
    light = (
        renderer(16, denoise=False)
        .render([rows_of_strands(material=material)], WHITE, straight_frame(), 0)
        .light_HWC
    )
    root, tip = light[26, 6:26].mean(0), light[5, 6:26].mean(0)
    assert root[2] > 2 * root[0]
    assert tip[0] > 2 * tip[2]


def test_a_light_before_the_camera_shines_and_hides_nothing():
    """Half way between camera and quad, where the camera would see its dark back."""
    light = replace(DARK, areas=(AreaLight((0.0, 0.0, 1.0), 50.0, 40.0, (5.0, 5.0, 5.0)),))
    part = quad(-20, 20, -20, 20)
    traced = renderer(16).render([part], light, straight_frame(), 0)
    assert (traced.shown_HW == 0).all()
    assert (traced.alpha_HW > 0.99).all()
    # A square of 40 at 50 covers as much of the sky as one grown with its distance does.
    solid_angle = 4 * np.arcsin(20**2 / (20**2 + 50**2))
    expected = 0.5 / np.pi * 5.0 * solid_angle
    assert traced.light_HWC[16, 16, 0] == pytest.approx(expected, rel=0.15)


def test_lights_come_from_the_world_s_directions():
    """A quad turned to the right is bright under a light from the right alone."""
    corners = np.array([[-5, -5, 5], [5, -5, -5], [5, 5, -5], [-5, 5, 5]], float)
    part = replace(quad(-5, 5, -5, 5), vertices_V3=corners)
    for x, bright in ((1.0, True), (-1.0, False)):
        area = AreaLight((x, 0.0, 0.01), 120.0, 40.0, (9.0, 9.0, 9.0))
        traced = renderer(8).render([part], replace(DARK, areas=(area,)), straight_frame(), 0)
        assert (traced.light_HWC[16, 16, 0] > 0.05) == bright


def test_the_sky_is_brighter_above_if_its_top_is():
    sky = Light("sky", (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    corners = np.array([[-5, 0, 5], [5, 0, 5], [5, 1, -5], [-5, 1, -5]], float)
    lit = []
    for flip in (1, -1):  # a face that looks up, and one that looks down
        part = replace(quad(-5, 5, -5, 5), vertices_V3=corners * [1, flip, 1])
        traced = renderer(64, denoise=False).render([part], sky, straight_frame(), 0)
        lit.append(traced.light_HWC[traced.shown_HW == 0].mean())
    assert lit[0] > 2 * lit[1]


def test_the_sun_s_angle_softens_its_shadow_and_leaves_its_strength():
    """A plate 10 cm before a wall, the sun from the left: its edge lies on the wall."""
    parts = [quad(-20, 20, -20, 20), quad(-30, -9, -30, 30, z=10)]
    widths = []
    for angle in (0.5, 20.0):
        light = replace(DARK, sun=Sun((-0.6, 0.0, 0.8), (2.0, 2.0, 2.0), angle))
        traced = renderer(64, denoise=False).render(parts, light, straight_frame(), 0)
        row = traced.light_HWC[4:28, :, 0].mean(0)
        widths.append(int(((row > 0.03) & (row < 0.22)).sum()))
        # Radiance of a matte surface: reflectance / pi times irradiance times the cosine.
        assert row[-1] == pytest.approx(0.5 / np.pi * 2.0 * 0.8, rel=0.1)
    assert widths[1] >= widths[0] + 4


@pytest.mark.parametrize("opacity", [0.2, 0.7])
def test_opacity_mixes_what_lies_behind_and_takes_no_light_from_it(opacity):
    behind, glass = (Material("matte", c) for c in ((0.8, 0.2, 0.2), (0.1, 0.1, 0.6)))
    lens = quad(-8, 8, -8, 8, z=0.5, label=Label.GLASSES, material=replace(glass, opacity=opacity))
    parts = [quad(-20, 20, -20, 20, material=behind), lens]
    traced = renderer(64).render(parts, WHITE, straight_frame(), 0)
    expected = opacity * np.array([0.1, 0.1, 0.6]) + (1 - opacity) * np.array([0.8, 0.2, 0.2])
    np.testing.assert_allclose(traced.light_HWC[8:24, 8:24].mean((0, 1)), expected, rtol=0.05)
    assert (traced.shown_HW == (1 if opacity >= 0.5 else 0)).all()


def test_only_pixels_behind_a_lens_are_mixed():
    """A wall with a gradient: the lens lies over a part of it, and the crop is where it belongs."""
    colors = np.array([[0.2] * 3, [0.8] * 3, [0.8] * 3, [0.2] * 3])
    lens = quad(
        -3.1, 2.1, -1.1, 4.1, z=0.001, material=Material("matte", (0.0, 0.0, 0.0), opacity=0.5)
    )
    wall = quad(-8, 8, -8, 8, colors_V3=colors)
    scenes = renderer(64, denoise=False)
    bare = scenes.render([wall], WHITE, straight_frame(), 0).light_HWC
    seen = scenes.render([wall, lens], WHITE, straight_frame(), 0).light_HWC
    expected = bare.copy()
    expected[8:18, 10:20] *= 0.5
    inside = np.s_[9:17, 11:19]  # pixels of the edge see a part of the wall beside the lens
    np.testing.assert_allclose(seen[inside], expected[inside], rtol=0.12)
    outside = np.ones((PX, PX), bool)
    outside[8:18, 10:20] = False
    np.testing.assert_array_equal(seen[outside], bare[outside])


def noisy_scene() -> tuple[list, Light]:
    light = Light("studio", areas=(AreaLight((0.5, 0.5, 0.7), 120.0, 30.0, (20.0, 18.0, 15.0)),))
    wall = quad(-9, 9, -9, 9, z=-1, material=Material("skin", (0.6, 0.4, 0.3)), fixed=True)
    return [wall, rows_of_strands(fixed=True)], light


def test_the_filter_halves_the_error_of_few_samples():
    parts, light = noisy_scene()
    frame = straight_frame(40)
    truth = renderer(256, 3, denoise=False).render(parts, light, frame, 9).light_HWC
    raw = renderer(8, 3, denoise=False).render(parts, light, frame, 1).light_HWC
    filtered = renderer(8, 3).render(parts, light, frame, 1).light_HWC
    errors = [np.sqrt(((np.sqrt(x) - np.sqrt(truth)) ** 2).mean()) for x in (raw, filtered)]
    assert errors[1] < 0.7 * errors[0]


def test_the_same_bytes_cached_or_not_and_whatever_was_rendered_before():
    parts, light = noisy_scene()
    fresh = renderer().render(parts, light, straight_frame(), 5)
    used = renderer()
    used.render([quad(-1, 1, -1, 1), *parts], WHITE, straight_frame(), 1)
    for again in (used.render(parts, light, straight_frame(), 5) for _ in range(2)):
        assert again.light_HWC.tobytes() == fresh.light_HWC.tobytes()
        assert again.shown_HW.tobytes() == fresh.shown_HW.tobytes()
    other = used.render(parts, light, straight_frame(), 6)
    assert other.light_HWC.tobytes() != fresh.light_HWC.tobytes()


def test_the_same_bytes_on_one_thread_or_three():
    parts, light = noisy_scene()
    images = []
    try:
        for threads in (1, 3):
            scene.use_threads(threads)
            images.append(renderer().render(parts, light, straight_frame(32), 5))
    finally:
        scene.use_threads(2)
    assert images[0].light_HWC.tobytes() == images[1].light_HWC.tobytes()


def test_the_side_of_blocks_is_ours_and_not_the_machine_s(monkeypatch):
    """Random numbers follow blocks, so a side chosen by the number of cores would show in bytes."""
    parts, light = noisy_scene()
    images = []
    for side in (scene.BLOCK_PX, 8):
        monkeypatch.setattr(scene, "BLOCK_PX", side)
        images.append(renderer().render(parts, light, straight_frame(), 5).light_HWC)
    assert images[0].tobytes() != images[1].tobytes()


def test_shapes_of_fixed_parts_are_built_once(monkeypatch):
    built = []
    known = scene.shape_of
    monkeypatch.setattr(scene, "shape_of", lambda *a: built.append(a[1].name) or known(*a))
    parts, light = noisy_scene()
    moving = quad(-1, 1, -1, 1, name="moving")
    scenes = renderer()
    for seed in range(3):
        scenes.render([*parts, moving], light, straight_frame(), seed)
    assert sorted(built) == ["moving"] * 3 + ["quad", "strands"]


def test_fixed_shapes_do_not_pile_up():
    scenes = renderer()
    for number in range(scene.KEPT_SHAPES + 5):
        scenes.shown([quad(-1, 1, -1, 1 + number, fixed=True)], straight_frame(16))
    assert len(scenes._kept) == scene.KEPT_SHAPES


def test_a_pixel_that_is_no_number_comes_from_the_other_half():
    first, second = np.zeros((2, 2, 4)), np.ones((2, 2, 4))
    first[0, 0, 1] = np.nan
    mended = finite([first, second])
    assert mended is not None
    np.testing.assert_array_equal(mended[0][0, 0], 1)
    np.testing.assert_array_equal(mended[0][1, 1], 0)
    second[0, 0] = np.inf
    assert finite([first, second]) is None


def test_what_stays_no_number_is_never_an_image(monkeypatch):
    monkeypatch.setattr(scene, "finite", lambda halves: None)
    with pytest.raises(Exception, match="pixels that are no numbers in 3 renders with seed 7"):
        renderer().render([quad(-1, 1, -1, 1)], WHITE, straight_frame(), 7)


def test_without_mitsuba_the_pip_line_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    scene.load_mitsuba.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'face-factory\[render\]'"):
        SceneRenderer("scalar_rgb", 1, 2)


def test_a_variant_that_is_not_there_is_named():
    scene.load_mitsuba.cache_clear()
    with pytest.raises(ConfigError, match=r"rendering.variant: no_such cannot be used here"):
        SceneRenderer("no_such", 1, 2)
    scene.load_mitsuba.cache_clear()
