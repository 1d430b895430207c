"""The renderer: labels, occluded fraction, landmarks, and the same bytes in any process."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mitsuba", reason="renders: pip install 'face-factory[render]'")
from factory.config.rendering import RenderingConfig
from factory.rendering import renderer as module
from factory.rendering.parts import Label, Material
from factory.rendering.people.people import draw_person
from factory.rendering.renderer import FACE, Renderer, labels_of
from factory.rendering.view import HairState, View
from factory.rendering.views.images import draw_view
from tests.factory.rendering.scenes import quad

CONFIG = RenderingConfig(samples=2)
PX = 48
DIGEST = """
import hashlib
from tests.factory.rendering.test_renderer import an_image
print(hashlib.sha256(an_image().image_HWC.tobytes()).hexdigest())
"""


def an_image(number: int = 3, renderer: Renderer | None = None):
    person = draw_person(CONFIG, number)
    return (renderer or Renderer(CONFIG, PX)).render(person, draw_view(CONFIG, person, 1))


def worn(monkeypatch, *parts):
    monkeypatch.setattr(module, "accessory_parts", lambda *args: list(parts))
    monkeypatch.setattr(module, "hair_parts", lambda *args: [])
    monkeypatch.setattr(module, "clothes_parts", lambda *args: [])


def plain(renderer: Renderer):
    return renderer.render(draw_person(CONFIG, 0), View(0, 5))


def test_another_process_makes_the_same_bytes():
    ours = hashlib.sha256(an_image().image_HWC.tobytes()).hexdigest()
    theirs = subprocess.run(
        [sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True
    )
    assert theirs.stdout.strip() == ours


def test_what_was_rendered_before_changes_no_byte():
    used = Renderer(CONFIG, PX)
    before = [an_image(number, used) for number in (1, 3, 2)]
    again, fresh = an_image(3, used), an_image(3)
    assert again.image_HWC.tobytes() == before[1].image_HWC.tobytes() == fresh.image_HWC.tobytes()
    assert again.labels_HW.tobytes() == fresh.labels_HW.tobytes()


def test_an_image_has_its_shape_and_its_truth():
    image = an_image()
    assert (image.image_HWC.shape, image.image_HWC.dtype) == ((PX, PX, 3), np.uint8)
    assert (image.labels_HW.shape, image.labels_HW.dtype) == ((PX, PX), np.uint8)
    assert (image.landmarks_52.shape, image.landmarks_68x2.shape) == ((5, 2), (68, 2))
    assert set(np.unique(image.labels_HW)) <= {int(label) for label in Label}


def test_the_eyes_are_where_the_landmarks_say(monkeypatch):
    worn(monkeypatch)
    image = plain(Renderer(replace(CONFIG, hair=False), 112))
    for corners in (slice(36, 42), slice(42, 48)):
        x, y = image.landmarks_68x2[corners].mean(0).round().astype(int)
        near = image.labels_HW[y - 2 : y + 3, x - 4 : x + 5]
        assert (near == Label.EYES).mean() > 0.4
    x, y = image.landmarks_52[2].round().astype(int)
    assert image.labels_HW[y, x] == Label.SKIN


def test_labels_are_those_of_the_parts_and_nothing_is_background():
    parts = [quad(0, 1, 0, 1, label=Label.EYES), quad(0, 1, 0, 1, label=Label.HAT)]
    labels = labels_of(parts, np.array([[0, 1], [-1, 0]]))
    np.testing.assert_array_equal(labels, [[Label.EYES, Label.HAT], [0, Label.EYES]])
    assert labels.dtype == np.uint8


def test_nothing_is_occluded_without_occluders(monkeypatch):
    glasses = quad(-30, 30, -1, 1, z=20, label=Label.GLASSES)
    worn(monkeypatch, glasses)
    image = plain(Renderer(CONFIG, PX))
    assert (image.labels_HW == Label.GLASSES).any()
    assert image.occluded_fraction == 0.0


@pytest.mark.parametrize("label", [Label.SUNGLASSES, Label.OCCLUDER, Label.HAT])
def test_the_occluded_fraction_is_hidden_face_over_all_face(monkeypatch, label):
    """A plate over the left part of the film, compared with the same image without it."""
    worn(monkeypatch)
    bare = np.isin(plain(Renderer(CONFIG, PX)).labels_HW, FACE)
    worn(monkeypatch, quad(-60, -0.5, -60, 60, z=20, label=label))
    image = plain(Renderer(CONFIG, PX))
    hidden = bare & (image.labels_HW == label)
    assert hidden.any()
    assert image.occluded_fraction == pytest.approx(hidden.sum() / bare.sum())
    assert 0.2 < image.occluded_fraction < 0.8


def test_a_plate_before_everything_hides_all_face(monkeypatch):
    worn(monkeypatch, quad(-60, 60, -60, 60, z=20, label=Label.OCCLUDER))
    image = plain(Renderer(CONFIG, PX))
    assert image.occluded_fraction == 1.0
    assert (image.labels_HW == Label.OCCLUDER).all()


def test_clear_lenses_leave_the_labels_of_the_eyes(monkeypatch):
    worn(monkeypatch)
    bare = plain(Renderer(CONFIG, PX)).labels_HW
    for opacity, same in ((0.1, True), (0.9, False)):
        lens = Material("glass", (0.1, 0.1, 0.1), 0.05, opacity=opacity)
        worn(monkeypatch, quad(-30, 30, -30, 30, z=20, label=Label.SUNGLASSES, material=lens))
        labels = plain(Renderer(CONFIG, PX)).labels_HW
        assert (labels == bare).all() == same


def test_hair_is_made_once_for_a_person_and_a_state(monkeypatch):
    made = []
    monkeypatch.setattr(module, "hair_parts", lambda *args: made.append(args[2].index) or [])
    renderer, state = Renderer(CONFIG, PX), HairState()
    first = [renderer._hair_parts(draw_person(CONFIG, number), state) for number in (1, 1, 2, 1)]
    assert made == [1, 2]
    assert first[0] is first[3]
    renderer._hair_parts(draw_person(CONFIG, 1), HairState(tied=True))
    assert made == [1, 2, 1]
    for number in range(3, 3 + module.KEPT_HAIR):
        renderer._hair_parts(draw_person(CONFIG, number), state)
    assert len(renderer._hair) == module.KEPT_HAIR
