"""What metadata tells of a rendered image is what the person, the view and the renderer say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from factory.config import RenderingConfig
from factory.config.rendering import LABELS, MASKS
from factory.rendering.numbers import view_seed
from factory.rendering.parts import Label
from factory.rendering.people.people import draw_person
from factory.rendering.traits import GlassesTraits
from factory.rendering.truth import rendered
from factory.rendering.view import Pose, Wear
from factory.rendering.views.images import draw_view
from tests.rendered import KnownPixels

CONFIG = RenderingConfig()
PERSON = draw_person(CONFIG, 3)
VIEW = draw_view(CONFIG, PERSON, 5)
GLASSES = GlassesTraits("round", (0.1, 0.1, 0.1), 0.1)


def truth_of(person, view):
    return rendered(person, view, KnownPixels(CONFIG).render(person, view)).truth


def test_the_seed_of_a_view_is_known_before_it_is_drawn():
    for number in (0, 7, 10_003):
        assert draw_view(CONFIG, PERSON, number).seed == view_seed(CONFIG, PERSON.index, number)


def test_pose_and_age_are_the_views():
    view = replace(VIEW, pose=Pose(12.3456, -4.0, 5.0), age_drift=-2.0)
    truth = truth_of(replace(PERSON, age=40.0), view)
    assert (truth.yaw, truth.pitch, truth.roll, truth.age) == (12.346, -4.0, 5.0, 38.0)
    assert (truth.person, truth.view) == (3, 5)


def test_what_is_worn_is_told_and_nothing_else():
    bare = truth_of(PERSON, replace(VIEW, wear=Wear()))
    assert (bare.sunglasses, bare.hat, bare.mask, bare.scarf, bare.hand) == ("",) * 5
    worn = Wear(sunglasses="dark", hat="cap", mask="surgical", scarf="wool", hand="chin")
    truth = truth_of(PERSON, replace(VIEW, wear=worn))
    assert (truth.sunglasses, truth.hat, truth.mask) == ("dark", "cap", "surgical")
    assert (truth.scarf, truth.hand) == ("wool", "chin")


@pytest.mark.parametrize(("owned", "worn", "told"), [(0, 1, False), (1, 0, False), (1, 1, True)])
def test_glasses_are_those_that_somebody_owns_and_wears(owned, worn, told):
    person = replace(PERSON, glasses=GLASSES if owned else None)
    assert truth_of(person, replace(VIEW, wear=Wear(glasses=bool(worn)))).glasses is told


def test_points_are_as_the_renderer_gives_them_in_thousandths_of_a_pixel():
    image = KnownPixels(CONFIG).render(PERSON, VIEW)
    truth = rendered(PERSON, VIEW, image).truth
    assert np.abs(np.array(truth.landmarks_5) - image.landmarks_52).max() <= 5e-4
    assert np.array(truth.landmarks_68).shape == (68, 2)


def test_every_label_has_a_mask():
    assert [name.upper() for name in MASKS if name != LABELS] == [label.name for label in Label]
