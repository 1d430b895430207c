"""Eyes: they look where they are told, shaded by their lids."""

from __future__ import annotations

import numpy as np

from factory.rendering.head.head import Head, head_model
from factory.rendering.parts import Label, MeshPart
from factory.rendering.skin.eyeball import eyeball
from factory.rendering.skin.eyes import between_lids, eye_parts
from tests.factory.rendering.skins import person

MODEL = head_model()
NEUTRAL = MODEL.shaped((0.0,) * 100, ())


def parts(gaze: tuple[float, float], head: Head = NEUTRAL) -> list[MeshPart]:
    found = eye_parts(MODEL, head, person(), gaze)
    return [part for part in found if isinstance(part, MeshPart)]


def test_irises_turn_about_the_eyeballs_by_the_gaze() -> None:
    for right, up in ((0.0, 0.0), (20.0, 0.0), (-15.0, 10.0)):
        for part, side in zip(parts((right, up)), ("Right", "Left"), strict=True):
            x, y, z = part.vertices_V3[0] - eyeball(MODEL, NEUTRAL, side).center_3
            assert np.isclose(np.degrees(np.arctan2(x, z)), right, atol=1e-3)
            assert np.isclose(np.degrees(np.arctan2(y, np.hypot(x, z))), up, atol=1e-3)


def test_both_eyes_are_labeled_and_sit_in_their_sockets() -> None:
    right, left = parts((0, 0))
    assert right.label == left.label == Label.EYES
    assert right.vertices_V3[:, 0].max() < 0 < left.vertices_V3[:, 0].min()
    for part in (right, left):
        assert part.colors_V3 is not None
        assert part.colors_V3.min() >= 0
        assert part.colors_V3.max() <= 1


def test_the_upper_lid_covers_the_top_of_the_iris_and_not_the_pupil() -> None:
    eyes = person().eyes
    for part, rim in zip(parts((0, 0)), (slice(37, 39), slice(43, 45)), strict=True):
        above = NEUTRAL.landmarks_68x3[rim, 1].mean() - part.vertices_V3[0, 1]
        assert eyes.pupil_radius < above < eyes.iris_radius


def test_the_ball_is_dark_under_the_upper_lid_and_pink_in_the_inner_corner() -> None:
    lids = NEUTRAL.landmarks_68x3[36:42]
    white = np.full((3, 3), 0.6)
    x = lids[1, 0]
    points = np.array([[x, lids[1, 1] - 0.02, 9.5], [x, lids[1, 1] - 0.45, 9.5], lids[3]])
    under, middle, corner = between_lids(points, white, lids, "Right")
    assert under.mean() < 0.6 * middle.mean()
    assert corner[0] / corner[1] > 1.8
    assert np.allclose(middle[0], middle[1])


def test_the_shadow_follows_a_closing_lid() -> None:
    closed = MODEL.shaped((0.0,) * 100, (("eyeBlink_L", 0.5), ("eyeBlink_R", 0.5)))
    for still, shut in zip(parts((0, 0)), parts((0, 0), closed), strict=True):
        assert still.colors_V3 is not None
        assert shut.colors_V3 is not None
        assert np.allclose(still.vertices_V3, shut.vertices_V3)
        front = still.vertices_V3[:, 2] > 9.3
        assert shut.colors_V3[front].mean() < 0.95 * still.colors_V3[front].mean()
